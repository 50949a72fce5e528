"""Compressing a conversation: planned by pure rules, summarised by the model, accepted only when it is a gain."""

from __future__ import annotations

import asyncio
from typing import Literal, TypeAlias

import attrs
from attrs import define, frozen

from ullage.contexts.making_room.progress import Report, unreported
from ullage.contexts.making_room.summarising import OutOfDate, Summariser
from ullage.contexts.session import Session
from ullage.contexts.sessions import Sessions
from ullage.contexts.state import ContextState, Planned, replacing
from ullage.contexts.values import CompressionEstimate, CompressionResult
from ullage.contexts.views import views
from ullage.conversation.compressing import Demand, Plan, Weighed, plan
from ullage.conversation.masking import with_placeholders
from ullage.conversation.messages import Message
from ullage.conversation.operations import Origin
from ullage.conversation.sending import Conversation
from ullage.conversation.summary import shortcoming
from ullage.conversation.usage import Usage, usable_tokens
from ullage.errors import CannotReduce
from ullage.events import EventKind
from ullage.settings import Strategy

MOST_ATTEMPTS = 3
"""How often a compression begins anew when the window was replaced under it."""

RECENT_SHARE = 4
SUMMARY_SHARE = 8
"""Of a small window, the newest messages that stay may take a quarter, and a summary an eighth."""

Means: TypeAlias = Literal["toolResults", "summary", "truncation"]


@frozen
class Aim:
    """What a compression is for. ``target`` and ``ceiling`` are tokens of the whole window: what it should come down
    to (None: as far as the newest messages allow), and what it must come under for the next request (None: nothing).
    ``kept`` is a window that was kept before: nothing leaves that is not in it, and no other window is compressed."""

    strategy: Strategy
    target: int | None = None
    ceiling: int | None = None
    origin: Origin = "client"
    kind: Literal["compress", "trim"] = "compress"
    kept: ContextState | None = None


@frozen
class _Reduced:
    """A window that a plan leads to, ready to be committed. ``before`` and ``after`` are tokens of the whole window."""

    window: tuple[Message, ...]
    carried: frozenset[str]
    masked: frozenset[str]
    left: tuple[Message, ...]
    summary: Message | None
    means: tuple[Means, ...]
    before: int
    after: int


