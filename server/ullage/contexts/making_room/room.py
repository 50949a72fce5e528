"""The prompt for an answer, made to fit the window that it has to fit."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define

from ullage.contexts.active_model import ActiveModel
from ullage.contexts.answering import Prompt
from ullage.contexts.counting import Groups
from ullage.contexts.making_room.background import BackgroundCompressions
from ullage.contexts.making_room.compression import Aim, Compressions
from ullage.contexts.making_room.progress import Report, unreported
from ullage.contexts.making_room.window_guard import WindowGuard
from ullage.contexts.session import Session
from ullage.contexts.sessions import Sessions
from ullage.contexts.values import CompressionResult
from ullage.conversation.messages import ToolDefinition
from ullage.conversation.usage import Usage, reserved_tokens, usable_tokens
from ullage.errors import ContextOverflow
from ullage.providers.base import AnswerOptions


@define(eq=False)
class Room:
    sessions: Sessions
    compressions: Compressions
    background: BackgroundCompressions
    guard: WindowGuard

    async def prompt(
        self,
        session: Session,
        active: ActiveModel,
        options: AnswerOptions,
        *,
        shrink: float | None = None,
        report: Report = unreported,
    ) -> Prompt:
        """The prompt for the next answer, fitted. ``shrink``, after the server refused a prompt that we thought would
        fit, is the share of the window that may still be believed in; then something has to leave in any case.

        Raises ContextOverflow where what must stay is too much.
        """
        limit = await self.sessions.models.limit(active)
        if shrink is None and (prompt := self._roughly(session, options, limit)) is not None:
            return prompt
        await self._weigh_tools(session, options.tools)
        compressed = await self._make_fit(session, options.max_tokens, shrink, report)
        state = session.state
        tokens = (await self.sessions.counted(session, state)).tokens + session.tools_tokens
        room = None if limit is None else max(limit - tokens, 1)
        return Prompt(self.sessions.counter(state.record).form(state.conversation), tokens, room, compressed)

    async def shrink(self, session: Session, limit: int) -> None:
        """Make the window fit a smaller limit. Raises ContextOverflow where it can't."""
        if await self.must_shrink(session, limit):
            await self.compressions.reduce(session, self._trimming(session, self.usable(session, limit)))

    async def must_shrink(self, session: Session, limit: int) -> bool:
        """Whether something would have to leave for a smaller limit; changes nothing. Raises ContextOverflow where
        that would not do."""
        usage = await self.sessions.usage(session)
        usable = self.usable(session, limit)
        if usage.tokens <= usable:
            return False
        after = await self.compressions.preview(session, self._trimming(session, usable))
        if after is None or after > usable:
            raise _overflow(session, after or usage.tokens, usable, limit)
        return True

    async def tokens(self, session: Session, prompt: Prompt) -> int:
        """The tokens of a prompt, counted now where a rough count was enough before."""
        if prompt.tokens is not None:
            return prompt.tokens
        counter = self.sessions.counter(session.state.record)
        return await counter.prompt(prompt.groups) + session.tools_tokens

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
        reserve_output = self.sessions.context_settings(session).reserve_output
        reserved = reserved_tokens(limit, reserve_output, options.max_tokens)
        if most + session.tools_tokens > usable_tokens(limit, reserved) // 2:
            return None
        return Prompt(groups, None, limit - most - session.tools_tokens)

    async def _make_fit(
        self, session: Session, max_tokens: int | None, shrink: float | None, report: Report
    ) -> CompressionResult | None:
        """Wait for room, or make it, where the prompt would not fit, or only just. What is being compressed already is
        waited for first."""
        usage = await self.sessions.usage(session, max_tokens)
        if usage.limit is None or (shrink is None and self._is_roomy(session, usage)):
            return None
        if shrink is not None:  # what runs may have to wait for the very question that this is about
            await self.background.stop(session)
        awaited = await self.background.settled(session)
        usage = await self.sessions.usage(session, max_tokens)
        if usage.limit is None or (shrink is None and self._is_roomy(session, usage)):
            return awaited
        usable = int(usable_tokens(usage.limit, usage.reserved) * (shrink or 1))
        if shrink is not None:
            usable = min(usable, usage.tokens - 1)
        fits = usage.tokens <= usable
        if shrink is None and self.sessions.context_settings(session).compression.enabled:
            compressed = await self.guard.make_room(session, usage, None if fits else usable, report)
        else:
            compressed = await self.compressions.reduce(session, self._trimming(session, usable))
        if compressed is None and not fits:
            after = await self.compressions.preview(session, self._trimming(session, usable))
            raise _overflow(session, after or usage.tokens, usable, usage.limit)
        return compressed

    def _is_roomy(self, session: Session, usage: Usage) -> bool:
        fits = usage.limit is None or usage.tokens <= usable_tokens(usage.limit, usage.reserved)
        return fits and not self.guard.is_pressing(session, usage)

    def _trimming(self, session: Session, usable: int) -> Aim:
        """Without a model, down to the target in one step, so that the prompt's beginning stays for many turns."""
        target = self.sessions.context_settings(session).compression.target
        return Aim("truncate", int(usable * target), usable, "server", "trim")

    def usable(self, session: Session, limit: int) -> int:
        """What a prompt may take of such a window."""
        return usable_tokens(limit, reserved_tokens(limit, self.sessions.context_settings(session).reserve_output))

    async def _weigh_tools(self, session: Session, tools: Sequence[ToolDefinition]) -> None:
        """Count what the tool definitions add; once as long as they stay the same."""
        if tuple(tools) == session.tools:
            return
        counter = self.sessions.counter(session.state.record)
        groups: Groups = counter.form(session.state.conversation)
        added = await counter.prompt(groups, tools) - await counter.prompt(groups) if tools else 0
        session.tools, session.tools_tokens = tuple(tools), max(added, 0)


def _overflow(session: Session, needed: int, usable: int, limit: int) -> ContextOverflow:
    return ContextOverflow(
        f"The newest turn with system prompt, pins and tools takes {needed:,} tokens, and the window has room for"
        f" {usable:,}. Shorten it, clear pins, or choose a larger context size.",
        needed=needed,
        limit=limit,
        tools=session.tools_tokens,
    )
