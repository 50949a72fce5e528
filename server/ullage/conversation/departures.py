"""What may leave a window together, and in which order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence

from attrs import frozen

from ullage.conversation.messages import Message
from ullage.conversation.turns import Turn, is_spoken, rounds_of, turns_of


@frozen
class Departures:
    """``steps`` hold positions in the window that leave together, the oldest first; ``ends`` the positions after them.

    A turn leaves round by round, and what the person said in it goes with its last round: a cut lies before a person's
    turn, or after a message of the assistant that leaves no call open. ``most`` steps may ever leave: the newest round
    and the newest words of a person stay. ``last_turn`` and ``newest_round`` are the positions where those begin.
    """

    steps: tuple[tuple[int, ...], ...]
    ends: tuple[int, ...]
    most: int
    last_turn: int
    newest_round: int

    def before(self, position: int) -> int:
        """How many steps lie wholly before ``position`` and may leave."""
        return min(bisect_right(self.ends, position), self.most)


def departures_of(messages: Sequence[Message], pinned: Collection[str], carried: Collection[str]) -> Departures:
    """System messages and summaries are in no step. What is carried in the leading system message and pinned no more
    is the first step."""
    places = [position for position, message in enumerate(messages) if is_spoken(message, carried)]
    spoken = [messages[position] for position in places]
    turns = turns_of(spoken)
    stale = tuple(_no_longer_pinned(messages, pinned, carried))
    steps = [stale] if stale else []
    for turn in turns:
        steps += [tuple([places[place] for place in step]) for step in _steps_of(spoken, turn)]
    last_turn = newest_round = len(messages)
    if turns:
        last_turn = newest_round = places[turns[-1].start]
        rounds = rounds_of(spoken, turns[-1])
        newest_round = places[rounds[-1].start] if rounds else last_turn
    ends = [0] * bool(stale) + [max(step) + 1 for step in steps[bool(stale) :]]
    return Departures(tuple(steps), tuple(ends), len(steps) - bool(turns), last_turn, newest_round)


def pinned_together(messages: Sequence[Message], pinned: Collection[str]) -> frozenset[str]:
    """The pins, with the results of pinned calls, the calls of pinned results, and the other results of those."""
    if not pinned:
        return frozenset()
    groups: dict[str, list[str]] = {}
    caller: dict[str | None, str] = {}
    for message in messages:
        for call in message.tool_calls:
            caller[call.id] = message.id
        owner = caller.get(message.tool_call_id) if message.role == "tool" else message.id
        if owner is not None and (message.tool_calls or message.role == "tool"):
            groups.setdefault(owner, []).append(message.id)
    together = (group for group in groups.values() if any(id_ in pinned for id_ in group))
    return frozenset(pinned).union(*together)


def _steps_of(spoken: Sequence[Message], turn: Turn) -> Iterator[list[int]]:
    """A turn's rounds without the person's words, then its last round with all of them."""
    asked = [place for place in range(turn.start, turn.end) if spoken[place].role == "user"]
    *earlier, last = rounds_of(spoken, turn) or [Turn(turn.end, turn.end)]
    for round_ in earlier:
        yield [place for place in range(round_.start, round_.end) if spoken[place].role != "user"]
    yield [*asked, *(place for place in range(last.start, last.end) if spoken[place].role != "user")]


def _no_longer_pinned(messages: Sequence[Message], pinned: Collection[str], carried: Collection[str]) -> Iterator[int]:
    for position, message in enumerate(messages):
        is_carried = message.id in carried and message.role != "system" and message.summary_of is None
        if is_carried and message.id not in pinned:
            yield position
