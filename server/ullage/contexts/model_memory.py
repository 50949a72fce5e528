"""What is known of one model's memory: its architecture, what it takes now, and the question that sizing answers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar, get_args
from weakref import WeakKeyDictionary

from attrs import Factory, define, field, frozen

from ullage.contexts.active_model import ActiveModel
from ullage.contexts.values import KvCacheState
from ullage.errors import UllageError
from ullage.memory.architecture import Architecture, architecture_of
from ullage.memory.compute_buffer import ComputeBuffer, measured
from ullage.memory.guard import CacheMemory
from ullage.memory.kv_cache import CELL_PADDING, CacheEstimate, CacheLayout, as_loaded, estimate, why_refused
from ullage.memory.readings import MemoryReading
from ullage.memory.sizing import Memory, SizingRequest
from ullage.memory.weights import weights
from ullage.providers.base import Footprint
from ullage.settings import CacheType, Resolved
from ullage.tokens.gguf import GgufError
from ullage.tokens.model_file import read_model_file

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
    weights_bytes: int | None
    asked_at: float = field(factory=time.monotonic, eq=False)

    @property
    def is_loaded(self) -> bool:
        return self.footprint is not None


class MainMemory(Protocol):
    """Main memory in bytes, container limits respected; see `ullage.hardware.system`."""

    @property
    def total(self) -> int | None: ...

    @property
    def available(self) -> int | None: ...


@frozen
class Readings:
    """The hardware's reading, and main memory beside it; ``ram`` None: not read, or all that there is."""

    reading: MemoryReading
    ram: MainMemory | None = None


@define(eq=False)
class ModelMemory:
    resolved: Callable[[], Resolved]
    _architectures: WeakKeyDictionary[ActiveModel, Architecture | None] = Factory(WeakKeyDictionary)
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
        architecture = await self._architecture(active)
        footprint = await self._footprint(active)
        best = weights(
            server_bytes=footprint.weights_bytes if footprint else None,
            file_bytes=active.info.size_bytes,
            parameter_count=architecture.parameter_count if architecture else None,
        )
        self._known[active] = known = KnownModel(architecture, footprint, best.bytes if best else None)
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
        footprint = known.footprint
        wanted = cache_type or self.cache_type(active, known)
        return SizingRequest(
            architecture=known.architecture,
            layout=CacheLayout(1, footprint.slots or 1 if footprint else 1, cache_type_k=wanted, cache_type_v=wanted),
            memories=_memories(active, known, readings, self._held_bytes(active, known)),
            target=target,
            minimum=self._minimum(active),
            maximum=context.max_size,
            reserve_bytes=context.vram_buffer * MEGABYTE,
            auto=auto,
            model_limit=_model_limit(active, known),
            provider_limit=None if active.can_resize else active.window,
            compute=None if cache_type else self._compute_buffer(active, known),
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
        if active.window is None:
            return measured(footprint.compute_bytes)
        return measured(footprint.compute_bytes, self._layout(active, known, active.window))

    def _layout(self, active: ActiveModel, known: KnownModel, tokens: int) -> CacheLayout:
        kind = self.cache_type(active, known)
        slots = (known.footprint.slots if known.footprint else None) or 1
        return CacheLayout(tokens * slots, slots, cache_type_k=kind, cache_type_v=kind)

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
        """What the guard's arithmetic needs; None where nothing is known of the cache, or of its memory."""
        estimated = self.cache_estimate(active, known, active.limit or 1)
        if estimated is None or not active.provider.is_local:
            return None
        in_card = readings.ram is None or _card_share(active, known, readings.reading) > 0.5
        return CacheMemory(
            free_bytes=readings.reading.available if in_card or readings.ram is None else readings.ram.available,
            held_bytes=(self.cache_bytes(active, known) or 0) if known.is_loaded else 0,
            buffer_bytes=self.resolved().settings.context.vram_buffer * MEGABYTE,
            bytes_per_token=estimated.bytes_per_token,
            fixed_bytes=estimated.fixed_bytes,
        )

    def _held_bytes(self, active: ActiveModel, known: KnownModel) -> int:
        """What cache and compute buffer of a loaded model take: as its server tells, else what the server's sums leave
        beside the weights, and at least the cache by arithmetic. Without it a model would be its own rival."""
        footprint = known.footprint
        if footprint is None:
            return 0
        if footprint.cache_bytes is not None:
            return footprint.cache_bytes + (footprint.compute_bytes or 0)
        estimated = self.cache_estimate(active, known, active.window) if active.window else None
        in_all = (footprint.gpu_bytes or 0) + (footprint.ram_bytes or 0)
        beside = in_all - known.weights_bytes if known.weights_bytes else 0
        return max(estimated.total_bytes if estimated else 0, beside)

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

    async def _architecture(self, active: ActiveModel) -> Architecture | None:
        """Found out once; a server that failed to tell is asked again the next time."""
        if active not in self._architectures:
            metadata = await _told(active.provider.metadata(active.name))
            if metadata is None:
                file = await _told(active.provider.model_file(active.name))
                metadata = await asyncio.to_thread(_header, file) if file else None
            if metadata is None:
                return None
            self._architectures[active] = _read(metadata)
        return self._architectures[active]


async def _told(answer: Awaitable[T]) -> T | None:
    try:
        return await answer
    except UllageError as error:
        logger.info("A model server did not tell of its model: %s", error.kind)
        return None


def _header(file: Path) -> Mapping[str, object] | None:
    try:
        return read_model_file(file).metadata
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


def _card_share(active: ActiveModel, known: KnownModel, reading: MemoryReading) -> float:
    """The part of the model's layers that lies on the card that readings are of; 0 where it is all in main memory.
    What rests is loaded onto the card by servers; our own engine says where it computes only once it runs."""
    if reading.kind == "cpu":
        return 0.0
    footprint = known.footprint
    if footprint is None or footprint.gpu_bytes is None:
        return 0.0 if active.provider.name == "embedded" else 1.0
    return footprint.gpu_bytes / max(footprint.gpu_bytes + (footprint.ram_bytes or 0), 1)


def _memories(active: ActiveModel, known: KnownModel, readings: Readings, held_bytes: int) -> tuple[Memory, ...]:
    """Each memory that holds a part of the model, with what it holds of it. A server on another machine has memory
    that nobody here can see."""
    loading = 0 if known.is_loaded else known.weights_bytes
    if not active.provider.is_local:
        return (Memory(None, held_bytes, loading),)
    reading = readings.reading
    if reading.kind == "cpu" or readings.ram is None:
        return (Memory(reading.available, held_bytes, loading, 1.0, reading.total),)
    share = _card_share(active, known, reading)
    parts = ((share, reading.available, reading.total), (1 - share, readings.ram.available, readings.ram.total))
    return tuple(
        Memory(available, round(held_bytes * part), None if loading is None else round(loading * part), part, total)
        for part, available, total in parts
        if part > 0
    )
