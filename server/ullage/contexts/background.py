"""Compressions that run behind the conversation, and give way to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from attrs import Factory, define

from ullage.contexts.active_model import ActiveModel
from ullage.contexts.compression import Aim, Compressions
from ullage.contexts.progress import LongWork, untold
from ullage.contexts.session import Session
from ullage.errors import UllageError
from ullage.whereabouts import whereabouts

logger = logging.getLogger(__name__)


@define(eq=False)
class BackgroundCompressions:
    """At most one for each context. A person's question goes before all that run on the same model: on a server with
    one slot it would wait for them. They are taken up again when the answer has come."""

    compressions: Compressions
    long_work: LongWork = untold
    _running: dict[Session, Aim] = Factory(dict)
    _postponed: dict[Session, Aim] = Factory(dict)

    def start(self, session: Session, aim: Aim) -> None:
        self._postponed.pop(session, None)
        if session.compressing is not None:
            return
        self._running[session] = aim
        session.compressing = asyncio.create_task(self._run(session, aim))
        session.compressing.add_done_callback(lambda _: self._ended(session))

    async def settled(self, session: Session) -> None:
        """Wait for the one that runs for this context. Cancelling the wait leaves it running."""
        if session.compressing is not None:
            await asyncio.wait([session.compressing])

    async def give_way(self, active: ActiveModel, spared: Session | None = None) -> None:
        """End those that ask this model for a summary now, until `resume`; that of a context that needs it stays."""
        asking = [s for s in self._running if s.summarising is active and s is not spared]
        self._postponed |= {session: self._running[session] for session in asking}
        await self._end(asking)

    def resume(self) -> None:
        """Take up again what gave way."""
        for session, aim in tuple(self._postponed.items()):
            del self._postponed[session]
            if not session.state.is_resting:
                self.start(session, aim)

    async def stop(self, session: Session | None = None) -> None:
        """End what runs for a context, or for all, and what is postponed."""
        for owner in [s for s in self._postponed if session in (None, s)]:
            del self._postponed[owner]
        await self._end([s for s in self._running if session in (None, s)])

    async def _end(self, sessions: Iterable[Session]) -> None:
        tasks = [session.compressing for session in sessions if session.compressing is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, session: Session, aim: Aim) -> None:
        try:
            async with self.long_work(f"Making room in {session.state.record.name}") as report:
                await self.compressions.reduce(session, aim, report)
        except UllageError as error:
            logger.info("A conversation could not be compressed in the background: %s", error.kind)
        except Exception as error:  # the conversation goes on; the next request makes the room that it needs
            logger.error("A compression failed: %s", whereabouts(error))  # noqa: TRY400  # not its text

    def _ended(self, session: Session) -> None:
        session.compressing = None
        self._running.pop(session, None)
