"""Asking the active model for a summary, in the way that costs the least, and believing nothing unchecked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing

import attrs
from attrs import define

from ullage.contexts.active_model import ActiveModel
from ullage.contexts.precedence import Precedence
from ullage.contexts.session import Session
from ullage.contexts.sessions import Sessions
from ullage.contexts.state import ContextState
from ullage.conversation.messages import Message, SentMessage
from ullage.conversation.sending import Conversation
from ullage.conversation.summary import Sections, render, summary_schema
from ullage.conversation.summary_answer import parse
from ullage.conversation.summary_request import handover, instruction, pieces, transcript
from ullage.conversation.touched_files import files_of
from ullage.errors import ProviderError, UllageError, WindowExceeded
from ullage.providers.base import AnswerOptions, ChatRequest, Delta, Finished

logger = logging.getLogger(__name__)

LONGEST_S = 900.0
"""For a whole summary: a small model on a CPU may take minutes for one, and a person can cancel it."""

LONGEST_ANSWER_SHARE = 8
"""Characters for each token that was asked for, from which on an answer is not listened to any more."""

TEMPERATURE = 0.2


@define(eq=False)
class Summariser:
    sessions: Sessions
    precedence: Precedence

    async def summarise(
        self, session: Session, state: ContextState, leaving: Sequence[Message], most_tokens: int
    ) -> str | None:
        """What is to stand for the messages that leave the window, as Markdown; None where the model gives none that
        has the asked shape. An earlier summary among them is folded in. Cancelling ends the request."""
        active = await self.sessions.models.active_if_any(state.record)
        if active is None:
            return None

        async def ask() -> Sections | None:
            async with asyncio.timeout(LONGEST_S):
                return await self._sections(session, state, leaving, active, most_tokens)

        try:
            sections = await self.precedence.summary(session, active, ask)
        except (TimeoutError, UllageError) as error:
            logger.info("No summary could be had: %s", getattr(error, "kind", "it took too long"))
            sections = None
        session.rejected_summaries = 0 if sections else session.rejected_summaries + 1
        return render(sections, files_of(leaving)) if sections else None

    async def _sections(
        self,
        session: Session,
        state: ContextState,
        leaving: Sequence[Message],
        active: ActiveModel,
        most_tokens: int,
    ) -> Sections | None:
        """Going on from the conversation as it stands costs hardly more than the answer, since the server has all of it
        in its cache; where there is no room for that, from its beginning, as far as it leaves; and where even that is
        too much, the history is handed over as text."""
        request = instruction(_earlier(leaving), most_tokens)
        last = {message.id for message in leaving[-1:]}
        upto = next((place for place, message in enumerate(state.messages, start=1) if message.id in last), 0)
        for messages in (state.messages, state.messages[:upto]):
            conversation = attrs.evolve(state.conversation, messages=messages)
            prompt = await self._extending(state, conversation, active, request, most_tokens)
            if prompt is not None:
                return parse(await self._answer(session, active, prompt, most_tokens))
        return await self._by_pieces(session, state, leaving, active, most_tokens)

    async def _extending(
        self, state: ContextState, conversation: Conversation, active: ActiveModel, request: str, most_tokens: int
    ) -> tuple[SentMessage, ...] | None:
        """A conversation with the request for a summary as its last words; None where the window has no room for it."""
        counter = self.sessions.counter(state.record)
        groups = counter.form(conversation)
        [added] = await counter.alone([_user(request)])
        limit = await self.sessions.models.limit(active)
        if limit is not None and await counter.prompt(groups) + added + most_tokens > limit:
            return None
        messages = [group.message for group in groups]
        if messages and messages[-1].role == "user":
            last = messages.pop()
            request = f"{last.content}\n\n{request}"
        return (*messages, SentMessage("user", request))

    async def _by_pieces(
        self,
        session: Session,
        state: ContextState,
        leaving: Sequence[Message],
        active: ActiveModel,
        most_tokens: int,
    ) -> Sections | None:
        """Each piece with the summary of those before it."""
        spoken = [m for m in leaving if m.summary_of is None]
        counter = self.sessions.counter(state.record)
        limit = await self.sessions.models.limit(active)
        costs = await counter.alone(spoken)
        [frame] = await counter.alone([_user(handover("", None, most_tokens))])
        room = sum(costs) if limit is None else limit - frame - 2 * most_tokens
        earlier, sections = _earlier(leaving), None
        for part in pieces(spoken, costs, max(room, 1)):
            history = transcript(spoken[part.start : part.stop])
            prompt = (SentMessage("user", handover(history, earlier, most_tokens)),)
            sections = parse(await self._answer(session, active, prompt, most_tokens))
            if sections is None:
                return None
            earlier = render(sections, files_of(()))
        return sections

    async def _answer(
        self, session: Session, active: ActiveModel, messages: tuple[SentMessage, ...], most_tokens: int
    ) -> str:
        """The text of an answer in the asked form; a server that refuses to be told a form is asked without."""
        plain = AnswerOptions(max_tokens=most_tokens, temperature=TEMPERATURE)
        formed = attrs.evolve(plain, thinking=False, response_schema=summary_schema(most_tokens))
        request = ChatRequest(active.name, messages, formed, active.request_size)
        try:
            return await self._streamed(session, active, request)
        except WindowExceeded:
            raise
        except ProviderError:
            return await self._streamed(session, active, attrs.evolve(request, options=plain))

    async def _streamed(self, session: Session, active: ActiveModel, request: ChatRequest) -> str:
        text: list[str] = []

        async def listen() -> None:
            length = 0
            async with aclosing(active.provider.chat(request)) as stream:
                async for item in stream:
                    if isinstance(item, Delta):
                        text.append(item.text)
                        length += len(item.text)
                    elif isinstance(item, Finished):
                        _account(session, item)
                    if length > (request.options.max_tokens or 0) * LONGEST_ANSWER_SHARE:
                        break

        await self.sessions.models.watched(active, listen())
        return "".join(text)


def _earlier(leaving: Sequence[Message]) -> str | None:
    return "\n\n".join(m.content for m in leaving if m.summary_of is not None) or None


def _user(content: str) -> Message:
    return Message("", "user", content, 0)


def _account(session: Session, finished: Finished) -> None:
    """A summary's prompt counts among those that were evaluated."""
    if finished.prompt_tokens:
        session.prompt_reused += finished.reused_tokens or 0
        session.prompt_evaluated += finished.prompt_tokens - (finished.reused_tokens or 0)
