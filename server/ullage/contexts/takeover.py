"""Letting go of a context that another process asks for."""

from __future__ import annotations

import asyncio
import logging

from attrs import define

from ullage.contexts.sessions import Sessions, letting_go
from ullage.whereabouts import whereabouts

logger = logging.getLogger(__name__)

POLL_S = 0.25
"""Four looks a second keep the promise of letting go within one; each is a single ``stat``, or nothing at all."""


@define(eq=False)
class Yielding:
    """Watches for requests as long as the process lives."""

    sessions: Sessions

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            for context_id in self.sessions.locks.takeover_requests():
                try:
                    await self._let_go(context_id)
                except Exception as error:  # others go on asking, and this one asks again
                    place = whereabouts(error)
                    logger.error("A context could not be let go: %s", place)  # noqa: TRY400  # not its text

    async def _let_go(self, context_id: str) -> None:
        """An answer on its way is kept as far as it has come."""
        session = next((s for s in self.sessions.opened() if s.id == context_id), None)
        if session is None:
            self.sessions.locks.release(context_id)
            return
        async with letting_go(session), session.mutex:
            session.lock.release()
        self.sessions.stale(context_id)
