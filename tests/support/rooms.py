"""Everything that says, compresses, keeps and restores, over a real store and a model server inside the process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
from attrs import Factory, define

from support.summarising_stub import GOOD
from ullage.contexts.chat import Chats
from ullage.contexts.conversation import Conversations
from ullage.contexts.counters import CounterChoice, Counters
from ullage.contexts.directory import Directory
from ullage.contexts.keeping.archive import Archive
from ullage.contexts.keeping.snapshots import Snapshots
from ullage.contexts.making_room.background import BackgroundCompressions
from ullage.contexts.making_room.compression import Compressions
from ullage.contexts.making_room.precedence import Precedence
from ullage.contexts.making_room.room import Room
from ullage.contexts.making_room.summarising import Summariser
from ullage.contexts.making_room.window_guard import WindowGuard
from ullage.contexts.models import Models
from ullage.contexts.sessions import Sessions
from ullage.contexts.store_thread import StoreThread
from ullage.events import Event, EventBus, Signal
from ullage.providers.base import ChatRequest, Delta, Finished, ModelInfo, Provider
from ullage.providers.untold import Untold
from ullage.settings import ContextSettings, Settings
from ullage.store.folder import open_folder
from ullage.store.locks import ContextLocks
from ullage.store.opening import open_store
from ullage.store.snapshot_files import SnapshotFiles

WORKSPACE = "file:///project"


@define(eq=False)
class Answering(Untold):
    """One model with a window of ``limit`` tokens, which gives ``summary`` for a summary and ``answer`` else."""

    limit: int = 1024
    summary: str = GOOD
    answer: str = "I heard you."
    requests: list[ChatRequest] = Factory(list)
    name: str = "llamacpp"
    address: str = "nowhere"
    is_local: bool = True
    sizes_by_request: bool = False
    renders_with_own_template: bool = False

    def planned_window(self, model: str) -> int | None:
        return None

    async def probe(self) -> bool:
        return True

    async def models(self) -> list[ModelInfo]:
        return [ModelInfo("model", True, self.limit, self.limit, 2**30)]

    async def window(self, model: str) -> int | None:
        return self.limit

    async def close(self) -> None:
        pass

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Delta | Finished]:
        self.requests.append(request)
        yield Delta(self.summary if request.options.response_schema else self.answer)
        yield Finished("stop")


@define(eq=False)
class Rooms:
    """As the server puts its parts together, for one process's life."""

    sessions: Sessions
    directory: Directory
    snapshots: Snapshots
    compressions: Compressions
    background: BackgroundCompressions
    guard: WindowGuard
    precedence: Precedence
    room: Room
    conversations: Conversations
    chats: Chats
    archive: Archive
    signals: list[Signal] = Factory(list)

    def told(self, kind: str) -> list[dict[str, object]]:
        return [s.detail for s in self.signals if isinstance(s, Event) and s.kind == kind]

    async def open(self, name: str = "main") -> str:
        """A context whose model is known."""
        context = await self.directory.open(WORKSPACE, name)
        await self.sessions.models.active_if_any((await self.sessions.get(context.id)).state.record)
        return context.id

    async def close(self) -> None:
        await self.background.stop()
        await self.crash()

    async def crash(self) -> None:
        """The process is gone: nothing is put in order but what the system sees to."""
        self.sessions.locks.release_all()
        await self.sessions.store.close()


def rooms(folder: Path, *servers: Provider, settings: Callable[[], Settings] | None = None, **context: Any) -> Rooms:
    """A process over the storage in ``folder`` that knows these model servers, to be closed in the end. ``settings``
    are looked at whenever they are needed; without them those of ``context`` hold, over the defaults."""
    fixed = attrs.evolve(Settings(), context=attrs.evolve(ContextSettings(), **context))
    settings_now = settings or (lambda: fixed)

    async def build() -> Sequence[Provider]:
        return servers

    async def choose(*_: Any, **_options: Any) -> CounterChoice:
        return CounterChoice(counters.fallback(), provisional=False)

    storage = open_folder(folder)
    store = StoreThread(lambda: open_store(storage))
    counters = Counters(settings_now)
    models = Models(build, choose, store, settings_now)
    locks = ContextLocks(storage, "a test")
    sessions = Sessions(store, locks, models, EventBus(), settings_now, counters, settings_of=lambda _: settings_now())
    directory = Directory(sessions)
    snapshots = Snapshots(sessions, directory, SnapshotFiles(storage))
    precedence = Precedence()
    compressions = Compressions(sessions, Summariser(sessions, precedence))
    background = BackgroundCompressions(compressions)
    guard = WindowGuard(sessions, compressions, background, snapshots)
    room = Room(sessions, compressions, background, guard)
    made = Rooms(
        sessions=sessions,
        directory=directory,
        snapshots=snapshots,
        compressions=compressions,
        background=background,
        guard=guard,
        precedence=precedence,
        room=room,
        conversations=Conversations(sessions, directory, guard),
        chats=Chats(sessions, room, precedence, guard),
        archive=Archive(sessions, snapshots.forget, guard),
    )
    sessions.bus.subscribe(made.signals.append)
    return made
