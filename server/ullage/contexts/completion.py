"""Answers for histories that the client holds: made to fit, answered, and not kept."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, frozen

from ullage.contexts.active_model import ActiveModel
from ullage.contexts.answering import Answer, Emit, Prompt, refused_again, refused_share, stream_answer
from ullage.contexts.counting import Groups, WindowCounter
from ullage.contexts.directory import Directory
from ullage.contexts.drafts import Draft, checked, message_of
from ullage.contexts.making_room.precedence import Precedence
from ullage.contexts.sessions import Sessions
from ullage.contexts.values import ChatResult, Fitted
from ullage.contexts.views import view
from ullage.conversation.fitting import Reduction, lasting, reduce, reductions
from ullage.conversation.messages import Message
from ullage.conversation.sending import Conversation
from ullage.conversation.turns import turns_of
from ullage.conversation.usage import measure, reserved_tokens, usable_tokens
from ullage.errors import ContextOverflow, InvalidArgument, WindowExceeded
from ullage.providers.base import AnswerOptions


@frozen
class _Foreign:
    """A history that someone else holds, its counter, and what its tool definitions add."""

    messages: tuple[Message, ...]
    counter: WindowCounter
    tools_tokens: int

    def form(self, reduction: Reduction) -> Groups:
        return self.counter.form(Conversation(reduce(self.messages, reduction)))

    async def tokens(self, reduction: Reduction) -> int:
        return await self.counter.prompt(self.form(reduction)) + self.tools_tokens


@define(eq=False)
class Completions:
    sessions: Sessions
    directory: Directory
    precedence: Precedence

    async def complete(
        self,
        drafts: Sequence[Draft],
        options: AnswerOptions,
        emit: Emit,
        *,
        context_id: str | None = None,
        model: str | None = None,
        fit: bool = True,
    ) -> ChatResult:
        """Answer ``drafts``; with ``fit`` what does not fit is left out, the mildest way first."""
        checked(drafts)
        if all(draft.role == "system" for draft in drafts):
            raise InvalidArgument(
                "There is nothing to answer: give at least one message that is no system prompt.", "messages"
            )
        active = await self._model(context_id, model)
        messages = tuple(message_of(draft, self.sessions.stamp) for draft in drafts)
        counter = self.sessions.counter_of(active)
        tools_tokens = await _tools_tokens(counter, messages, options)
        foreign = _Foreign(messages, counter, tools_tokens)
        answer = Answer()
        prompt, fitted = await self._fitted(foreign, active, options, fit=fit)
        async with self.precedence.question(active):
            try:
                await self.sessions.models.watched(active, stream_answer(active, prompt, options, answer, emit))
            except WindowExceeded as refusal:
                if answer.first_token is not None:
                    raise
                share = self._believed(active, prompt, refusal)
                prompt, fitted = await self._fitted(foreign, active, options, fit=fit, share=share)
                await self._once_more(active, prompt, options, answer, emit)
        return self._result(active, answer, prompt, fitted, options)

    def _believed(self, active: ActiveModel, prompt: Prompt, refusal: WindowExceeded) -> float:
        """The share of the window that may still be believed in after a refusal."""
        if refusal.limit:
            self.sessions.models.learnt_limit(active, refusal.limit)
        return refused_share(prompt.tokens, refusal)

    async def _once_more(
        self, active: ActiveModel, prompt: Prompt, options: AnswerOptions, answer: Answer, emit: Emit
    ) -> None:
        try:
            await self.sessions.models.watched(active, stream_answer(active, prompt, options, answer, emit))
        except WindowExceeded as refusal:
            raise refused_again(refusal) from refusal

    async def _model(self, context_id: str | None, model: str | None) -> ActiveModel:
        if model is not None:
            return await self.sessions.models.find(model)
        if context_id is None and self.directory.active_id is None:
            return await self.sessions.models.active(None)
        session = await self.directory.resolve(context_id)
        return await self.sessions.models.active(session.state.record)

    async def _fitted(
        self, foreign: _Foreign, active: ActiveModel, options: AnswerOptions, *, fit: bool, share: float = 1.0
    ) -> tuple[Prompt, Fitted | None]:
        limit = await self.sessions.models.limit(active)
        before = await foreign.tokens(Reduction())
        if limit is None:
            return Prompt(foreign.form(Reduction()), before, None), None
        reserved = reserved_tokens(limit, self.sessions.settings().context.reserve_output, options.max_tokens)
        usable = int(usable_tokens(limit, reserved) * share)
        if before <= usable:
            return Prompt(foreign.form(Reduction()), before, limit - before), None
        steps = reductions(foreign.messages) if fit else [Reduction()]
        needed = await _first_that_fits(foreign, steps, usable)
        reduction = steps[lasting(foreign.messages, steps, needed, stride=limit)]  # characters: a quarter of the window
        after = await foreign.tokens(reduction)
        if after > usable:
            raise await _overflow(foreign, after, limit, usable)
        masked = reduction.masked + _shortened(foreign.messages, reduction)
        prompt = Prompt(foreign.form(reduction), after, limit - after)
        return prompt, Fitted(reduction.dropped, masked, before, after)

    def _result(
        self, active: ActiveModel, answer: Answer, prompt: Prompt, fitted: Fitted | None, options: AnswerOptions
    ) -> ChatResult:
        message = answer.message(self.sessions.stamp.id(), self.sessions.stamp.now())
        settings = self.sessions.settings().context
        reserved = reserved_tokens(active.limit, settings.reserve_output, options.max_tokens)
        assert prompt.tokens is not None, "a foreign history is always counted"
        usage = measure(
            tokens=prompt.tokens,
            limit=active.limit,
            reserved=reserved,
            messages=sum(len(group.ids) for group in prompt.groups),
            source=active.counter.source,
        )
        timing = answer.timing
        shown = view(message, timing.completion_tokens, "provider", ())
        return ChatResult(shown, usage, timing, None, fitted, answer.stop_reason)


async def _tools_tokens(counter: WindowCounter, messages: Sequence[Message], options: AnswerOptions) -> int:
    if not options.tools:
        return 0
    groups = counter.form(Conversation(messages))
    return max(await counter.prompt(groups, options.tools) - await counter.prompt(groups), 0)


async def _first_that_fits(foreign: _Foreign, steps: Sequence[Reduction], usable: int) -> int:
    """The mildest step that fits, found by halves; the last one where none does."""
    low, high = 0, len(steps) - 1
    while low < high:
        middle = (low + high) // 2
        if await foreign.tokens(steps[middle]) <= usable:
            high = middle
        else:
            low = middle + 1
    return high


async def _overflow(foreign: _Foreign, needed: int, limit: int, usable: int) -> ContextOverflow:
    """Says where the room went, so that a person knows what to shorten."""
    system = [m for m in foreign.messages if m.role == "system"]
    turns = turns_of(foreign.messages)
    newest = foreign.messages[turns[-1].start :] if turns else ()
    counter = foreign.counter
    system_tokens = sum(await counter.alone(system))
    newest_tokens = sum(await counter.alone([m for m in newest if m.role != "system"]))
    return ContextOverflow(
        f"The request needs {needed:,} tokens, and {usable:,} are usable of a window of {limit:,}: system prompt"
        f" {system_tokens:,}, tools {foreign.tools_tokens:,}, newest turn {newest_tokens:,}. Load the model with a"
        " larger context, or send less.",
        needed=needed,
        limit=limit,
        system=system_tokens,
        tools=foreign.tools_tokens,
        newest=newest_tokens,
    )


def _shortened(messages: Sequence[Message], reduction: Reduction) -> int:
    """How many of the newest turn's tool results the step has made shorter."""
    if reduction.longest_result is None:
        return 0
    whole = {m.id: m for m in messages}
    return sum(m.content != whole[m.id].content for m in _newest_results(reduce(messages, reduction)))


def _newest_results(messages: Sequence[Message]) -> list[Message]:
    turns = turns_of(messages)
    return [m for m in messages[turns[-1].start :] if m.role == "tool"] if turns else []
