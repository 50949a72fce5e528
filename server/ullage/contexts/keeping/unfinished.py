"""Erasures that were begun by a process which was killed: the next one brings them to their end."""

from __future__ import annotations

import logging

from attrs import define

from ullage.contexts.finishing import finish
from ullage.contexts.keeping.snapshots import Snapshots
from ullage.contexts.sessions import Sessions
from ullage.errors import UllageError, UnknownContext
from ullage.store.erasure import Erasure

logger = logging.getLogger(__name__)


@define(eq=False)
class UnfinishedErasures:
    sessions: Sessions
    snapshots: Snapshots

    async def end(self) -> None:
        """To be called before anything else asks the store for something, so that what this process itself erases is
        not among them."""
        try:
            unfinished = await self.sessions.store.run(lambda store: store.unfinished_erasures())
        except UllageError:
            return  # there is no store, and the person is told of that
        for erasure in unfinished:
            try:
                await self._end(erasure)
            except UllageError as error:
                logger.warning("An erasure could not be brought to its end: %s", error.kind)

    async def _end(self, erasure: Erasure) -> None:
        """With the context's lock: where another process holds it, that one is alive and ends the erasure itself."""
        locks = self.sessions.locks
        try:
            session = await self.sessions.get(erasure.context_id)
        except UnknownContext:
            if locks.try_acquire(erasure.context_id):
                try:
                    await finish(self._carry_on(erasure))
                finally:
                    locks.release(erasure.context_id)
            return
        was_held = session.lock.held
        if await self.sessions.own_if_free(session):
            async with session.mutex:
                try:
                    await finish(self._carry_on(erasure))
                finally:
                    if not was_held:
                        session.lock.release()

    async def _carry_on(self, erasure: Erasure) -> None:
        if await self.sessions.store.run(lambda store: store.resume_erasure(erasure)):
            if erasure.message_ids:
                await self.snapshots.forget(erasure.context_id, erasure.message_ids)
            else:
                await self.snapshots.erase_context(erasure.context_id)
            logger.info("An erasure that had been cut short was brought to its end")
        await self.sessions.store.run(lambda store: store.end_erasure(erasure.id))
