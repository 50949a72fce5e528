"""Snapshots over a real folder and store, without a model server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs import define

from support.rooms import Rooms, rooms
from support.store_values import message
from ullage.contexts.keeping.snapshots import Snapshots
from ullage.contexts.session import Session
from ullage.contexts.sessions import Sessions
from ullage.contexts.state import ContextState, Planned, replacing
from ullage.conversation.messages import Message
from ullage.conversation.operations import Operation
from ullage.settings import ContextSettings, Settings, SnapshotSettings
from ullage.store.records import Commit
from ullage.store.snapshot_files import SnapshotFiles


@define(eq=False)
class Place:
    process: Rooms
    sessions: Sessions
    snapshots: Snapshots
    settings: Settings
    seconds: float = 1000.0

    @property
    def files(self) -> SnapshotFiles:
        return self.snapshots.files

    async def context(self, name: str = "main") -> Session:
        opened = await self.snapshots.directory.open("file:///project", name)
        return await self.sessions.get(opened.id)

    async def say(self, session: Session, *messages: Message, pinned: Sequence[str] = ()) -> tuple[Message, ...]:
        """Without messages: a question and an answer."""
        said = messages or (message("What is this?"), message("A test.", role="assistant"))

        async def plan(_: ContextState) -> Planned:
            ids = tuple(each.id for each in said)
            operation = self.sessions.operation(session.id, "append", {})
            return Planned(Commit(operation, messages=said, appended=ids, pinned=tuple(pinned)))

        await self.sessions.change(session, plan)
        return said

    async def window(self, session: Session, *messages: Message, kind: Any = "clear", **marks: Any) -> None:
        """Put another window in place of the present one."""

        async def plan(state: ContextState) -> Planned:
            detail = marks.pop("detail", {})
            return replacing(self.sessions.operation(session.id, kind, detail), state, messages, **marks)

        await self.sessions.change(session, plan)

    async def undo(self, session: Session) -> None:
        """Take the latest change of the window back."""
        await self.process.conversations.undo(session.id, None)

    async def forget(self, session: Session, said: Message) -> None:
        """Erase one message, first from the store and then from the snapshots, with the mutex held all along."""
        async with session.mutex:
            await self.sessions.own(session)
            operation = self.sessions.operation(session.id, "forget", {})
            erased = await self.sessions.store.run(lambda store: store.forget(session.id, said.id, operation))
            await self.sessions.refresh(session)
            await self.snapshots.forget(session.id, erased)

    async def operations(self, session: Session) -> list[Operation]:
        logged = await self.sessions.store.run(lambda store: store.operations([session.id], None, 1000))
        return [each.operation for each in logged]

    def told(self, kind: str) -> list[dict[str, object]]:
        return self.process.told(kind)

    def change_settings(self, **fields: Any) -> None:
        """Those of snapshots."""
        context = self.settings.context
        snapshots = attrs.evolve(context.snapshots, **fields)
        self.settings = attrs.evolve(self.settings, context=attrs.evolve(context, snapshots=snapshots))


@asynccontextmanager
async def place(folder: Path, **snapshots: Any) -> AsyncGenerator[Place]:
    made: list[Place] = []
    process = rooms(folder, settings=lambda: made[0].settings)
    process.snapshots.totals.clock = lambda: made[0].seconds
    settings = Settings(context=ContextSettings(snapshots=SnapshotSettings(**snapshots)))
    made.append(Place(process, process.sessions, process.snapshots, settings))
    try:
        yield made[0]
    finally:
        await process.close()


def files_in(here: Place) -> list[str]:
    return sorted(path.name for path in here.files.folder.snapshots.rglob("*") if path.is_file())


def marks_of(state: ContextState) -> tuple[Any, ...]:
    ids = set(state.ids)
    return state.ids, state.pinned & ids, state.carried, state.masked & ids


class Slow:
    """The files, whose writing waits until it is let go."""

    def __init__(self, here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        real = here.files.write

        def write(*arguments: Any) -> Any:
            self.begun.set()
            assert self.go.wait(10)
            return real(*arguments)

        monkeypatch.setattr(type(here.files), "write", lambda _, *arguments: write(*arguments))

    async def reached(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 10)
