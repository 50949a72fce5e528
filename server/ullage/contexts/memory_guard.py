"""Acts when a conversation's cache comes near the end of the memory that it may have, the mildest means first."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Literal, Protocol, TypeAlias

from attrs import Factory, define, frozen

from ullage.contexts.compression import Aim, Compressions
from ullage.contexts.session import Session
from ullage.contexts.sessions import Sessions
from ullage.contexts.sizes import Sizes
from ullage.contexts.snapshots import Snapshots
from ullage.contexts.views import grouped
from ullage.conversation.usage import Usage
from ullage.errors import UllageError
from ullage.memory.guard import HIGH, CacheMemory, Gauge, GaugeLevel, is_higher, memory_gauge, tokens_that_fit

logger = logging.getLogger(__name__)

COOLDOWN_S = 60.0
"""Between two interventions for one context while the gauge stays up."""

Action = Literal["compress", "reduce", "clear"]

_ACTIONS: dict[GaugeLevel, tuple[Action, ...]] = {
    "calm": (),
    "high": ("compress", "reduce"),
    "severe": ("reduce", "clear"),
    "critical": ("clear",),
}
"""By level: what is done, and what follows where that did not succeed."""

RESTORE, COMPRESS_MORE, REDUCE, CARRY_ON = "Restore", "Compress more", "Reduce the size", "Carry on"


class Person(Protocol):
    """Whoever sits before the editor."""

    def tell(self, text: str) -> None: ...

    async def ask(self, text: str, answers: tuple[str, ...]) -> str | None:
        """One of the answers; None where none was given."""


@frozen
class _Case:
    """One context whose gauge is up, as it was looked at."""

    session: Session
    usage: Usage
    memory: CacheMemory
    gauge: Gauge

    @property
    def room(self) -> int:
        """The tokens that memory has room for in all, those in use included."""
        return tokens_that_fit(self.memory.room_bytes or 0, self.memory.bytes_per_token) or 0


_Carry: TypeAlias = Callable[[_Case], Awaitable[bool]]


@define(eq=False)
class MemoryGuard:
    """Looks whenever memory was read. Unknown memory switches it off."""

    sessions: Sessions
    sizes: Sizes
    compressions: Compressions
    snapshots: Snapshots
    person: Person
    clock: Callable[[], float] = time.monotonic
    _levels: dict[str, GaugeLevel] = Factory(dict)
    _acted_at: dict[str, float] = Factory(dict)
    _asking: set[asyncio.Task[None]] = Factory(set)

    async def look(self) -> None:
        """One look at every open context; where a gauge rose, or stays up after the cooldown, something is done."""
        for session in self.sessions.opened():
            case = await self._case(session)
            before = self._levels.get(session.id, "calm")
            self._levels[session.id] = case.gauge.level if case else "calm"
            if case is None or case.gauge.level == "calm" or session.answering:
                continue
            rested = self.clock() - self._acted_at.get(session.id, float("-inf")) >= COOLDOWN_S
            rose = is_higher(case.gauge.level, before)
            if rose or rested:
                self._acted_at[session.id] = self.clock()
                await self._act(case, tell=rose)

    async def _case(self, session: Session) -> _Case | None:
        memory = await self.sizes.cache_memory(session)
        if memory is None:
            return None
        usage = await self.sessions.usage(session, exactly=False)
        before = self._levels.get(session.id, "calm")
        return _Case(session, usage, memory, memory_gauge(usage.tokens, usage.reserved, memory, before))

    async def _act(self, case: _Case, *, tell: bool) -> None:
        """The first of the level's actions that is switched on and succeeds; where none does, the person is told, once
        for each rise."""
        carry_out: dict[Action, _Carry] = {"compress": self._compress, "reduce": self._reduce, "clear": self._clear}
        switches = self.sessions.settings().memory.guard
        for action in _ACTIONS[case.gauge.level]:
            if not getattr(switches, action):
                continue
            try:
                done = await carry_out[action](case)
            except UllageError as error:
                logger.warning("The guard could not %s: %s", action, error.kind)
                continue
            if done:
                detail: dict[str, object] = {"action": action, "level": case.gauge.level, "gauge": case.gauge.value}
                self.sessions.tell("guardActed", case.session, detail)
                return
        if tell and switches.notify:
            self.person.tell(
                f"Memory is short for “{case.session.state.record.name}”: {grouped(case.usage.tokens)} tokens are in"
                f" use, and there is room for {grouped(case.room)}. Clear or compress the conversation, choose a"
                " smaller context size, or close what else uses this memory."
            )

    async def _compress(self, case: _Case) -> bool:
        settings = self.sessions.context_settings(case.session).compression
        if not settings.enabled:
            return False
        aim = Aim(settings.strategy, self._calm_tokens(case, settings.target), None, "guard")
        return await self.compressions.reduce(case.session, aim) is not None

    async def _reduce(self, case: _Case) -> bool:
        return await self.sizes.reduce(case.session, unbidden=True) is not None

    async def _clear(self, case: _Case) -> bool:
        """A snapshot first: without one nothing leaves. Then as much as needs to, a smaller size, and the question."""
        session = case.session
        aim = Aim("truncate", None, self._calm_tokens(case, HIGH), "guard")
        if await self.compressions.preview(session, aim) is None:
            return await self._reduced_too(case)
        snapshot = await self.snapshots.create(session.id, "Before memory ran short", trigger="emergency")
        cleared = await self.compressions.reduce(session, aim)
        reduced = await self._reduced_too(case)
        if self.sessions.settings().memory.guard.notify:
            self._keep(self._ask(case, snapshot.id, removed=cleared.removed if cleared else 0))
        return cleared is not None or reduced

    async def _reduced_too(self, case: _Case) -> bool:
        if not self.sessions.settings().memory.guard.reduce:
            return False
        try:
            return await self._reduce(case)
        except UllageError as error:
            logger.info("The size could not be reduced: %s", error.kind)
            return False

    def _calm_tokens(self, case: _Case, share: float) -> int:
        """The most tokens in use with which the gauge shows ``share``."""
        return max(int(case.room * share) - case.usage.reserved, 1)

    async def _ask(self, case: _Case, snapshot_id: str, *, removed: int) -> None:
        session = case.session
        text = (
            f"Memory was nearly used up. {grouped(removed)} older messages left the window of"
            f" “{session.state.record.name}”; a snapshot of it was made before."
        )
        answer = await self.person.ask(text, (RESTORE, COMPRESS_MORE, REDUCE, CARRY_ON))
        ways: dict[str, Callable[[], Coroutine[object, object, object]]] = {
            RESTORE: lambda: self.snapshots.restore(snapshot_id, session.id),
            COMPRESS_MORE: lambda: self.compressions.compress(session.id),
            REDUCE: lambda: self.sizes.reduce(session),
        }
        if answer not in ways:
            return
        try:
            await ways[answer]()
        except UllageError as error:
            self.person.tell(error.message)

    def _keep(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
