"""What is known of one model's memory: its architecture, what it takes now, and the question that sizing answers."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar, get_args
from weakref import WeakKeyDictionary

from attrs import Factory, define, field, frozen

from ullage.contexts.active_model import ActiveModel
from ullage.contexts.values import KvCacheState
from ullage.errors import UllageError
from ullage.memory.architecture import Architecture, architecture_of
from ullage.memory.compute_buffer import ComputeBuffer, measured, upper_bound
from ullage.memory.guard import CacheMemory, tightest
from ullage.memory.kv_cache import (
    CELL_PADDING,
    CacheEstimate,
    CacheLayout,
    as_loaded,
    estimate,
    for_each_slot,
    why_refused,
)
from ullage.memory.placement import MainMemory, PlacedModel, placed
from ullage.memory.readings import MemoryReading
from ullage.memory.sizing import Memory, SizingRequest
from ullage.memory.weights import Weights, weights
from ullage.providers.base import Footprint
from ullage.settings import CacheType, Resolved
from ullage.tokens.gguf import GgufError
from ullage.tokens.model_file import ModelFile, read_model_file

T = TypeVar("T")

logger = logging.getLogger(__name__)

MEGABYTE = 2**20
PRINTED_STEP_BYTES = MEGABYTE // 50
SHOWN_FRESH_S = 3.0
"""For how long what is only shown is not asked for again."""

CACHE_TYPES: tuple[CacheType, ...] = get_args(CacheType)


@frozen
class KnownModel:
    """``architecture`` None: neither server nor file tells, or it is of a kind that can't be computed. ``asked_at``
    is in seconds of the monotonic clock."""

    architecture: Architecture | None
    footprint: Footprint | None
    weights: Weights | None
    asked_at: float = field(factory=time.monotonic, eq=False)

    @property
    def is_loaded(self) -> bool:
        return self.footprint is not None

    @property
    def weights_bytes(self) -> int | None:
        return self.weights.bytes if self.weights else None


@frozen
class _Described:
    """What never changes of a model. ``file_bytes`` where its file was read for that."""

    architecture: Architecture | None
    file_bytes: int | None = None


@frozen
class Readings:
    """The hardware's reading, and main memory beside it; ``ram`` None: not read, or all that there is."""

    reading: MemoryReading
    ram: MainMemory | None = None


