"""One answer from a model server: streamed out as it comes, collected, and measured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing

import attrs
from attrs import Factory, define, frozen

from ullage.contexts.active_model import ActiveModel
from ullage.contexts.counting import Groups
from ullage.contexts.values import CompressionResult, Partial, StopReason, Timing
from ullage.conversation.messages import Message, ToolCall
from ullage.errors import ContextOverflow, ProviderError, WindowExceeded
from ullage.providers.base import AnswerOptions, ChatRequest, Delta, Finished

Emit = Callable[[Partial], None]

SUSPECT_SHARE_EXACT = 0.95
SUSPECT_SHARE_ESTIMATED = 0.6
SUSPECT_GAP = 64
"""A server that reports less than this share of what was counted, and so many tokens less, has cut the prompt: an exact
count may miss a few tokens of an unusual template, an estimate may be off by a third, and of a few words by more."""

BELIEVED_SHARE = 0.75
"""For refusals that name no figures."""


@frozen
class Prompt:
    """What is sent. ``tokens`` is the count, None where a rough one was enough; ``room`` is what the window leaves for
    the answer at least, None where the window is not known. ``compressed``: what was done to make it fit."""

    groups: Groups
    tokens: int | None
    room: int | None
    compressed: CompressionResult | None = None


@define
class Answer:
    """What has come of an answer so far."""

    began: float = Factory(time.perf_counter)
    text: list[str] = Factory(list)
    reasoning: list[str] = Factory(list)
    tool_calls: list[ToolCall] = Factory(list)
    pieces: int = 0
    first_token: float | None = None
    ended: float | None = None
    finished: Finished | None = None
    cancelled: bool = False

    def take(self, delta: Delta) -> Partial:
        self.first_token = self.first_token or time.perf_counter()
        self.pieces += 1
        if delta.tool_call is not None:
            self.tool_calls.append(delta.tool_call)
            return Partial(tool_call=delta.tool_call)
        if delta.reasoning:
            self.reasoning.append(delta.reasoning)
            return Partial(reasoning=delta.reasoning)
        self.text.append(delta.text)
        return Partial(delta=delta.text)

    @property
    def stop_reason(self) -> StopReason:
        if self.cancelled or self.finished is None:
            return "cancelled"
        return "toolCalls" if self.tool_calls else self.finished.stop_reason

    @property
    def timing(self) -> Timing:
        """Durations in ms. Where the server counts no answer tokens, the streamed pieces stand for them."""
        finished = self.finished
        completion = finished.completion_tokens if finished else None
        ended = self.ended or time.perf_counter()
        first = None if self.first_token is None else round((self.first_token - self.began) * 1000, 3)
        return Timing(
            first_token_ms=first,
            total_ms=round((ended - self.began) * 1000, 3),
            prompt_tokens=finished.prompt_tokens if finished else None,
            reused_tokens=finished.reused_tokens if finished else None,
            completion_tokens=self.pieces if completion is None else completion,
        )

    def message(self, message_id: str, at: int) -> Message:
        return Message(
            id=message_id,
            role="assistant",
            content="".join(self.text),
            created_at=at,
            tool_calls=tuple(self.tool_calls),
            reasoning="".join(self.reasoning) or None,
        )


def was_cut(sent: int, reported: int, *, exact: bool) -> bool:
    """Whether the server evaluated clearly less than the tokens that it was sent, and did not say so."""
    share = SUSPECT_SHARE_EXACT if exact else SUSPECT_SHARE_ESTIMATED
    return sent - reported >= SUSPECT_GAP and reported < sent * share


def refused_share(counted: int | None, refusal: WindowExceeded) -> float:
    """How much of the window may still be believed in after the server refused a prompt that we thought would fit: as
    much as our count was of the server's."""
    if counted is None or not refusal.needed:
        return BELIEVED_SHARE
    return min(counted / refusal.needed, 1.0)


def refused_again(refusal: WindowExceeded) -> ContextOverflow:
    return ContextOverflow(
        "The model server refuses the prompt as too long, also after something was left out of it. Clear the"
        " conversation, or load the model with a larger context.",
        needed=refusal.needed,
        limit=refusal.limit,
    )


async def stream_answer(
    active: ActiveModel, prompt: Prompt, options: AnswerOptions, answer: Answer, emit: Emit
) -> None:
    """Stream into ``answer``. Cancelling before the first token raises CancelledError; after it the answer is what has
    come. Raises what the provider raises."""
    request = _request(active, prompt, options)
    try:
        async with aclosing(active.provider.chat(request)) as stream:
            async for item in stream:
                if isinstance(item, Finished):
                    answer.finished = item
                else:
                    emit(answer.take(item))
    except asyncio.CancelledError:
        if answer.first_token is None:
            raise
        answer.cancelled = True
        if (task := asyncio.current_task()) is not None:
            task.uncancel()
    finally:
        answer.ended = time.perf_counter()
    if answer.finished is None and not answer.cancelled:
        raise ProviderError(f"{active.provider.name} ended the answer without saying so. Try again.")


def _request(active: ActiveModel, prompt: Prompt, options: AnswerOptions) -> ChatRequest:
    limits = [limit for limit in (options.max_tokens, prompt.room) if limit is not None]
    return ChatRequest(
        model=active.name,
        messages=tuple(group.message for group in prompt.groups),
        options=attrs.evolve(options, max_tokens=min(limits, default=None)),
        context_size=active.request_size,
    )
