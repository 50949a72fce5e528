"""Erasures that were begun by a process which was killed: the next one brings them to their end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from attrs import define

from ullage.contexts.finishing import finish
from ullage.contexts.keeping.snapshots import Snapshots
from ullage.contexts.sessions import Sessions
from ullage.errors import UllageError, UnknownContext
from ullage.store.erasure import Erasure

logger = logging.getLogger(__name__)


PAUSE_S = 60.0
"""Between two looks at what is in the hands of another process."""


@define(eq=False)
class UnfinishedErasures:
    sessions: Sessions
    snapshots: Snapshots

    async def end_all(self) -> None:
        """To be called before anything else asks the store for something, so that what this process itself erases is
        not among them. Goes on until those are ended whose contexts other processes hold: one that took a context over
        from a killed process knows nothing of its erasure."""
        held = await self.end(await self._noted())
        while held:
            await asyncio.sleep(PAUSE_S)
            noted = await self._noted()
            held = await self.end([erasure for erasure in held if erasure in noted])

    async def end(self, unfinished: Sequence[Erasure]) -> list[Erasure]:
        """Those that are not ended because another process holds the lock of their context, which may be erasing."""
        held = []
        for erasure in unfinished:
            try:
                if not await self._end(erasure):
                    held.append(erasure)
            except UllageError as error:
                logger.warning("An erasure could not be brought to its end: %s", error.kind)
        return held

    async def _noted(self) -> list[Erasure]:
        try:
            return await self.sessions.store.run(lambda store: store.unfinished_erasures())
        except UllageError:
            return []  # there is no store, and the person is told of that

    async def _end(self, erasure: Erasure) -> bool:
        """False where another process holds the context's lock."""
        try:
            session = await self.sessions.get(erasure.context_id)
        except UnknownContext:
            return await self._end_with_lock(erasure)
        async with session.mutex:
            return await self._end_with_lock(erasure)

    async def _end_with_lock(self, erasure: Erasure) -> bool:
        locks = self.sessions.locks
        was_held = locks.holds(erasure.context_id)
        if not locks.try_acquire(erasure.context_id):
            return False
        try:
            await finish(self._carry_on(erasure))
        finally:
            if not was_held:
                locks.release(erasure.context_id)
        return True

    async def _carry_on(self, erasure: Erasure) -> None:
        if await self.sessions.store.run(lambda store: store.resume_erasure(erasure)):
            if erasure.message_ids:
                await self.snapshots.forget(erasure.context_id, erasure.message_ids)
            else:
                await self.snapshots.erase_context(erasure.context_id)
            logger.info("An erasure that had been cut short was brought to its end")
        await self.sessions.store.run(lambda store: store.end_erasure(erasure.id))