@define(eq=False)
class Compressions:
    sessions: Sessions
    summariser: Summariser

    async def estimate(self, context_id: str, strategy: Strategy | None = None) -> CompressionEstimate:
        """What `compress` would come to; changes nothing and asks no model. A summary is taken at its longest."""
        session = await self.sessions.get(context_id)
        aim = await self.by_request(session, strategy)
        usage = await self.sessions.usage(session)
        made = await self._plan(session, session.state, aim, usage)
        if made is None:
            return CompressionEstimate(aim.strategy, usage.tokens, usage.tokens, 1.0, 0, needs_model=False)
        after = made.predicted
        if not made.summarised:
            after = (await self._reduced(session, session.state, session.state, made, None)).after
        return CompressionEstimate(
            strategy=aim.strategy,
            original_tokens=usage.tokens,
            compressed_tokens=after,
            ratio=_ratio(usage.tokens, after),
            removed=len(made.leaving),
            needs_model=made.summarised,
        )

    async def compress(
        self, context_id: str, strategy: Strategy | None = None, report: Report = unreported
    ) -> CompressionResult:
        """Compress by request, as far as the newest messages allow; whoever lets go of the context cancels it. Raises
        CannotReduce where nothing can be gained."""
        session = await self.sessions.get(context_id)
        await self.sessions.own_now(session)
        with session.at_work():
            result = await self.reduce(session, await self.by_request(session, strategy), report)
        if result is None:
            raise await self._cannot_reduce(session)
        return result

    async def by_request(self, session: Session, strategy: Strategy | None) -> Aim:
        """What a person's own request aims at."""
        await self.sessions.models.active_if_any(session.state.record)
        return Aim(strategy or self.sessions.context_settings(session).compression.strategy)

    async def reduce(self, session: Session, aim: Aim, report: Report = unreported) -> CompressionResult | None:
        """Compress a window towards an aim, behind what is said meanwhile; None where nothing can be gained, or where
        that would not do for the aim's ceiling.

        Where the plan is out of date when its summary has come (the window was cleared, restored or undone, what was to
        leave was pinned, or what was said since is too much for the ceiling), it begins anew, the last time without a
        model. What nobody asked for and nobody waits for ends there: whoever changed the window has decided.
        """
        session.reductions += 1
        self.sessions.stale(session.id)
        try:
            return await self._reduce(session, aim, report)
        finally:
            session.reductions -= 1
            self.sessions.stale(session.id)

    async def _reduce(self, session: Session, aim: Aim, report: Report) -> CompressionResult | None:
        for attempt in range(1, MOST_ATTEMPTS + 1):
            state = session.state
            last = aim if attempt < MOST_ATTEMPTS else attrs.evolve(aim, strategy="truncate")
            try:
                made, summary = await self._made(session, state, last, report)
                if made is None or not _is_kept(aim.kept, state, made):
                    return None
                return await self._commit(session, state, made, summary, last)
            except OutOfDate:
                if aim.origin == "guard" and aim.ceiling is None:
                    return None
        return None

    async def preview(self, session: Session, aim: Aim) -> int | None:
        """The tokens of the window after a compression that needs no model, None where nothing can be gained; changes
        nothing."""
        usage = await self.sessions.usage(session)
        made = await self._plan(session, session.state, attrs.evolve(aim, strategy="truncate"), usage)
        if made is None:
            return None
        return (await self._reduced(session, session.state, session.state, made, None)).after

    async def _made(
        self, session: Session, state: ContextState, aim: Aim, report: Report
    ) -> tuple[Plan | None, Message | None]:
        """A plan, with the summary that it asks for. Where no acceptable one is to be had, a plan without."""
        usage = await self.sessions.usage(session)
        made = await self._plan(session, state, aim, usage)
        if made is None or not made.summarised:
            return made, None
        report("Summarising the earlier conversation", None)
        room, is_awaited = self._summary_tokens(session, usage), aim.origin == "client"
        content = await self.summariser.summarise(session, state, made.leaving, room, is_awaited=is_awaited)
        if content is not None:
            summary = self._summary_message(content, made)
            reduced = await self._reduced(session, state, state, made, summary)
            [cost], _ = await self.sessions.alone(state, [summary])
            target = None if aim.target is None else max(aim.target, made.predicted)
            if shortcoming(cost, reduced.before - reduced.after + cost, reduced.after, target) is None:
                return made, summary
        return await self._plan(session, state, attrs.evolve(aim, strategy="truncate"), usage), None

    async def _plan(self, session: Session, state: ContextState, aim: Aim, usage: Usage) -> Plan | None:
        """The pure planner's choice. It goes by sums of single costs; where those came out too low for the ceiling,
        it is asked for as much more as they were short."""
        costs, _ = await self.sessions.alone(state, with_placeholders(state.messages, state.masked))
        weighed = Weighed(
            tuple(state.messages), costs, state.pinned, state.carried, state.masked, usage.tokens - sum(costs)
        )
        settings = self.sessions.context_settings(session).compression
        demand = Demand(
            strategy=aim.strategy,
            target=aim.target,
            preserve_recent=_at_most_share(settings.preserve_recent, usage.limit, RECENT_SHARE),
            ceiling=aim.ceiling,
            summary_tokens=self._summary_tokens(session, usage),
        )
        made = await asyncio.to_thread(plan, weighed, demand)  # of 40,000 messages it takes a quarter of a second
        for _ in range(MOST_ATTEMPTS):
            if made is None or made.summarised or aim.ceiling is None:
                break
            excess = (await self._reduced(session, state, state, made, None)).after - aim.ceiling
            if excess <= 0:
                break
            assert demand.ceiling is not None, "an aim with a ceiling makes a demand with one"
            demand = attrs.evolve(demand, ceiling=demand.ceiling - excess)
            made = await asyncio.to_thread(plan, weighed, demand)
        return made

    def _summary_tokens(self, session: Session, usage: Usage) -> int:
        settings = self.sessions.context_settings(session).compression
        return _at_most_share(settings.summary_max_tokens, usage.limit, SUMMARY_SHARE)

    def _summary_message(self, content: str, made: Plan) -> Message:
        stamp = self.sessions.stamp
        return Message(stamp.id(), "system", content, stamp.now(), summary_of=_stands_for(made.leaving))

    async def _commit(
        self, session: Session, planned_on: ContextState, made: Plan, summary: Message | None, aim: Aim
    ) -> CompressionResult | None:
        """Apply a plan to the window as it is by now; None where it gains nothing. Raises OutOfDate."""
        applied: list[_Reduced] = []

        async def commit(now: ContextState) -> Planned | None:
            applied.clear()
            if not _still_holds(made, planned_on, now):
                raise OutOfDate
            reduced = await self._reduced(session, planned_on, now, made, summary)
            if reduced.after >= reduced.before:
                return None
            if aim.ceiling is not None and reduced.after > aim.ceiling:
                if len(now.messages) > len(planned_on.messages):
                    raise OutOfDate
                return None
            applied.append(reduced)
            return self._replacing(now, reduced, aim)

        done = await self.sessions.change(session, commit)
        if done is None:
            return None
        [reduced] = applied
        threshold = self.sessions.context_settings(session).compression.threshold
        session.reduced(await self.sessions.usage(session), threshold)
        operation = done.commit.operation
        event: EventKind = "trimmed" if aim.kind == "trim" else "compressed"
        detail = {**operation.detail, "origin": operation.origin, "operationId": operation.id}
        self.sessions.tell(event, session, detail)
        return await self._result(session, reduced, aim, operation.id)

    def _replacing(self, now: ContextState, reduced: _Reduced, aim: Aim) -> Planned:
        detail: dict[str, object] = {
            "strategy": aim.strategy,
            "originalTokens": reduced.before,
            "compressedTokens": reduced.after,
            "ratio": _ratio(reduced.before, reduced.after),
            "removed": len(reduced.left),
            "reducedBy": list(reduced.means),
        }
        operation = self.sessions.operation(now.record.id, aim.kind, detail, aim.origin)
        fresh = (reduced.summary,) if reduced.summary else ()
        return replacing(operation, now, reduced.window, reduced.carried, masked=reduced.masked, messages=fresh)

    async def _reduced(
        self, session: Session, planned_on: ContextState, now: ContextState, made: Plan, summary: Message | None
    ) -> _Reduced:
        """The window ``now`` after a plan that was made for its beginning: what was said since stays at the end."""
        window = (*made.window(summary), *now.messages[len(planned_on.messages) :])
        counter = self.sessions.counter(now.record)
        after = Conversation(window, now.record.system_prompt, made.carried, made.masked)
        before = await self.sessions.counted(session, now)
        return _Reduced(
            window=window,
            carried=made.carried,
            masked=made.masked | now.masked,
            left=made.leaving,
            summary=summary,
            means=_means(made.masked - now.masked, made.leaving, summary),
            before=before.tokens + session.tools_tokens,
            after=await counter.prompt(counter.form(after)) + session.tools_tokens,
        )

    async def _result(self, session: Session, reduced: _Reduced, aim: Aim, operation_id: str) -> CompressionResult:
        shown = await views(self.sessions, session.state, [reduced.summary]) if reduced.summary else [None]
        return CompressionResult(
            strategy=aim.strategy,
            original_tokens=reduced.before,
            compressed_tokens=reduced.after,
            ratio=_ratio(reduced.before, reduced.after),
            summary=shown[0],
            preserved=tuple(m.id for m in reduced.window if m is not reduced.summary and m.id not in reduced.masked),
            removed=len(reduced.left),
            operation_id=operation_id,
            reduced_by=reduced.means,
        )

    async def _cannot_reduce(self, session: Session) -> CannotReduce:
        usage = await self.sessions.usage(session)
        if usage.limit is not None and usage.tokens > usable_tokens(usage.limit, usage.reserved):
            return CannotReduce(
                f"System prompt, pins and the newest turn take {usage.tokens:,} of {usage.limit:,} tokens, and none of"
                " them may leave. Shorten the system prompt, unpin something, or choose a larger context size.",
                tokens=usage.tokens,
                limit=usage.limit,
            )
        return CannotReduce(
            "There is nothing to compress yet: what is in the window is the system prompt, pins and the newest"
            " messages, which stay as they are.",
            tokens=usage.tokens,
            limit=usage.limit,
        )


