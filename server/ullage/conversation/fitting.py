"""How a foreign history is made to fit a window, in steps from the mildest to the hardest.

The steps only say what to leave out; whoever counts decides how far to go.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import attrs
from attrs import frozen

from ullage.conversation.masking import is_maskable, placeholder
from ullage.conversation.messages import Message
from ullage.conversation.turns import turns_of, without_oldest_turns

SHORTEST_RESULT = 200
"""Characters that are left of a tool result when everything else failed: enough to tell what it was."""


@frozen
class Reduction:
    """``dropped`` oldest turns left out, ``masked`` old tool results of the others replaced by a placeholder, and the
    newest turn's tool results cut to ``longest_result`` characters (None: whole)."""

    masked: int = 0
    dropped: int = 0
    longest_result: int | None = None


def reductions(messages: Sequence[Message]) -> list[Reduction]:
    """Every step in order, each leaving at least as much out as the one before, so that a search by halves finds the
    mildest that fits."""
    turns = turns_of(messages)
    newest = turns[-1].start if turns else 0
    maskable = [position for position, m in enumerate(messages[:newest]) if is_maskable(m)]
    steps = [Reduction(masked=count) for count in range(len(maskable) + 1)]
    steps += [
        Reduction(sum(position >= turn.end for position in maskable), dropped)
        for dropped, turn in enumerate(turns[:-1], start=1)
    ]
    longest = max((len(m.content) for m in messages[newest:] if m.role == "tool"), default=0)
    while longest > SHORTEST_RESULT:
        longest = max(longest // 2, SHORTEST_RESULT)
        steps.append(attrs.evolve(steps[-1], longest_result=longest))
    return steps


def lasting(messages: Sequence[Message], steps: Sequence[Reduction], needed: int, stride: int) -> int:
    """The index of a step of the same kind as ``steps[needed]``, at or after it, that stays the one for a history that
    grows at its end, until so many characters (``stride``) more have to be left out: what is sent keeps its beginning
    meanwhile, and a model server evaluates what is new only. ``needed`` itself where no such step is left."""
    dropping = steps[needed].dropped > 0
    if steps[needed] == Reduction() or steps[needed].longest_result is not None:
        return needed
    left_out = _characters_left_out(messages, dropping=dropping)
    count = steps[needed].dropped if dropping else steps[needed].masked
    strides = [characters // stride for characters in left_out]
    landing = next((later for later in range(count, len(strides)) if strides[later] > strides[later - 1]), count)
    return needed + landing - count


def _characters_left_out(messages: Sequence[Message], *, dropping: bool) -> list[int]:
    """By number of oldest turns that are dropped, the newest never, or of old tool results that are masked."""
    turns = turns_of(messages)
    if dropping:
        pieces = [messages[turn.start : turn.end] for turn in turns[:-1]]
    else:
        newest = turns[-1].start if turns else 0
        pieces = [[m] for m in messages[:newest] if is_maskable(m)]
    return list(accumulate((sum(len(m.content) for m in piece) for piece in pieces), initial=0))


def reduce(messages: Sequence[Message], reduction: Reduction) -> tuple[Message, ...]:
    """The history after a step. System messages always stay, and so does the newest turn."""
    kept = without_oldest_turns(messages, turns_of(messages), reduction.dropped, frozenset())
    turns = turns_of(kept)
    newest = turns[-1].start if turns else 0
    masked = 0
    result: list[Message] = []
    for position, message in enumerate(kept):
        if position < newest and masked < reduction.masked and is_maskable(message):
            masked += 1
            result.append(attrs.evolve(message, content=placeholder(message)))
        elif message.role == "tool" and position >= newest and reduction.longest_result is not None:
            result.append(attrs.evolve(message, content=shorten(message.content, reduction.longest_result)))
        else:
            result.append(message)
    return tuple(result)


def shorten(text: str, longest: int) -> str:
    """The beginning and the end of ``text``, ``longest`` characters together, with a note between them of how much is
    missing; the text itself where that would be no shorter."""
    head, tail = longest * 2 // 3, longest // 3
    missing = len(text) - head - tail
    shortened = f"{text[:head]}\n[… {missing:,} characters left out to make room …]\n{text[-tail:]}"
    return shortened if len(shortened) < len(text) else text
