"""Asking the active model for a summary, in the way that costs the least, and believing nothing unchecked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing

import attrs
from attrs import define, frozen

from ullage.contexts.active_model import ActiveModel
from ullage.contexts.making_room.precedence import Precedence
from ullage.contexts.session import Session
from ullage.contexts.sessions import Sessions
from ullage.contexts.state import ContextState
from ullage.conversation.messages import Message, SentMessage, ToolDefinition
from ullage.conversation.summary import Sections, render, shortened, summary_schema
from ullage.conversation.summary_answer import parse
from ullage.conversation.summary_request import handover, instruction, pieces, transcript
from ullage.conversation.touched_files import Files, files_of
from ullage.conversation.turns import turns_of
from ullage.errors import ProviderError, UllageError, WindowExceeded
from ullage.providers.base import AnswerOptions, ChatRequest, Delta, Finished

logger = logging.getLogger(__name__)

LONGEST_S = 900.0
"""For a whole summary: a small model on a CPU may take minutes for one, and a person can cancel it."""

LONGEST_ANSWER_SHARE = 8
"""Characters for each token that was asked for, from which on an answer is not listened to any more."""

ANSWER_SHARE = 1.5
"""Of the room for a summary, what its answer may take: JSON is longer than the Markdown that is made of it. Under the
schema the small model that was measured never took more, and was cut in three of four answers with the room alone."""

FAR_TOO_LONG = 2
"""Times the room: whoever writes so much paid no heed to what was asked."""

TEMPERATURE = 0.2


class OutOfDate(Exception):
    """The window is no longer the one that was looked at."""


@frozen(eq=False)
class _Request:
    """A summary of ``leaving``, the messages of ``state`` that leave the window, in ``most_tokens`` at most."""

    session: Session
    state: ContextState
    leaving: Sequence[Message]
    active: ActiveModel
    most_tokens: int


@define(eq=False)
class Summariser:
    sessions: Sessions
    precedence: Precedence

    async def summarise(
        self,
        session: Session,
        state: ContextState,
        leaving: Sequence[Message],
        most_tokens: int,
        *,
        is_awaited: bool = False,
    ) -> str | None:
        """What is to stand for the messages that leave the window, as Markdown; None where the model gives none that
        has the asked shape. An earlier summary among them is folded in. Cancelling ends the request.

        Raises OutOfDate where the window is another before all of it was asked for: what was erased from it meanwhile
        must not be sent once more.
        """
        active = await self.sessions.models.active_if_any(state.record)
        if active is None:
            return None
        request = _Request(session, state, leaving, active, most_tokens)

        async def ask() -> Sections | None:
            async with asyncio.timeout(LONGEST_S):
                return await self._sections(request)

        try:
            sections = await self.precedence.summary(session, active, ask, is_awaited=is_awaited)
        except (TimeoutError, UllageError) as error:
            logger.info("No summary could be had: %s", getattr(error, "kind", "it took too long"))
            sections = None
        content = await self._fitting(state, sections, files_of(leaving), most_tokens) if sections else None
        session.rejected_summaries = 0 if content else session.rejected_summaries + 1
        return content

    async def _fitting(self, state: ContextState, sections: Sections, files: Files, most_tokens: int) -> str | None:
        """The summary as Markdown, without some of its items where it is a little too long; far too long it is none."""
        left: Sections | None = sections
        content = render(sections, files)
        while left is not None:
            content = render(left, files)
            [cost], _ = await self.sessions.alone(state, [_user(content)])
            if cost > most_tokens * FAR_TOO_LONG:
                return None
            if cost <= most_tokens:
                break
            left = shortened(left)
        return content

    async def _sections(self, request: _Request) -> Sections | None:
        """Going on from the conversation as it stands costs hardly more than the answer, since the server has all of it
        in its cache: from all of it, or from as much of its beginning as there is room for. Where what leaves is more
        than that, the history is handed over as text."""
        prompt = await self._extending(request)
        if prompt is not None:
            return parse(await self._answer(request, prompt, request.session.tools))
        return await self._by_pieces(request)

    async def _extending(self, request: _Request) -> tuple[SentMessage, ...] | None:
        """The longest beginning of the conversation that leaves so much room with the request as its last words; None
        where all that is to leave is longer."""
        state = request.state
        last_words = instruction(_earlier(request.leaving), request.most_tokens)
        room = _answer_tokens(request.most_tokens) + request.session.tools_tokens
        counter = self.sessions.counter(state.record)
        [added] = await counter.alone([_user(last_words)])
        limit = await self.sessions.models.limit(request.active)
        most = None if limit is None else limit - added - room
        ends, fitting = _ends(state.messages, request.leaving), None
        low, high = 0, len(ends) - 1
        middle = high  # most often there is room for all
        while low <= high:
            groups = counter.form(attrs.evolve(state.conversation, messages=state.messages[: ends[middle]]))
            if most is None or await counter.prompt(groups) <= most:
                fitting, low = groups, middle + 1
            else:
                high = middle - 1
            middle = (low + high) // 2
        return None if fitting is None else _with_request([group.message for group in fitting], last_words)

    async def _by_pieces(self, request: _Request) -> Sections | None:
        """Each piece with the summary of those before it."""
        most_tokens = request.most_tokens
        spoken = [m for m in request.leaving if m.summary_of is None]
        counter = self.sessions.counter(request.state.record)
        limit = await self.sessions.models.limit(request.active)
        costs = await counter.alone(spoken)
        [frame] = await counter.alone([_user(handover("", None, most_tokens))])
        room = sum(costs) if limit is None else limit - frame - most_tokens - _answer_tokens(most_tokens)
        earlier, sections = _earlier(request.leaving), None
        for part in pieces(spoken, costs, max(room, 1)):
            history = transcript(spoken[part.start : part.stop])
            prompt = (SentMessage("user", handover(history, earlier, most_tokens)),)
            sections = parse(await self._answer(request, prompt))
            if sections is None:
                return None
            earlier = render(sections, files_of(()))
        return sections

    async def _answer(
        self, request: _Request, messages: tuple[SentMessage, ...], tools: tuple[ToolDefinition, ...] = ()
    ) -> str:
        """The text of an answer in the asked form; a server that refuses to be told a form is asked without. ``tools``
        are not to be called: they stand in the prompt as the server has it in its cache."""
        plain = AnswerOptions(
            max_tokens=_answer_tokens(request.most_tokens),
            temperature=TEMPERATURE,
            tools=tools,
            tool_choice="none" if tools else None,
        )
        formed = attrs.evolve(plain, thinking=False, response_schema=summary_schema(request.most_tokens))
        try:
            return await self._streamed(request, messages, formed)
        except WindowExceeded:
            raise
        except ProviderError:
            return await self._streamed(request, messages, plain)

    async def _streamed(self, request: _Request, messages: tuple[SentMessage, ...], options: AnswerOptions) -> str:
        session, active = request.session, request.active
        if session.state.epoch != request.state.epoch:
            raise OutOfDate
        chat = ChatRequest(active.name, messages, options, active.request_size)
        text: list[str] = []

        async def listen() -> None:
            length = 0
            async with aclosing(active.provider.chat(chat)) as stream:
                async for item in stream:
                    if isinstance(item, Delta):
                        text.append(item.text)
                        length += len(item.text)
                    elif isinstance(item, Finished):
                        _account(session, item)
                    if length > (options.max_tokens or 0) * LONGEST_ANSWER_SHARE:
                        break

        await self.sessions.models.watched(active, listen())
        return "".join(text)


def _earlier(leaving: Sequence[Message]) -> str | None:
    return "\n\n".join(m.content for m in leaving if m.summary_of is not None) or None


def _answer_tokens(most_tokens: int) -> int:
    return int(most_tokens * ANSWER_SHARE)


def _ends(messages: Sequence[Message], leaving: Sequence[Message]) -> list[int]:
    """Where a beginning of the window that holds all that leaves may end: there, before later turns, and behind all."""
    last = {message.id for message in leaving[-1:]}
    least = next((place for place, message in enumerate(messages, start=1) if message.id in last), len(messages))
    return sorted({least, *(turn.start for turn in turns_of(messages) if turn.start > least), len(messages)})


def _with_request(messages: list[SentMessage], request: str) -> tuple[SentMessage, ...]:
    """With the request as the last words, merged into words of the person's that nobody answered."""
    if messages and messages[-1].role == "user":
        request = f"{messages.pop().content}\n\n{request}"
    return (*messages, SentMessage("user", request))


def _user(content: str) -> Message:
    return Message("", "user", content, 0)


def _account(session: Session, finished: Finished) -> None:
    """A summary's prompt counts among those that were evaluated."""
    if finished.prompt_tokens:
        session.prompt_reused += finished.reused_tokens or 0
        session.prompt_evaluated += finished.prompt_tokens - (finished.reused_tokens or 0)