def _stands_for(leaving: tuple[Message, ...]) -> tuple[str, ...]:
    """The ids of all that was said and has left: an earlier summary stands for its own."""
    ids: dict[str, None] = {}
    for message in leaving:
        ids |= dict.fromkeys(message.summary_of or (message.id,))
    return tuple(ids)


def _still_holds(made: Plan, planned_on: ContextState, now: ContextState) -> bool:
    """Whether the window only grew since, and nothing that is to leave or to be masked was pinned."""
    return now.epoch == planned_on.epoch and _touched(made, planned_on).isdisjoint(now.pinned - planned_on.pinned)


def _is_kept(kept: ContextState | None, state: ContextState, made: Plan) -> bool:
    """Whether the window only grew since it was kept, and what was said since stays as it is."""
    return kept is None or (state.epoch == kept.epoch and _touched(made, state).issubset(kept.ids))


def _touched(made: Plan, state: ContextState) -> set[str]:
    """What is to leave or to be masked."""
    return {m.id for m in made.leaving} | (made.masked - state.masked)


def _means(newly_masked: frozenset[str], left: tuple[Message, ...], summary: Message | None) -> tuple[Means, ...]:
    means: list[Means] = ["toolResults"] if newly_masked else []
    if left:
        means.append("summary" if summary else "truncation")
    return tuple(means)


def _ratio(before: int, after: int) -> float:
    return round(after / before, 4) if before else 1.0


def _at_most_share(tokens: int, limit: int | None, share: int) -> int:
    return tokens if limit is None else min(tokens, limit // share)
