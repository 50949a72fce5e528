"""A model file that no server need offer, sized by `context/estimateMemory`: arithmetic on what its header says."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence

from attrs import evolve, frozen

from ullage.cli.client import Client
from ullage.cli.figures import size_text
from ullage.cli.fit_figures import CELLS, Cell, ModelFit, TypeFit, refused, sizes_of
from ullage.cli.framing import Json
from ullage.memory.architecture import Architecture, architecture_of
from ullage.memory.compute_buffer import upper_bound
from ullage.memory.kv_cache import CacheLayout, why_refused
from ullage.memory.placement import PlacedModel, placed
from ullage.memory.readings import DeviceReading
from ullage.settings import CacheType
from ullage.tokens.model_file import ModelFile

LARGEST_ASKED = 2**20
"""Tokens: where a file does not say what its model was made for."""


@frozen
class Room:
    """Bytes of the memory that a context is held against; ``available`` None: it can't be told. ``maximum`` is the
    person's, in tokens; 0: none. ``devices`` are what it consists of, where that is told: each of several cards has its
    own part of the model, and its own reserve."""

    available: int | None
    reserve: int
    maximum: int = 0
    devices: tuple[DeviceReading, ...] = ()

    def shares(self, model: PlacedModel, compute: int) -> list[tuple[float, int]]:
        """The part of the model in each memory that tells what is free there, and that; ``compute`` is the least buffer
        in any of them."""
        devices = self.devices or (DeviceReading("", self.available, 0, self.available),)
        memories = placed(model, devices, None, self.reserve + compute)
        return [(m.layer_share, m.available_bytes) for m in memories if m.available_bytes is not None]


async def fit_of_file(client: Client, file: ModelFile, cache_types: Sequence[CacheType], room: Room) -> ModelFit:
    """Raises ServerGone, and InvalidArgument with a sentence that names the key where the metadata make no sense."""
    architecture = architecture_of(file.metadata)
    sums = [_Sum(client, file, architecture, cache_type) for cache_type in cache_types]
    types = await asyncio.gather(*(_type_fit(each, room) for each in sums))
    sizes = sizes_of(file.context_length, (each.best for each in types))
    filled = await asyncio.gather(
        *(_with_cells(each, sum_, sizes, room) for each, sum_ in zip(types, sums, strict=True))
    )
    return ModelFit(
        name=file.name,
        file=file.file_name,
        weights_bytes=file.weights_bytes,
        limit=file.context_length,
        reserve_bytes=room.reserve,
        types=tuple(filled),
    )


async def largest(holds: Callable[[int], Awaitable[bool | None]], most: int) -> int:
    """``most`` itself, else the largest multiple of CELLS below it that holds, 0 where none does. Less must never hold
    worse."""
    if await holds(most):
        return most
    low, high = 0, most // CELLS
    while low < high:
        middle = (low + high + 1) // 2
        if await holds(middle * CELLS):
            low = middle
        else:
            high = middle - 1
    return low * CELLS


@frozen
class _Sum:
    """Weights, cache and compute buffer of one cache type."""

    client: Client
    file: ModelFile
    architecture: Architecture
    cache_type: CacheType

    def layout(self, tokens: int) -> CacheLayout:
        return CacheLayout(context_tokens=tokens, cache_type_k=self.cache_type, cache_type_v=self.cache_type)

    async def estimate(self, tokens: int) -> Json:
        """The cache, by the server's arithmetic. Raises ServerError."""
        params = {
            "metadata": self.file.metadata,
            "contextTokens": tokens,
            "cacheTypeK": self.cache_type,
            "cacheTypeV": self.cache_type,
        }
        estimate: Json = await self.client.request("context/estimateMemory", params)
        return estimate

    async def cell(self, tokens: int, room: Room) -> Cell:
        weights, cache = self.file.weights_bytes, (await self.estimate(tokens))["totalBytes"]
        compute, least = (upper_bound(self.architecture, self.layout(size)).bytes for size in (tokens, CELLS))
        shares = room.shares(PlacedModel(self.architecture.block_count, weights_bytes=weights), least)
        fits = all(math.ceil((weights + cache) * share) + compute + room.reserve <= free for share, free in shares)
        return Cell(tokens, weights + cache + compute, None if room.available is None else fits)


async def _type_fit(sum_: _Sum, room: Room) -> TypeFit:
    refusal = why_refused(sum_.architecture, sum_.layout(CELLS))
    if refusal is not None:
        return refused(sum_.cache_type, refusal)
    limit = sum_.file.context_length or LARGEST_ASKED
    most = _whole_cells(min(limit, room.maximum or limit))
    best: int | None = None
    if room.available is not None:
        best = await largest(lambda tokens: _holds(sum_, tokens, room), most) or None
    at = math.ceil((best or CELLS) / CELLS) * CELLS
    estimate = await sum_.estimate(at)
    fit = TypeFit(
        cache_type=sum_.cache_type,
        best=best,
        limited_by=None if room.available is None else _limit(best, most, limit, room),
        bytes_per_token=estimate["bytesPerToken"],
        fixed_bytes=estimate["totalBytes"] - estimate["bytesPerToken"] * at,
        explanation="",
    )
    return evolve(fit, explanation=explanation(fit, sum_.file, room) + _reservation(sum_.architecture))


def _whole_cells(tokens: int) -> int:
    """Rounded down, so that no bound is exceeded, except where nothing would be left."""
    return tokens // CELLS * CELLS or tokens


def _limit(best: int | None, most: int, limit: int, room: Room) -> str:
    if best != most:
        return "memory"
    return "maximum" if 0 < room.maximum < limit else "model"


async def _holds(sum_: _Sum, tokens: int, room: Room) -> bool | None:
    return (await sum_.cell(tokens, room)).fits


async def _with_cells(fit: TypeFit, sum_: _Sum, sizes: Sequence[int], room: Room) -> TypeFit:
    if fit.bytes_per_token is None:
        return evolve(fit, cells=tuple(Cell(tokens, None, None) for tokens in sizes))
    return evolve(fit, cells=tuple(await asyncio.gather(*(sum_.cell(tokens, room) for tokens in sizes))))


def _reservation(architecture: Architecture) -> str:
    if architecture.is_known:
        return ""
    return f" The architecture {architecture.name} is not known here: the figures are by the general formula."


def explanation(fit: TypeFit, file: ModelFile, room: Room) -> str:
    """What limits the context, in a sentence."""
    per_token = f"{size_text(fit.bytes_per_token)} a token"
    if room.available is None:
        return f"how much fits can't be told, since the available memory is unknown; {per_token}."
    taken = f"{size_text(file.weights_bytes)} of weights, a buffer of {size_text(room.reserve)}, {per_token}"
    free = f"{size_text(room.available)} free, {taken}"
    if fit.best is None:
        return f"nothing fits: {free}. Choose a smaller model, or one with fewer bits a weight."
    if fit.limited_by == "model":
        return f"limited by the model, which was made for {file.context_length or LARGEST_ASKED:,} tokens; {per_token}."
    if fit.limited_by == "maximum":
        return f"limited by context.maxSize in the settings, {room.maximum:,} tokens; {per_token}."
    return f"limited by memory: {free}."
