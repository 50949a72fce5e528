"""Acts when a conversation's cache comes near the end of the memory that it may have, the mildest means first."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Literal, Protocol, TypeAlias

import attrs
from attrs import Factory, define, frozen

from ullage.contexts.conversation import Conversations
from ullage.contexts.finishing import ended
from ullage.contexts.keeping.snapshots import Snapshots
from ullage.contexts.making_room.background import BackgroundCompressions
from ullage.contexts.making_room.compression import Aim, Compressions
from ullage.contexts.session import Session
from ullage.contexts.sessions import Sessions
from ullage.contexts.sizes import Sizes
from ullage.contexts.state import ContextState
from ullage.contexts.views import grouped
from ullage.conversation.usage import Usage
from ullage.errors import NothingToUndo, UllageError
from ullage.memory.guard import HIGH, CacheMemory, Gauge, GaugeLevel, is_higher, memory_gauge, tokens_that_fit

logger = logging.getLogger(__name__)

PATIENCE_S = 2.0
"""For a compression to end while other contexts wait to be looked at; a summary may take minutes."""

COOLDOWN_S = 60.0
"""Between two interventions for one context while the gauge stays up."""

Action = Literal["compress", "reduce", "clear"]

_ACTIONS: dict[GaugeLevel, tuple[Action, ...]] = {
    "calm": (),
    "high": ("compress", "reduce"),
    "severe": ("reduce", "clear"),
    "critical": ("clear", "reduce"),
}
"""By level: what is done, and what follows where that did not succeed."""

_OWN_LEVEL: dict[Action, GaugeLevel] = {"compress": "high", "reduce": "severe", "clear": "critical"}
"""From where on an action may be taken at once; below, it only follows one that failed."""

_Outcome: TypeAlias = Literal["done", "failed", "idle", "under way"]
"""Of an action. ``idle``: there was nothing for it to do. ``under way``: it is being done, or waits for an answer."""

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


@frozen
class _Cleared:
    """What left a window in an emergency, and the two ways to bring it back."""

    removed: int
    operation_id: str
    snapshot_id: str


_Carry: TypeAlias = Callable[[_Case], Awaitable[_Outcome]]


@define(eq=False)
class MemoryGuard:
    """Looks whenever memory was read. Unknown memory switches it off."""

    sessions: Sessions
    sizes: Sizes
    compressions: Compressions
    background: BackgroundCompressions
    snapshots: Snapshots
    conversations: Conversations
    person: Person
    clock: Callable[[], float] = time.monotonic
    _levels: dict[str, GaugeLevel] = Factory(dict)
    _acted_at: dict[str, float] = Factory(dict)
    _asking: set[asyncio.Task[None]] = Factory(set)

    async def close(self) -> None:
        """End the questions that nobody has answered yet, and what is being done by answers."""
        for asking in tuple(self._asking):
            await ended(asking)

    async def look(self) -> None:
        """One look at every open context; where a gauge rose, or stays up after the cooldown, something is done."""
        for session in self.sessions.opened():
            if self.sizes.is_answering(session):
                continue  # a rise is noticed when the answer has come
            before = self._levels.get(session.id, "calm")
            case = await self._case(session, before)
            level = case.gauge.level if case else "calm"
            if case is not None and level != "calm":
                rested = self.clock() - self._acted_at.get(session.id, float("-inf")) >= COOLDOWN_S
                rose = is_higher(level, before)
                if rose or rested:
                    if await self._act(case, tell=rose) == "under way":
                        continue  # as if not looked at
                    self._acted_at[session.id] = self.clock()
            self._levels[session.id] = level

    async def _case(self, session: Session, before: GaugeLevel) -> _Case | None:
        memory = await self.sizes.cache_memory(session)
        if memory is None:
            return None
        usage = await self.sessions.usage(session, exactly=False)
        return _Case(session, usage, memory, memory_gauge(usage.tokens, usage.reserved, memory, before))

    async def _act(self, case: _Case, *, tell: bool) -> _Outcome:
        """The first of the level's actions that is switched on and succeeds; where none does, the person is told, once
        for each rise."""
        switches = self.sessions.settings().memory.guard
        outcome: _Outcome = "idle"
        for action in _ACTIONS[case.gauge.level]:
            too_early = is_higher(_OWN_LEVEL[action], case.gauge.level) and outcome != "failed"
            if not getattr(switches, action) or too_early:
                continue
            outcome = await self._outcome(case, action)
            if outcome == "done":
                detail: dict[str, object] = {"action": action, "level": case.gauge.level, "gauge": case.gauge.value}
                self.sessions.tell("guardActed", case.session, detail)
            if outcome in ("done", "under way"):
                return outcome
        if tell and switches.notify:
            self.person.tell(
                f"Memory is short for “{case.session.state.record.name}”: {grouped(case.usage.tokens)} tokens are in"
                f" use, and there is room for {grouped(case.room)}. Clear or compress the conversation, choose a"
                " smaller context size, or close what else uses this memory."
            )
        return outcome

    async def _outcome(self, case: _Case, action: Action) -> _Outcome:
        if case.session.is_let_go:
            return "under way"  # whoever wants the context next has it looked at anew
        carry_out: dict[Action, _Carry] = {"compress": self._compress, "reduce": self._reduce, "clear": self._clear}
        try:
            return await carry_out[action](case)
        except UllageError as error:
            if error.data.get("reason") == "answering":
                return "under way"  # the model has begun to answer: nothing is done before the answer has come
            logger.warning("The guard could not %s: %s", action, error.kind)
            return "failed"

    async def _compress(self, case: _Case) -> _Outcome:
        session, settings = case.session, self.sessions.context_settings(case.session).compression
        if session.compressing is not None:
            return "under way"
        if not settings.enabled:
            return "idle"
        if not session.has_grown(case.usage):
            return "failed"
        aim = Aim(settings.strategy, self._calm_tokens(case, settings.target), None, "guard")
        epoch = session.state.epoch
        self.background.start(session, aim)
        if session.compressing is not None:
            await asyncio.wait([session.compressing], timeout=PATIENCE_S)
        if session.compressing is not None:
            return "under way"
        if session.state.epoch != epoch:
            return "done"
        session.attempted_tokens = case.usage.tokens
        return "failed"

    async def _reduce(self, case: _Case) -> _Outcome:
        return "idle" if await self.sizes.reduce(case.session, unbidden=True) is None else "done"

    async def _clear(self, case: _Case) -> _Outcome:
        """As much leaves as needs to, then a smaller size, and the question. Where the size can't be made smaller,
        nothing would be gained by it."""
        session, needed = case.session, await self._needed_tokens(case)
        aim = Aim("truncate", needed, needed, "guard", kept=session.state)
        if not self.sizes.can_reduce(session) or (after := await self.compressions.preview(session, aim)) is None:
            return "idle"
        if session.is_wanted(case.usage):
            return "failed"
        cleared = await self._unless_let_go(session, attrs.evolve(aim, ceiling=max(needed, after)))
        if not isinstance(cleared, _Cleared):
            return cleared
        switches = self.sessions.settings().memory.guard
        if switches.reduce:
            await self._outcome(case, "reduce")
        if switches.notify:
            self._keep(self._ask(case, cleared))
        return "done"

    async def _unless_let_go(self, session: Session, aim: Aim) -> _Cleared | _Outcome:
        """Clear in a task of its own: whoever lets go of the context ends that, and not the looking at others."""
        clearing = asyncio.create_task(self._cleared(session, aim))
        try:
            await asyncio.wait([clearing])
        finally:
            if not clearing.done():
                await ended(clearing)
        return "under way" if clearing.cancelled() else clearing.result()

    async def _cleared(self, session: Session, aim: Aim) -> _Cleared | _Outcome:
        """A snapshot first: nothing leaves that is in none. A window that was changed meanwhile is looked at anew."""
        assert aim.kept is not None, "the guard's clear keeps what it clears"
        if session.is_let_go:
            return "under way"
        with session.at_work():
            snapshot = await self.snapshots.before_clearing(session, "Before memory ran short")
            cleared = await self.compressions.reduce(session, aim)
        if cleared is None:
            return "failed" if _is_same_window(session.state, aim.kept) else "under way"
        return _Cleared(cleared.removed, cleared.operation_id, snapshot.id)

    def _calm_tokens(self, case: _Case, share: float) -> int:
        """The most tokens in use with which the gauge shows ``share``."""
        return max(int(case.room * share) - case.usage.reserved, 1)

    async def _needed_tokens(self, case: _Case) -> int:
        """What the window has to come down to, for a calm gauge and for the size that memory asks for. No window is
        made smaller than the minimum, whatever the gauge shows."""
        calm, least = self._calm_tokens(case, HIGH), self.sizes.room.usable(case.session, self._minimum)
        usable = await self.sizes.usable_after_reducing(case.session)
        return max(calm if usable is None else min(calm, usable), least)

    @property
    def _minimum(self) -> int:
        return self.sessions.settings().context.min_size

    async def _ask(self, case: _Case, cleared: _Cleared) -> None:
        session = case.session
        text = (
            f"Memory was nearly used up. {grouped(cleared.removed)} older messages left the window of"
            f" “{session.state.record.name}”; a snapshot of it was made before."
        )
        answer = await self.person.ask(text, (RESTORE, COMPRESS_MORE, REDUCE, CARRY_ON))
        ways: dict[str, Callable[[], Coroutine[object, object, None]]] = {
            RESTORE: lambda: self._restore(session, cleared),
            COMPRESS_MORE: lambda: self._compress_more(session),
            REDUCE: lambda: self._reduce_by_request(session),
        }
        if answer not in ways:
            return
        try:
            await ways[answer]()
        except UllageError as error:
            self.person.tell(error.message)

    async def _restore(self, session: Session, cleared: _Cleared) -> None:
        """By an undo, so that what was said since stays; where it was undone before, the window that was kept. It is
        not taken away again until something is added to it."""
        try:
            await self.conversations.undo(session.id, cleared.operation_id)
        except NothingToUndo:
            restored = await self.snapshots.restore(cleared.snapshot_id, session.id)
            session.taken_back(restored.usage, wanted=True)

    async def _compress_more(self, session: Session) -> None:
        await self.compressions.compress(session.id)

    async def _reduce_by_request(self, session: Session) -> None:
        if await self.sizes.reduce(session) is None:
            self.person.tell("The context size is as small as memory asks for. Choose one to make it smaller.")

    def _keep(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)


def _is_same_window(one: ContextState, other: ContextState) -> bool:
    return (one.epoch, len(one.messages)) == (other.epoch, len(other.messages))
