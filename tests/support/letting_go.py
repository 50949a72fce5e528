"""The ways in which a context is let go of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from support.rooms import Rooms
from ullage.contexts.session import Session
from ullage.contexts.takeover import Yielding


async def take_over(process: Rooms, session: Session) -> None:
    await Yielding(process.sessions)._let_go(session.id)


async def close(process: Rooms, session: Session) -> None:
    await process.directory.close(session.id)


async def delete(process: Rooms, session: Session) -> None:
    await process.directory.delete(session.id)


async def remove_folder(process: Rooms, session: Session) -> None:
    await process.directory.folder_removed(session.state.record.workspace_uri)


LettingGo = Callable[[Rooms, Session], Awaitable[None]]
WAYS: Sequence[LettingGo] = (take_over, close, delete, remove_folder)
