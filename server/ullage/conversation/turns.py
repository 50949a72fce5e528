"""Turns: what belongs together, and so stays or leaves together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

from attrs import frozen

from ullage.conversation.messages import Message


@frozen
class Turn:
    """A half-open range of positions in the window: what a person said, and all that answered it."""

    start: int
    end: int


def turns_of(messages: Sequence[Message]) -> list[Turn]:
    """The window cut before each real user turn, but never between a tool call and its result, however late it came.

    Several user messages in a row are one turn's beginning. What stands before the first user message is a turn of its
    own; system messages belong to no turn, wherever they stand, and only lie inside the ranges.
    """
    starts: list[int] = []
    previous: str | None = None
    open_until = _last_result_of_calls(messages)
    bound = -1
    for position, message in enumerate(messages):
        if message.role == "system":
            continue
        begins = message.role == "user" and previous != "user" and position > bound
        if previous is None or begins:
            starts.append(position)
        previous = message.role
        bound = max(bound, open_until.get(position, -1))
    ends = [*starts[1:], len(messages)] if starts else []
    return [Turn(start, end) for start, end in zip(starts, ends, strict=True)]


def rounds_of(messages: Sequence[Message], turn: Turn) -> list[Turn]:
    """A turn cut before each of the assistant's messages, but never between a tool call and its result: the rounds of a
    tool loop. What the person said before the first of them belongs to none."""
    inside = messages[turn.start : turn.end]
    open_until = _last_result_of_calls(inside)
    starts: list[int] = []
    bound = -1
    for place, message in enumerate(inside):
        begins = message.role == "assistant" and place > bound
        if begins or (not starts and message.role == "tool"):
            starts.append(turn.start + place)
        bound = max(bound, open_until.get(place, -1))
    return [Turn(start, end) for start, end in pairwise([*starts, turn.end])]


def _last_result_of_calls(messages: Sequence[Message]) -> dict[int, int]:
    """For each position with tool calls that are answered, the position of the last result."""
    caller: dict[str, int] = {}
    last: dict[int, int] = {}
    for position, message in enumerate(messages):
        caller.update((call.id, position) for call in message.tool_calls)
        if message.role == "tool" and message.tool_call_id in caller:
            last[caller[message.tool_call_id]] = position
    return last


def without_oldest_turns(
    messages: Sequence[Message], turns: Sequence[Turn], count: int, pinned: Collection[str]
) -> tuple[Message, ...]:
    """The window after the ``count`` oldest turns left it; system messages, summaries and pins stay."""
    if count == 0:
        return tuple(messages)
    cut = turns[count - 1].end
    return (*(m for m in messages[:cut] if stays_always(m, pinned)), *messages[cut:])


def stays_always(message: Message, pinned: Collection[str]) -> bool:
    return message.role == "system" or message.summary_of is not None or message.id in pinned


def is_spoken(message: Message, carried: Collection[str]) -> bool:
    """Whether a message is sent in its own place and not inside the leading system message."""
    return message.role != "system" and message.summary_of is None and message.id not in carried


def is_pending(messages: Sequence[Message], carried: Collection[str] = ()) -> bool:
    """Whether the window ends with something that waits for an answer: a question, or the results of all calls."""
    spoken = [m for m in messages if is_spoken(m, carried)]
    return bool(spoken) and spoken[-1].role in ("user", "tool") and not open_calls(spoken)


def open_calls(messages: Sequence[Message]) -> set[str]:
    """The ids of the newest assistant message's tool calls that no result has answered yet."""
    answered: set[str] = set()
    for message in reversed(messages):
        if message.role == "tool":
            answered.add(message.tool_call_id or "")
        elif message.role == "assistant":
            return {call.id for call in message.tool_calls} - answered
        elif message.role == "user":
            break
    return set()


def call_partners(messages: Sequence[Message], message: Message) -> tuple[str, ...]:
    """The ids of the tool call and all results that ``message`` belongs to, itself included; else itself alone.

    Call ids may recur in one conversation (some models count from 0 in every turn), so a result belongs to the
    nearest call before it.
    """
    owner: Message | None = None
    groups: dict[str, list[str]] = {}
    owner_of: dict[str, str] = {}
    for candidate in messages:
        if candidate.role == "assistant":
            owner = candidate if candidate.tool_calls else None
        if owner is None:
            continue
        if candidate is owner or (
            candidate.role == "tool" and any(call.id == candidate.tool_call_id for call in owner.tool_calls)
        ):
            groups.setdefault(owner.id, []).append(candidate.id)
            owner_of[candidate.id] = owner.id
    return tuple(groups[owner_of[message.id]]) if message.id in owner_of else (message.id,)
