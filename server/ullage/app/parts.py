"""Which part gets which: no part looks for another by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from attrs import frozen

from ullage.app.configuration import Configuration
from ullage.contexts.chat import Chats
from ullage.contexts.completion import Completions
from ullage.contexts.conversation import Conversations
from ullage.contexts.counters import Counters
from ullage.contexts.directory import Directory
from ullage.contexts.model_memory import ModelMemory
from ullage.contexts.models import Models
from ullage.contexts.monitor import Monitor
from ullage.contexts.report import Reports
from ullage.contexts.room import Room
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


@frozen(eq=False)
class Parts:
    sessions: Sessions
    directory: Directory
    conversations: Conversations
    chats: Chats
    completions: Completions
    reports: Reports
    sizes: Sizes
    monitor: Monitor
    reader: Poller
    yielding: Yielding

    async def close(self) -> None:
        """End the model servers that are ours, free the locks, close the store; in this order."""
        self.reader.close()
        await self.sessions.models.close()
        self.sessions.locks.release_all()
        await self.sessions.store.close()


def assemble(
    configuration: Configuration,
    folder: StorageFolder,
    client_name: str,
    tell_low: Callable[[MemoryReading, int], None],
) -> Parts:
    """Sends nothing and waits for nothing; the store begins to open on its thread."""
    store = StoreThread(lambda: open_store(folder))
    counters = Counters(lambda: configuration.settings)

    async def providers() -> Sequence[Provider]:
        from ullage.app.servers import build_providers  # noqa: PLC0415  # start-up: HTTP clients are needed later

        return await asyncio.to_thread(build_providers, configuration.settings)

    models = Models(providers, counters.choose, store, lambda: configuration.settings)
    sessions = Sessions(
        store=store,
        locks=ContextLocks(folder, client_name),
        models=models,
        bus=EventBus(),
        settings=lambda: configuration.settings,
        counters=counters,
    )
    directory = Directory(sessions)
    room = Room(sessions)
    reader = Poller()
    sizes = Sizes(
        sessions, directory, ModelMemory(lambda: configuration.resolved), room, reader, read_ram=SystemMemory().read
    )
    models.prepare = sizes.prepare
    monitor = Monitor(sessions, sizes, tell_low)
    return Parts(
        sessions=sessions,
        directory=directory,
        conversations=Conversations(sessions, directory),
        chats=Chats(sessions, room),
        completions=Completions(sessions, directory),
        reports=Reports(sessions, directory, sizes, monitor),
        sizes=sizes,
        monitor=monitor,
        reader=reader,
        yielding=Yielding(sessions),
    )
