"""Making room: where a prompt would not fit, the oldest whole turns leave the window in one step."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from attrs import define, frozen

from ullage.contexts.active_model import ActiveModel
from ullage.contexts.answering import Prompt
from ullage.contexts.counting import CountedForm, Groups, WindowCounter
from ullage.contexts.session import Session
from ullage.contexts.sessions import Sessions
from ullage.contexts.state import ContextState, Planned, replacing
from ullage.conversation.messages import ToolDefinition
from ullage.conversation.turns import turns_of, without_oldest_turns
from ullage.conversation.usage import reserved_tokens, usable_tokens
from ullage.errors import ContextOverflow
from ullage.providers.base import AnswerOptions


@frozen
class Cut:
    """How many of the oldest turns leave, and the window's tokens before and after."""

    turns: int
    before: int
    after: int


@define(eq=False)
class Room:
    sessions: Sessions

    async def prompt(
        self, session: Session, active: ActiveModel, options: AnswerOptions, shrink: float | None = None
    ) -> Prompt:
        """The prompt for the next answer, fitted. ``shrink``, after the server refused a prompt that we thought would
        fit, is the share of the window that may still be believed in; then something has to leave in any case.

        Raises ContextOverflow where what must stay is too much.
        """
        limit = await self.sessions.models.limit(active)
        if shrink is None and (prompt := self._roughly(session, options, limit)) is not None:
            return prompt
        form, groups = await self._counted(session)
        tools_tokens = await self._tools_tokens(session, groups, options.tools)
        tokens = form.tokens + tools_tokens
        if limit is None:
            return Prompt(groups, tokens, None)
        reserved = reserved_tokens(limit, self.sessions.settings().context.reserve_output, options.max_tokens)
        usable = int(usable_tokens(limit, reserved) * (shrink or 1))
        if tokens <= usable and shrink is None:
            return Prompt(groups, tokens, limit - tokens)
        await self._let_go(session, await self._cut(session, usable, tools_tokens, limit))
        form, groups = await self._counted(session)
        tokens = form.tokens + tools_tokens
        return Prompt(groups, tokens, max(limit - tokens, 1))

    async def shrink(self, session: Session, limit: int) -> None:
        """Make the window fit a smaller limit. Raises ContextOverflow where it can't."""
        cut = await self.shrinking(session, limit)
        if cut is not None:
            await self._let_go(session, cut)

    async def shrinking(self, session: Session, limit: int) -> Cut | None:
        """What would leave for a smaller limit, None: nothing has to; changes nothing. Raises ContextOverflow where
        that would not do."""
        form = await self.sessions.counted(session, session.state)
        reserved = reserved_tokens(limit, self.sessions.settings().context.reserve_output)
        usable = usable_tokens(limit, reserved)
        if form.tokens + session.tools_tokens <= usable:
            return None
        return await self._cut(session, usable, session.tools_tokens, limit)

    async def tokens(self, session: Session, prompt: Prompt) -> int:
        """The tokens of a prompt, counted now where a rough count was enough before."""
        if prompt.tokens is not None:
            return prompt.tokens
        counter = self.sessions.counter(session.state.record)
        return await counter.prompt(prompt.groups) + session.tools_tokens

    async def _counted(self, session: Session) -> tuple[CountedForm, Groups]:
        state = session.state
        form = await self.sessions.counted(session, state)
        return form, self.sessions.counter(state.record).form(state.conversation)

    def _roughly(self, session: Session, options: AnswerOptions, limit: int | None) -> Prompt | None:
        """A person waits for the first token, and an exact count may be a request to the server. While the most that
        the prompt can be leaves half of the window, it is counted afterwards. None where that is not so."""
        state = session.state
        if limit is None or session.counted is None or options.tools != session.tools:
            return None
        counter = self.sessions.counter(state.record)
        bound = counter.at_most(state.conversation, state.epoch, session.counted)
        if bound is None:
            return None
        groups, most = bound
        reserved = reserved_tokens(limit, self.sessions.settings().context.reserve_output, options.max_tokens)
        if most + session.tools_tokens > usable_tokens(limit, reserved) // 2:
            return None
        return Prompt(groups, None, limit - most - session.tools_tokens)

    async def _cut(self, session: Session, usable: int, tools_tokens: int, limit: int) -> Cut:
        """As few of the oldest turns as bring the window down to the target."""
        settings = self.sessions.settings().context.compression
        state = session.state
        turns = turns_of(state.messages)
        counter = self.sessions.counter(state.record)

        costs = _Costs(counter, state)
        count = await costs.fewest(len(turns) - 1, int(usable * settings.target) - tools_tokens)
        after = await costs.of(count) + tools_tokens
        if after > usable or count == 0:
            raise ContextOverflow(
                f"The newest turn with system prompt, pins and tools takes {after:,} tokens, and the window has room"
                f" for {usable:,}. Shorten it, clear pins, or choose a larger context size.",
                needed=after,
                limit=limit,
                tools=tools_tokens,
            )
        return Cut(count, await costs.of(0) + tools_tokens, after)

    async def _let_go(self, session: Session, cut: Cut) -> None:
        async def plan(now: ContextState) -> Planned:
            return self._trimming(now, cut.turns)

        planned = await self.sessions.change(session, plan)
        assert planned is not None, "the plan above is never empty"
        session.growth.clear()
        detail = {**planned.commit.operation.detail, "before": cut.before, "after": cut.after}
        self.sessions.tell("trimmed", session, {**detail, "operationId": planned.commit.operation.id})

    def _trimming(self, state: ContextState, count: int) -> Planned:
        turns = turns_of(state.messages)
        count = min(count, max(len(turns) - 1, 0))
        kept = without_oldest_turns(state.messages, turns, count, state.pinned)
        ids = {m.id for m in kept}
        left = [m.id for m in state.messages if m.id not in ids]
        operation = self.sessions.operation(
            state.record.id, "trim", {"turns": count, "messages": len(left)}, origin="server"
        )
        return replacing(operation, state, kept, _carried(state, turns[count - 1].end if count else 0))

    async def _tools_tokens(self, session: Session, groups: Groups, tools: Sequence[ToolDefinition]) -> int:
        """What the tool definitions add; counted once as long as they stay the same."""
        if tuple(tools) != session.tools:
            counter = self.sessions.counter(session.state.record)
            added = await counter.prompt(groups, tools) - await counter.prompt(groups) if tools else 0
            session.tools, session.tools_tokens = tuple(tools), max(added, 0)
        return session.tools_tokens


def _carried(state: ContextState, cut: int) -> frozenset[str]:
    """The pins from before the cut: they go on inside the leading system message."""
    return frozenset(m.id for m in state.messages[:cut] if m.id in state.pinned and m.role != "system")


@define
class _Costs:
    """What the window would cost after its oldest turns left."""

    counter: WindowCounter
    state: ContextState

    async def of(self, turns: int) -> int:
        state = self.state
        all_turns = turns_of(state.messages)
        kept = without_oldest_turns(state.messages, all_turns, turns, state.pinned)
        carried = _carried(state, all_turns[turns - 1].end) if turns else state.carried
        return await self.counter.prompt(
            self.counter.form(attrs.evolve(state.conversation, messages=kept, carried=carried))
        )

    async def fewest(self, most: int, target: int) -> int:
        """The fewest turns whose leaving reaches ``target``; ``most`` where none does. Found by halves: each turn that
        leaves makes the window smaller."""
        low, high = 1, max(most, 0)
        while low < high:
            middle = (low + high) // 2
            if await self.of(middle) <= target:
                high = middle
            else:
                low = middle + 1
        return high