@define(eq=False)
class ModelMemory:
    resolved: Callable[[], Resolved]
    _described: WeakKeyDictionary[ActiveModel, _Described] = Factory(WeakKeyDictionary)
    _known: WeakKeyDictionary[ActiveModel, KnownModel] = Factory(WeakKeyDictionary)

    def known_now(self, active: ActiveModel | None) -> KnownModel | None:
        """What was found out last; never waits."""
        return self._known.get(active) if active else None

    async def known_lately(self, active: ActiveModel) -> KnownModel:
        """The same as `known` where it was asked a moment ago, for those who only show it."""
        known = self._known.get(active)
        if known is not None and time.monotonic() - known.asked_at < SHOWN_FRESH_S:
            return known
        return await self.known(active)

    async def known(self, active: ActiveModel) -> KnownModel:
        """Asked anew. Loads nothing. A server that fails to tell is a server that tells nothing."""
        described = await self._describe(active)
        footprint = await self._footprint(active)
        architecture, info = described.architecture, active.info
        best = weights(
            server_bytes=footprint.weights_bytes if footprint else None,
            file_bytes=info.size_bytes or described.file_bytes,
            parameter_count=(architecture.parameter_count if architecture else None) or info.parameter_count,
            quantisation=(architecture.quantisation if architecture else None) or info.quantisation,
        )
        self._known[active] = known = KnownModel(architecture, footprint, best)
        return known

    def request(
        self,
        active: ActiveModel,
        known: KnownModel,
        readings: Readings,
        *,
        auto: bool,
        target: int,
        cache_type: CacheType | None = None,
    ) -> SizingRequest:
        """The question what size this model can have, all that it holds already counted as its own."""
        context = self.resolved().settings.context
        return SizingRequest(
            architecture=known.architecture,
            layout=self._layout(active, known, CELL_PADDING, cache_type),
            memories=self._memories(active, known, readings),
            target=target,
            minimum=self._minimum(active),
            maximum=context.max_size,
            reserve_bytes=context.vram_buffer * MEGABYTE,
            auto=auto,
            model_limit=_model_limit(active, known),
            provider_limit=None if active.can_resize else active.window,
            compute=None if cache_type else self._compute_buffer(active, known),
            weights_estimated=known.weights is not None and known.weights.source == "parameters",
        )

    def _minimum(self, active: ActiveModel) -> int:
        """The least that a context may have; a smaller size set for the embedded engine itself goes before it."""
        settings = self.resolved().settings
        own_size = settings.providers.embedded.context_size if active.provider.name == "embedded" else 0
        return min(settings.context.min_size, own_size or settings.context.min_size)

    def _compute_buffer(self, active: ActiveModel, known: KnownModel) -> ComputeBuffer | None:
        """The compute buffer as measured, with the layout that it was measured for; None: an upper bound has to do."""
        footprint = known.footprint
        if footprint is None or footprint.compute_bytes is None:
            return None
        layout = None if active.window is None else self._layout(active, known, active.window)
        return measured(footprint.compute_bytes, layout)

    def _layout(
        self, active: ActiveModel, known: KnownModel, tokens: int, cache_type: CacheType | None = None
    ) -> CacheLayout:
        """As the server lays out ``tokens`` for each conversation. Where nothing is told, a split cache is assumed: it
        takes more."""
        kind = cache_type or self.cache_type(active, known)
        told = known.footprint or Footprint()
        layout = CacheLayout(
            1, told.slots or 1, cache_type_k=kind, cache_type_v=kind, unified=told.unified_cache or False
        )
        return for_each_slot(layout, tokens)

    def _memories(self, active: ActiveModel, known: KnownModel, readings: Readings) -> tuple[Memory, ...]:
        """Each memory that holds a part of the model, with what it holds of it. A server on another machine has memory
        that nobody here can see."""
        cache_bytes, compute_bytes = self._held_bytes(active, known)
        loading = 0 if known.is_loaded else known.weights_bytes
        if not active.provider.is_local:
            return (Memory(None, cache_bytes + compute_bytes, loading),)
        reading = readings.reading
        ram = None if reading.kind == "cpu" else readings.ram
        share = 1.0 if ram is None else _card_share(active, known)
        everything = (known.weights_bytes or 0) + cache_bytes + compute_bytes if known.is_loaded else 0
        told = known.footprint.gpu_bytes if known.footprint else None
        model = PlacedModel(
            layers=known.architecture.block_count if known.architecture else None,
            card_share=share,
            weights_bytes=loading,
            cache_bytes=cache_bytes,
            compute_bytes=compute_bytes,
            on_cards_bytes=round(everything * share) if told is None else told,
        )
        return placed(model, reading.devices, ram, self._least_bytes(active, known))

    def _least_bytes(self, active: ActiveModel, known: KnownModel) -> int:
        """What a card must have free before it can hold anything: what stays free there, and a compute buffer."""
        buffer = self.resolved().settings.context.vram_buffer * MEGABYTE
        if known.architecture is None:
            return buffer
        layout = as_loaded(known.architecture, self._layout(active, known, CELL_PADDING))
        return buffer + upper_bound(known.architecture, layout).bytes

    def cache_type(self, active: ActiveModel, known: KnownModel | None) -> CacheType:
        return self.kv_cache(active, known, None).type or "f16"

    def kv_cache(self, active: ActiveModel | None, known: KnownModel | None, size: int | None) -> KvCacheState:
        """The cache type and where we know it from: ours where we start the engine (f16 where the engine would refuse
        the one that is set for this model), else what the server tells, else what the person set for it, else servers'
        own default."""
        resolved = self.resolved()
        setting = resolved.settings.context.kv_quantization
        footprint = known.footprint if known else None
        if active is not None and active.provider.name == "embedded":
            return KvCacheState(_accepted(setting, known), "ours", size)
        told = footprint.cache_type_k if footprint else None
        kind = next((known for known in CACHE_TYPES if known == told), None)
        if kind is not None:
            return KvCacheState(kind, "measured", size)
        if resolved.origins.get("context.kvQuantization", "default") != "default":
            return KvCacheState(_accepted(setting, known), "settings", size)
        return KvCacheState("f16", "assumed", size)

    def cache_estimate(self, active: ActiveModel, known: KnownModel, tokens: int) -> CacheEstimate | None:
        if known.architecture is None:
            return None
        try:
            layout = self._layout(active, known, tokens)
            return estimate(known.architecture, as_loaded(known.architecture, layout))
        except UllageError:  # a type that no engine would give this model: nothing is known of its cache
            return None

    def cache_bytes(self, active: ActiveModel, known: KnownModel) -> int | None:
        """What the cache takes: as the engine measured it, else by arithmetic for the window that is allocated. An
        engine prints two decimals of a MiB: where arithmetic agrees with them, it knows better."""
        told = known.footprint.cache_bytes if known.footprint else None
        estimated = self.cache_estimate(active, known, active.window) if active.window else None
        if estimated is None:
            return told
        agrees = told is None or abs(told - estimated.total_bytes) <= PRINTED_STEP_BYTES
        return estimated.total_bytes if agrees else told

    def cache_memory(self, active: ActiveModel, known: KnownModel, readings: Readings) -> CacheMemory | None:
        """What the guard's arithmetic needs, of the memory with the least room for this cache's tokens; None where
        nothing is known of the cache, or of its memory."""
        estimated = self.cache_estimate(active, known, active.limit or 1)
        if estimated is None or not active.provider.is_local:
            return None
        per_token = estimated.bytes_per_token * self._layout(active, known, 1).streams
        held_bytes = (self.cache_bytes(active, known) or 0) if known.is_loaded else 0
        parts = [
            CacheMemory(
                free_bytes=memory.available_bytes,
                held_bytes=round(held_bytes * memory.layer_share),
                buffer_bytes=self.resolved().settings.context.vram_buffer * MEGABYTE,
                bytes_per_token=math.ceil(per_token * memory.layer_share),
                fixed_bytes=math.ceil(estimated.fixed_bytes * memory.layer_share),
            )
            for memory in self._memories(active, known, readings)
        ]
        return tightest(parts)

    def _held_bytes(self, active: ActiveModel, known: KnownModel) -> tuple[int, int]:
        """What the cache of a loaded model takes, and the compute buffer in each of its memories: as its server tells,
        else both together as what the server's sums leave beside the weights, and at least the cache by arithmetic.
        Without them a model would be its own rival."""
        footprint = known.footprint
        if footprint is None:
            return 0, 0
        if footprint.cache_bytes is not None:
            return footprint.cache_bytes, footprint.compute_bytes or 0
        estimated = self.cache_estimate(active, known, active.window) if active.window else None
        in_all = (footprint.gpu_bytes or 0) + (footprint.ram_bytes or 0)
        beside = in_all - known.weights_bytes if known.weights_bytes else 0
        return max(estimated.total_bytes if estimated else 0, beside), 0

    async def _footprint(self, active: ActiveModel) -> Footprint | None:
        """A server that tells of loaded models and does not tell of this one has let it go. One that fails to tell now
        is taken at its last word."""
        try:
            footprint = await active.provider.footprint(active.name)
        except UllageError as error:
            logger.info("A model server did not tell of its memory: %s", error.kind)
            former = self.known_now(active)
            return former.footprint if former else None
        if footprint is None and active.can_resize:
            active.window = None
        return footprint

    async def _describe(self, active: ActiveModel) -> _Described:
        """Found out once; a server that failed to tell is asked again the next time."""
        if active not in self._described:
            metadata = await _told(active.provider.metadata(active.name))
            if metadata is not None:
                self._described[active] = _Described(_read(metadata))
            elif (file := await self._model_file(active)) is not None:
                self._described[active] = _Described(_read(file.metadata), file.weights_bytes)
            else:
                return _Described(None)
        return self._described[active]

    async def _model_file(self, active: ActiveModel) -> ModelFile | None:
        path = await _told(active.provider.model_file(active.name))
        return await asyncio.to_thread(_header, path) if path else None


