"""Which part gets which: no part looks for another by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from attrs import frozen

from ullage.app.configuration import Configuration
from ullage.contexts.chat import Chats
from ullage.contexts.commands.performing import Commands
from ullage.contexts.completion import Completions
from ullage.contexts.conversation import Conversations
from ullage.contexts.counters import Counters
from ullage.contexts.directory import Directory
from ullage.contexts.keeping.archive import Archive
from ullage.contexts.keeping.snapshots import Snapshots
from ullage.contexts.keeping.unfinished import UnfinishedErasures
from ullage.contexts.making_room.background import BackgroundCompressions
from ullage.contexts.making_room.compression import Compressions
from ullage.contexts.making_room.memory_guard import MemoryGuard, Person
from ullage.contexts.making_room.precedence import Precedence
from ullage.contexts.making_room.progress import LongWork
from ullage.contexts.making_room.room import Room
from ullage.contexts.making_room.summarising import Summariser
from ullage.contexts.making_room.window_guard import WindowGuard
from ullage.contexts.model_memory import ModelMemory
from ullage.contexts.models import Models
from ullage.contexts.monitor import Monitor
from ullage.contexts.report import Reports
from ullage.contexts.sessions import Sessions
from ullage.contexts.sizes import Sizes
from ullage.contexts.store_thread import StoreThread
from ullage.contexts.takeover import Yielding
from ullage.events import EventBus
from ullage.hardware.polling import Poller
from ullage.hardware.system import SystemMemory
from ullage.memory.readings import MemoryReading
from ullage.providers.base import Provider
from ullage.store.folder import StorageFolder
from ullage.store.locks import ContextLocks
from ullage.store.opening import open_store
from ullage.store.snapshot_files import SnapshotFiles


@frozen(eq=False)
class ClientSide:
    """The client and its person, as the use cases know them. ``long_work`` shows what takes its time."""

    name: str
    tell_low: Callable[[MemoryReading, int], None]
    person: Person
    long_work: LongWork


@frozen(eq=False)
class Parts:
    sessions: Sessions
    directory: Directory
    conversations: Conversations
    chats: Chats
    completions: Completions
    reports: Reports
    sizes: Sizes
    compressions: Compressions
    background: BackgroundCompressions
    snapshots: Snapshots
    archive: Archive
    commands: Commands
    monitor: Monitor
    reader: Poller
    yielding: Yielding
    unfinished: UnfinishedErasures

    async def close(self) -> None:
        """End what runs by itself and the model servers that are ours, free the locks, close the store; in this
        order."""
        self.reader.close()
        await self.monitor.close()
        await self.background.stop()
        await self.sessions.models.close()
        self.sessions.locks.release_all()
        await self.sessions.store.close()


def assemble(configuration: Configuration, folder: StorageFolder, client: ClientSide) -> Parts:
    """Sends nothing and waits for nothing; the store begins to open on its thread."""
    sessions = _sessions(configuration, folder, client.name)
    directory = Directory(sessions)
    snapshots = Snapshots(sessions, directory, SnapshotFiles(folder))
    directory.before_delete = snapshots.erase_context
    precedence = Precedence()
    compressions = Compressions(sessions, Summariser(sessions, precedence))
    background = BackgroundCompressions(compressions, client.long_work)
    window_guard = WindowGuard(sessions, compressions, background, snapshots)
    room = Room(sessions, compressions, background, window_guard)
    reader = Poller()
    sizes = _sizes(configuration, sessions, directory, room, reader)
    conversations = Conversations(sessions, directory, window_guard)
    memory_guard = MemoryGuard(sessions, sizes, compressions, background, snapshots, conversations, client.person)
    monitor = Monitor(sessions, sizes, client.tell_low, memory_guard)
    reports = Reports(sessions, directory, sizes, monitor, snapshots, configuration.resolved_for)
    archive = Archive(sessions, snapshots.forget, window_guard)
    return Parts(
        sessions=sessions,
        directory=directory,
        conversations=conversations,
        chats=Chats(sessions, room, precedence, window_guard),
        completions=Completions(sessions, directory, precedence),
        reports=reports,
        sizes=sizes,
        compressions=compressions,
        background=background,
        snapshots=snapshots,
        archive=archive,
        commands=Commands(
            directory=directory,
            conversations=conversations,
            reports=reports,
            sizes=sizes,
            snapshots=snapshots,
            compressions=compressions,
            archive=archive,
        ),
        monitor=monitor,
        reader=reader,
        yielding=Yielding(sessions),
        unfinished=UnfinishedErasures(sessions, snapshots),
    )


def _sessions(configuration: Configuration, folder: StorageFolder, client_name: str) -> Sessions:
    """What all use cases share."""
    store = StoreThread(lambda: open_store(folder))
    counters = Counters(lambda: configuration.settings)

    async def providers() -> Sequence[Provider]:
        from ullage.app.servers import build_providers  # noqa: PLC0415  # start-up: HTTP clients are needed later

        return await asyncio.to_thread(build_providers, configuration.settings)

    return Sessions(
        store=store,
        locks=ContextLocks(folder, client_name),
        models=Models(providers, counters.choose, store, lambda: configuration.settings),
        bus=EventBus(),
        settings=lambda: configuration.settings,
        counters=counters,
        settings_of=configuration.settings_for,
    )


def _sizes(configuration: Configuration, sessions: Sessions, directory: Directory, room: Room, reader: Poller) -> Sizes:
    """How large windows are, which is looked at before a model is first used."""
    memory = ModelMemory(lambda: configuration.resolved)
    sizes = Sizes(sessions, directory, memory, room, reader, read_ram=SystemMemory().read)
    sessions.models.prepare = sizes.prepare
    return sizes
