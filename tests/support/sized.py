"""Sizes over an in-memory store and a model server that remembers what it was told; memory is what a test says."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
from attrs import Factory, define

from support.architectures import plain
from support.rooms import Rooms, rooms
from ullage.contexts.directory import Directory
from ullage.contexts.making_room.memory_guard import MemoryGuard
from ullage.contexts.model_memory import ModelMemory
from ullage.contexts.monitor import Monitor
from ullage.contexts.sessions import Sessions
from ullage.contexts.sizes import Sizes
from ullage.errors import InsufficientMemory
from ullage.events import Event, Signal, StatusStale
from ullage.hardware.probe import blank, device, summed
from ullage.memory.readings import MemoryReading
from ullage.providers.base import Footprint, ModelInfo, Resized
from ullage.providers.untold import Untold
from ullage.settings import CacheType, ContextSettings, MemorySettings, ProviderSettings, Resolved, Settings

GIB = 2**30
TOKEN_BYTES = 131_072
"""What a token of `support.architectures.plain` takes with f16."""


@define(eq=False)
class FakeServer(Untold):
    """One model. ``window`` None: it rests. ``largest`` is what fits its memory. ``orders`` holds what it was told."""

    name: str = "ollama"
    window_now: int | None = None
    largest: int = 2**31
    metadata_now: Mapping[str, object] | None = Factory(plain)
    cache_type: str | None = None
    planned: int | None = None
    orders: list[tuple[int, CacheType | None]] = Factory(list)
    address: str = "nowhere"
    is_local: bool = True
    sizes_by_request: bool = True
    renders_with_own_template: bool = False

    def planned_window(self, model: str) -> int | None:
        return self.planned

    async def probe(self) -> bool:
        return True

    async def models(self) -> list[ModelInfo]:
        return [ModelInfo("model", self.window_now is not None, 131_072, self.window_now, GIB)]

    async def window(self, model: str) -> int | None:
        return self.window_now

    async def metadata(self, model: str) -> Mapping[str, object] | None:
        return self.metadata_now

    async def footprint(self, model: str) -> Footprint | None:
        if self.window_now is None:
            return None
        cache = self.window_now * TOKEN_BYTES
        return Footprint(GIB, cache, 0, gpu_bytes=GIB + cache, ram_bytes=0, cache_type_k=self.cache_type)

    async def resize(self, model: str, tokens: int, cache_type: CacheType | None = None) -> Resized:
        self.orders.append((tokens, cache_type))
        if tokens > self.largest:
            raise InsufficientMemory("Too little memory. Choose a smaller size.")
        reloaded = self.window_now not in (None, tokens)
        self.planned = tokens
        if self.window_now is not None:
            self.window_now = tokens
        return Resized(tokens, reloaded)

    def load(self) -> None:
        """As a first answer would."""
        self.window_now = self.planned

    async def close(self) -> None:
        pass

    def chat(self, request: Any) -> AsyncGenerator[Any]:
        raise NotImplementedError  # these tests ask for no answers


@define
class FakeMemory:
    """A card of ``total`` bytes, of which others than the model take ``others``; None: nothing can be read."""

    server: FakeServer
    total: int = 16 * GIB
    others: int | None = 0
    at: int = 1
    last: MemoryReading | None = None

    def take(self, wanted: int) -> None:
        """Others take so much in all, as far as the model leaves it to them."""
        self.others = min(wanted, self.total - self._taken())

    async def read(self) -> MemoryReading:
        self.at += 5000
        if self.others is None:
            self.last = blank(self._reading(self.total, 0), self.at)
            return self.last
        taken = self._taken()
        used = min(self.others + taken, self.total)
        self.last = self._reading(self.total - used, taken)
        return self.last

    def _reading(self, available: int, taken: int) -> MemoryReading:
        return summed("nvidia", [device("card", self.total, available)], self.at, taken)

    def _taken(self) -> int:
        window = self.server.window_now
        return 0 if window is None else GIB + window * TOKEN_BYTES


@define
class FakePerson:
    """``answer`` is what is chosen of the answers that are offered."""

    answer: str | None = None
    told: list[str] = Factory(list)
    asked: list[str] = Factory(list)

    def tell(self, text: str) -> None:
        self.told.append(text)

    async def ask(self, text: str, answers: tuple[str, ...]) -> str | None:
        self.asked.append(text)
        return self.answer if self.answer in answers else None


@define(eq=False)
class Place:
    server: FakeServer
    reader: FakeMemory
    sessions: Sessions
    directory: Directory
    sizes: Sizes
    monitor: Monitor
    settings: Settings
    origins: dict[str, Any]
    process: Rooms
    guard: MemoryGuard
    person: FakePerson
    seconds: float = 1000.0
    signals: list[Signal] = Factory(list)
    low: list[MemoryReading] = Factory(list)

    async def look(self, seconds: float = 5.0) -> None:
        """Time passes, then the monitor looks once and sizes follow."""
        self.seconds += seconds
        await self.monitor.look()
        await self.monitor.follow()

    def told(self, kind: str) -> list[dict[str, object]]:
        return [s.detail for s in self.signals if isinstance(s, Event) and s.kind == kind]

    def stale(self) -> int:
        return sum(isinstance(signal, StatusStale) for signal in self.signals)


@asynccontextmanager
async def place(
    folder: Path, server: FakeServer | None = None, origins: Mapping[str, Any] | None = None, **context: Any
) -> AsyncGenerator[Place]:
    """Everything from store to monitor, with nothing of the outside but a folder for the store."""
    server = server or FakeServer()
    settings = Settings(
        context=attrs.evolve(ContextSettings(target_size=0, max_size=0), **context),
        providers=ProviderSettings(default=server.name),  # type: ignore[arg-type]  # one of the words
        memory=MemorySettings(),
    )
    made = _assembled(folder, server, settings, dict(origins or {}))
    try:
        yield made
    finally:
        await made.process.close()


def _assembled(folder: Path, server: FakeServer, settings: Settings, origins: dict[str, Any]) -> Place:
    process = rooms(folder, server, settings=lambda: settings)
    sessions, directory = process.sessions, process.directory
    resolved = Resolved(settings, origins, ())
    made: list[Place] = []
    reader, person = FakeMemory(server), FakePerson()
    memory = ModelMemory(lambda: resolved)
    sizes = Sizes(sessions, directory, memory, process.room, reader, lambda: made[0].seconds)
    sessions.models.prepare = sizes.prepare
    guard = MemoryGuard(
        sessions=sessions,
        sizes=sizes,
        compressions=process.compressions,
        background=process.background,
        snapshots=process.snapshots,
        conversations=process.conversations,
        person=person,
        clock=lambda: made[0].seconds,
    )
    monitor = Monitor(sessions, sizes, lambda reading, _: made[0].low.append(reading), guard)
    made.append(Place(server, reader, sessions, directory, sizes, monitor, settings, origins, process, guard, person))
    sessions.bus.subscribe(made[0].signals.append)
    return made[0]
