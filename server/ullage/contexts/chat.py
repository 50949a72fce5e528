"""A chat turn: the question is durable before it is answered, and the answer before it is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import attrs
from attrs import Factory, define, field

from ullage.contexts.answering import Answer, AnswerOptions, Emit, Prompt, stream_answer, was_cut
from ullage.contexts.finishing import finish
from ullage.contexts.models import ActiveModel
from ullage.contexts.room import Room
from ullage.contexts.session import Session
from ullage.contexts.sessions import Sessions
from ullage.contexts.state import ContextState, Planned
from ullage.contexts.values import ChatResult
from ullage.contexts.views import views
from ullage.conversation.messages import Message
from ullage.conversation.operations import WindowChange
from ullage.conversation.turns import is_pending
from ullage.errors import (
    ContextBusy,
    ContextOverflow,
    InvalidArgument,
    WindowExceeded,
)
from ullage.store.records import Commit

logger = logging.getLogger(__name__)

RETRY_SHARE = 0.75
"""How much of the window is believed in after a refusal that named no figures."""


@define(eq=False)
class _Turn:
    """What one turn is about; ``active`` is known once the model was found."""

    session: Session
    options: AnswerOptions
    emit: Emit
    tokens_before: int
    answer: Answer = Factory(Answer)
    active: ActiveModel = field(init=False)


@define(eq=False)
class Chats:
    sessions: Sessions
    room: Room

    async def chat(self, context_id: str, text: str | None, options: AnswerOptions, emit: Emit) -> ChatResult:
        """Say ``text`` and have it answered; without it, have answered what is pending."""
        session = await self.sessions.get(context_id)
        if session.answering:
            raise ContextBusy(
                "This context is answering already. Wait for the answer, or cancel it.", reason="answering"
            )
        session.answering, session.answer = True, asyncio.current_task()
        turn = _Turn(session, options, emit, session.counted.tokens if session.counted else 0)
        try:
            await self._ask(session, text)
            return await self._answered(turn)
        finally:
            session.answering, session.answer = False, None
            self.sessions.stale(session.id)

    async def _ask(self, session: Session, text: str | None) -> None:
        if text is None:
            if not is_pending(session.state.messages, session.state.carried):
                raise InvalidArgument("Nothing waits for an answer here. Give a text.", "text")
            await self.sessions.own_now(session)
            return
        if not text.strip():
            raise InvalidArgument("Say something: the text is empty.", "text")
        message = Message(self.sessions.stamp.id(), "user", text, self.sessions.stamp.now())

        def plan(state: ContextState) -> Planned:
            operation = self.sessions.operation(session.id, "append", {"messageIds": [message.id]})
            record = attrs.evolve(state.record, last_used_at=message.created_at, dormant=False)
            change = WindowChange(added=(message.id,))
            return Planned(Commit(operation, messages=(message,), appended=(message.id,), change=change, record=record))

        await self.sessions.change(session, plan, then_cancel=True)

    async def _answered(self, turn: _Turn) -> ChatResult:
        turn.active = await self.sessions.models.active(turn.session.state.record)
        prompt = await self._streamed(turn)
        return await finish(self._kept(turn, prompt))

    async def _kept(self, turn: _Turn, prompt: Prompt) -> ChatResult:
        """Commit the answer and tell of it; too late to be cancelled."""
        session, answer, active = turn.session, turn.answer, turn.active
        message = answer.message(self.sessions.stamp.id(), self.sessions.stamp.now())
        await self.sessions.change(session, lambda state: self._keeping(state, active, message, answer))
        await self.sessions.models.window_after_answer(active)
        await self._learn(turn, prompt)
        usage = await self.sessions.usage(session, turn.options.max_tokens)
        session.growth.append(usage.tokens - session.tools_tokens - turn.tokens_before)
        [shown] = await views(self.sessions, session.state, [message])
        return ChatResult(shown, usage, answer.timing, None, None, answer.stop_reason)

    async def _streamed(self, turn: _Turn) -> Prompt:
        """Ask; where the server refuses the prompt as too long, make more room by a rule and ask once more."""
        prompt = await self.room.prompt(turn.session, turn.active, turn.options)
        try:
            await self._stream(turn, prompt)
        except WindowExceeded as refusal:
            if turn.answer.first_token is not None:
                raise
            if refusal.limit:
                self.sessions.models.learnt_limit(turn.active, refusal.limit)
            counted = await self.room.tokens(turn.session, prompt)
            share = counted / refusal.needed if refusal.needed else RETRY_SHARE
            prompt = await self.room.prompt(turn.session, turn.active, turn.options, shrink=min(share, 1.0))
            await self._retry(turn, prompt)
        return prompt

    async def _stream(self, turn: _Turn, prompt: Prompt) -> None:
        answering = stream_answer(turn.active, prompt, turn.options, turn.answer, turn.emit)
        await self.sessions.models.watched(turn.active, answering)

    async def _retry(self, turn: _Turn, prompt: Prompt) -> None:
        try:
            await self._stream(turn, prompt)
        except WindowExceeded as refusal:
            raise ContextOverflow(
                "The model server refuses the prompt as too long, also after the oldest turns left it. Clear the"
                " conversation, or load the model with a larger context.",
                needed=refusal.needed,
                limit=refusal.limit,
            ) from refusal

    def _keeping(self, state: ContextState, active: ActiveModel, message: Message, answer: Answer) -> Planned:
        """The answer at the window's end. The first answer makes the model the context's own, unless it is only the
        small one that steps in where none was chosen."""
        question = [m.id for m in _trailing_question(state.messages)]
        record = attrs.evolve(state.record, last_used_at=message.created_at)
        if record.model is None and active.provider.name != "embedded":
            record = attrs.evolve(record, provider=active.provider.name, model=active.name)
        ids = (*question, message.id)
        detail: dict[str, object] = {"messageIds": ids, "model": active.name, "stopReason": answer.stop_reason}
        operation = self.sessions.operation(record.id, "chat", detail)
        change = WindowChange(added=ids)
        return Planned(Commit(operation, messages=(message,), appended=(message.id,), change=change, record=record))

    async def _learn(self, turn: _Turn, prompt: Prompt) -> None:
        """Take the server's own figures into the statistics, and hold them against what was counted."""
        session, active, finished = turn.session, turn.active, turn.answer.finished
        session.last_timing = turn.answer.timing
        if finished is None or not finished.prompt_tokens:
            return
        session.prompt_reused += finished.reused_tokens or 0
        session.prompt_evaluated += finished.prompt_tokens - (finished.reused_tokens or 0)
        if not finished.prompt_is_whole:
            return
        counted = round(await self.room.tokens(session, prompt) / active.multiplier)
        if was_cut(counted, finished.prompt_tokens, exact=active.exact):
            detail = {"sent": counted, "evaluated": finished.prompt_tokens, "model": active.name}
            self.sessions.tell("truncatedByServer", session, detail)
        else:
            await self.sessions.models.learn(active, reported=finished.prompt_tokens, counted=counted)


def _trailing_question(messages: Sequence[Message]) -> list[Message]:
    """The person's own words that the answer belongs to."""
    question: list[Message] = []
    for message in reversed(messages):
        if message.role != "user":
            break
        question.insert(0, message)
    return question