async def _told(answer: Awaitable[T]) -> T | None:
    try:
        return await answer
    except UllageError as error:
        logger.info("A model server did not tell of its model: %s", error.kind)
        return None


def _header(path: Path) -> ModelFile | None:
    try:
        return read_model_file(path)
    except (GgufError, OSError):
        return None


def _read(metadata: Mapping[str, object]) -> Architecture | None:
    try:
        return architecture_of(metadata)
    except UllageError as error:
        logger.warning("The model's memory can't be computed: %s", error.message)
        return None


def _model_limit(active: ActiveModel, known: KnownModel) -> int | None:
    told = known.architecture.context_length if known.architecture else None
    return told or active.info.context_length


def _accepted(setting: CacheType, known: KnownModel | None) -> CacheType:
    """The cache type that is set, or f16 where the engine would refuse it for this model."""
    if known is None or known.architecture is None:
        return setting
    layout = CacheLayout(CELL_PADDING, cache_type_k=setting, cache_type_v=setting)
    return setting if why_refused(known.architecture, layout) is None else "f16"


def _card_share(active: ActiveModel, known: KnownModel) -> float:
    """The part of the model's layers that lies on cards; 0 where it is all in main memory. What rests is loaded onto
    cards by servers; our own engine says where it computes only once it runs."""
    footprint = known.footprint
    if footprint is None or footprint.gpu_bytes is None:
        return 0.0 if active.provider.name == "embedded" else 1.0
    return footprint.gpu_bytes / max(footprint.gpu_bytes + (footprint.ram_bytes or 0), 1)
