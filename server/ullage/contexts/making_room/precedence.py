"""Who goes first at a model: a person's question before a summary that nobody waits for.

On a server with one slot a question would otherwise wait for the summary to end. A summary that gave way is begun anew
when no question is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TypeVar

from attrs import Factory, define, frozen

from ullage.contexts.active_model import ActiveModel
from ullage.contexts.session import Session

T = TypeVar("T")


@frozen(eq=False)
class _Question:
    """A question to a model; ``needing``: the context that may need a summary before it can be asked."""

    active: ActiveModel
    needing: Session | None


@frozen(eq=False)
class _Summary:
    session: Session
    active: ActiveModel
    task: asyncio.Task[object]


@define(eq=False)
class Precedence:
    _questions: list[_Question] = Factory(list)
    _summaries: list[_Summary] = Factory(list)
    _answered: asyncio.Event = Factory(asyncio.Event)

    @asynccontextmanager
    async def question(self, active: ActiveModel, needing: Session | None = None) -> AsyncGenerator[None]:
        """Within it no summary is asked of this model, but those of contexts whose own question needs one."""
        question = _Question(active, needing)
        self._questions.append(question)
        try:
            await self._interrupt()
            yield
        finally:
            self._questions.remove(question)
            self._answered.set()
            self._answered = asyncio.Event()

    async def summary(
        self, session: Session, active: ActiveModel, ask: Callable[[], Coroutine[object, object, T]]
    ) -> T:
        """What ``ask`` answers, as soon as no question goes before it; asked again each time it had to give way."""
        while True:
            while self._has_to_wait(session, active):
                await self._answered.wait()
            task = asyncio.ensure_future(ask())
            running = _Summary(session, active, task)
            self._summaries.append(running)
            try:
                await asyncio.wait([task])
            finally:
                self._summaries.remove(running)
                if not task.done():
                    await _ended(task)
            if not task.cancelled():
                return task.result()

    async def _interrupt(self) -> None:
        for summary in tuple(self._summaries):
            if self._has_to_wait(summary.session, summary.active):
                await _ended(summary.task)

    def _has_to_wait(self, session: Session, active: ActiveModel) -> bool:
        if any(question.needing is session for question in self._questions):
            return False
        return any(question.active is active for question in self._questions)


async def _ended(task: asyncio.Task[object]) -> None:
    task.cancel()
    await asyncio.wait([task])
