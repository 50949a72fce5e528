"""Who goes first at a model: a person's question before a summary that nobody waits for.

On a server with one slot a question would otherwise wait for the summary to end. A summary that gave way is begun anew
when no question is left; one that somebody waits for lets a few questions go first and then goes on beside them, or
others who ask and ask would keep it from ever being written.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from math import inf
from typing import Any, TypeVar

from attrs import Factory, define, frozen

from ullage.contexts.active_model import ActiveModel
from ullage.contexts.finishing import ended
from ullage.contexts.session import Session

T = TypeVar("T")

MOST_FIRST = 6
"""Questions that a summary which somebody waits for lets go first. A chat turn is two: room for it, and its answer."""


@frozen(eq=False)
class _Question:
    """A question to a model; ``needing``: the context that may need a summary before it can be asked."""

    active: ActiveModel
    needing: Session | None


@define(eq=False)
class _Summary:
    """``patience`` is how many questions it still lets go first."""

    session: Session
    active: ActiveModel
    patience: float


@define(eq=False)
class Precedence:
    _questions: list[_Question] = Factory(list)
    _running: dict[_Summary, asyncio.Future[Any]] = Factory(dict)
    _answered: Counter[str] = Factory(Counter)
    _changed: asyncio.Event = Factory(asyncio.Event)

    @asynccontextmanager
    async def question(self, active: ActiveModel, needing: Session | None = None) -> AsyncGenerator[None]:
        """Within it no summary is asked of this model, but those of contexts whose own question needs one."""
        question = _Question(active, needing)
        self._questions.append(question)
        try:
            if needing is not None:
                self._look_again()  # its own summary may have given way to another context's question
            await self._interrupt()
            yield
        finally:
            self._questions.remove(question)
            self._answered[active.key] += 1
            self._look_again()

    async def summary(
        self,
        session: Session,
        active: ActiveModel,
        ask: Callable[[], Coroutine[object, object, T]],
        *,
        is_awaited: bool = False,
    ) -> T:
        """What ``ask`` answers, as soon as no question goes before it; asked again each time it had to give way.
        ``is_awaited``: somebody waits for it."""
        summary = _Summary(session, active, MOST_FIRST if is_awaited else inf)
        while True:
            await self._first_questions(summary)
            task = asyncio.ensure_future(ask())
            await self._run(summary, task)
            if not task.cancelled():
                return task.result()

    async def _first_questions(self, summary: _Summary) -> None:
        while self._has_to_wait(summary):
            before = self._answered[summary.active.key]
            await self._changed.wait()
            summary.patience -= self._answered[summary.active.key] - before

    async def _run(self, summary: _Summary, task: asyncio.Future[T]) -> None:
        self._running[summary] = task
        try:
            await asyncio.wait([task])
        finally:
            del self._running[summary]
            if not task.done():
                await ended(task)

    async def _interrupt(self) -> None:
        for summary, task in tuple(self._running.items()):
            if self._has_to_wait(summary):
                await ended(task)

    def _has_to_wait(self, summary: _Summary) -> bool:
        if summary.patience <= 0 or any(question.needing is summary.session for question in self._questions):
            return False
        return any(question.active.key == summary.active.key for question in self._questions)

    def _look_again(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
