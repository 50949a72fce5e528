"""Compressions that run behind the conversation."""

from __future__ import annotations

import asyncio
import logging

from attrs import Factory, define

from ullage.contexts.making_room.compression import Aim, Compressions
from ullage.contexts.making_room.progress import LongWork, untold
from ullage.contexts.session import Session
from ullage.contexts.values import CompressionResult
from ullage.errors import UllageError
from ullage.whereabouts import whereabouts

logger = logging.getLogger(__name__)


@define(eq=False)
class BackgroundCompressions:
    """At most one for each context."""

    compressions: Compressions
    long_work: LongWork = untold
    _running: set[Session] = Factory(set)

    def start(self, session: Session, aim: Aim) -> None:
        if session.compressing is not None or session.is_let_go:
            return
        self._running.add(session)
        session.compressing = asyncio.create_task(self._run(session, aim))
        session.compressing.add_done_callback(lambda _: self._ended(session))

    async def settled(self, session: Session) -> CompressionResult | None:
        """Wait for the one that runs for this context, and tell what it came to. Cancelling the wait leaves it
        running."""
        task = session.compressing
        if task is None:
            return None
        await asyncio.wait([task])
        return None if task.cancelled() else task.result()

    async def stop(self, session: Session | None = None) -> None:
        """End what runs for a context, or for all."""
        tasks = [s.compressing for s in self._running if session in (None, s) and s.compressing is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, session: Session, aim: Aim) -> CompressionResult | None:
        try:
            async with self.long_work(f"Making room in {session.state.record.name}") as report:
                return await self.compressions.reduce(session, aim, report)
        except UllageError as error:
            logger.info("A conversation could not be compressed in the background: %s", error.kind)
        except Exception as error:  # the conversation goes on; the next request makes the room that it needs
            logger.error("A compression failed: %s", whereabouts(error))  # noqa: TRY400  # not its text
        return None

    def _ended(self, session: Session) -> None:
        session.compressing = None
        self._running.discard(session)
