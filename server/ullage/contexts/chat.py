"""A chat turn: the question is durable before it is answered, and the answer before it is told."""

from __future__ import annotations

import asyncio
import logging

import attrs
from attrs import Factory, define, field

from ullage.contexts.active_model import ActiveModel
from ullage.contexts.answering import (
    Answer,
    Emit,
    Prompt,
    refused_again,
    refused_share,
    stream_answer,
    was_cut,
)
from ullage.contexts.drafts import checked_text
from ullage.contexts.finishing import finish
from ullage.contexts.making_room.precedence import Precedence
from ullage.contexts.making_room.progress import Report, unreported
from ullage.contexts.making_room.room import Room
from ullage.contexts.making_room.window_guard import WindowGuard
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
    InvalidArgument,
    WindowExceeded,
)
from ullage.providers.base import AnswerOptions
from ullage.store.records import Commit

logger = logging.getLogger(__name__)


@define(eq=False)
class _Turn:
    """What one turn is about; ``active`` is known once the model was found."""

    session: Session
    options: AnswerOptions
    emit: Emit
    report: Report
    tokens_before: int
    question: tuple[str, ...] = ()
    answer: Answer = Factory(Answer)
    active: ActiveModel = field(init=False)


@define(eq=False)
class Chats:
    sessions: Sessions
    room: Room
    precedence: Precedence
    guard: WindowGuard

    async def chat(
        self, context_id: str, text: str | None, options: AnswerOptions, emit: Emit, report: Report = unreported
    ) -> ChatResult:
        """Say ``text`` and have it answered; without it, have answered what is pending. ``report`` hears what the
        answer has to wait for."""
        session = await self.sessions.get(context_id)
        if session.answering:
            raise ContextBusy(
                "This context is answering already. Wait for the answer, or cancel it.", reason="answering"
            )
        session.answering, session.answer = True, asyncio.current_task()
        turn = _Turn(session, options, emit, report, session.counted.tokens if session.counted else 0)
        try:
            await self._ask(turn, text)
            return await self._answered(turn)
        finally:
            session.answering, session.answer = False, None
            self.sessions.stale(session.id)

    async def _ask(self, turn: _Turn, text: str | None) -> None:
        session = turn.session
        if text is None:
            await self.sessions.own_now(session)
            turn.question = _pending_question(session.state)
            return
        if not text.strip():
            raise InvalidArgument("Say something: the text is empty.", "text")
        checked_text(text, "text")
        message = Message(self.sessions.stamp.id(), "user", text, self.sessions.stamp.now())
        turn.question = (message.id,)

        async def plan(state: ContextState) -> Planned:
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

        async def plan(state: ContextState) -> Planned:
            return self._keeping(state, turn, message)

        await self.sessions.change(session, plan)
        await self.sessions.models.window_after_answer(active)
        await self._learn(turn, prompt)
        usage = await self.sessions.usage(session, turn.options.max_tokens)
        session.growth.append(usage.tokens - session.tools_tokens - turn.tokens_before)
        await self.guard.grown(session, usage)
        [shown] = await views(self.sessions, session.state, [message])
        return ChatResult(shown, usage, answer.timing, prompt.compressed, None, answer.stop_reason)

    async def _streamed(self, turn: _Turn) -> Prompt:
        """Ask; where the server refuses the prompt as too long, make more room by a rule and ask once more."""
        if turn.question[-1] not in turn.session.state.ids:
            raise InvalidArgument("The question left the window before it was answered. Ask it again.", "text")
        async with self.precedence.question(turn.active, needing=turn.session):
            prompt = await self.room.prompt(turn.session, turn.active, turn.options, report=turn.report)
        async with self.precedence.question(turn.active):
            return await self._asked(turn, prompt)

    async def _asked(self, turn: _Turn, prompt: Prompt) -> Prompt:
        """Stream the answer; returns the prompt that the server took."""
        try:
            await self._stream(turn, prompt)
        except WindowExceeded as refusal:
            if turn.answer.first_token is not None:
                raise
            if refusal.limit:
                self.sessions.models.learnt_limit(turn.active, refusal.limit)
            share = refused_share(await self.room.tokens(turn.session, prompt), refusal)
            prompt = await self.room.prompt(turn.session, turn.active, turn.options, shrink=share)
            await self._retry(turn, prompt)
        return prompt

    async def _stream(self, turn: _Turn, prompt: Prompt) -> None:
        answering = stream_answer(turn.active, prompt, turn.options, turn.answer, turn.emit)
        await self.sessions.models.watched(turn.active, answering)

    async def _retry(self, turn: _Turn, prompt: Prompt) -> None:
        try:
            await self._stream(turn, prompt)
        except WindowExceeded as refusal:
            raise refused_again(refusal) from refusal

    def _keeping(self, state: ContextState, turn: _Turn, message: Message) -> Planned:
        """The answer at the window's end, or, where its question has left the window meanwhile, in the history alone.

        The first answer makes the model the context's own, unless it is only the small one that steps in where none was
        chosen.
        """
        active, answer = turn.active, turn.answer
        record = attrs.evolve(state.record, last_used_at=message.created_at)
        if record.model is None and active.provider.name != "embedded":
            record = attrs.evolve(record, provider=active.provider.name, model=active.name)
        asked = turn.question[-1] in state.ids
        ids = (*turn.question, message.id)
        detail: dict[str, object] = {"messageIds": ids, "model": active.name, "stopReason": answer.stop_reason}
        operation = self.sessions.operation(record.id, "chat", detail)
        change, appended = (WindowChange(added=ids), (message.id,)) if asked else (None, ())
        return Planned(Commit(operation, messages=(message,), appended=appended, change=change, record=record))

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


def _pending_question(state: ContextState) -> tuple[str, ...]:
    """The ids of what waits for an answer: the person's own words at the end, or the newest results."""
    messages = state.messages
    if not is_pending(messages, state.carried):
        raise InvalidArgument("Nothing waits for an answer here. Give a text.", "text")
    question: list[str] = []
    for message in reversed(messages):
        if message.role != messages[-1].role:
            break
        question.insert(0, message.id)
    return tuple(question)
