"""What stays, what is masked and what leaves when a window is to become smaller: decided before anything is done.

A plan goes from the mildest means to the hardest and takes no more than its goal asks for:

1. Tool results are masked, the oldest first (not by the strategy ``summarize``).
2. The oldest steps (`Departures`) leave, all at once, as few as bring the window down to the target. A summary stands
   for them, into which an earlier one is folded; ``truncate`` has none and leaves earlier summaries where they are.
3. The last turn is left whole by that. Where the target is not reached so, as in a long tool loop, its own rounds from
   before the newest ``preserve_recent`` tokens are masked and leave too. Its words and its newest round stay.

Without a target it goes as far as the first two allow, and to the third where they gain nothing. Only where the
``ceiling`` is still exceeded then, what was to be preserved is touched, until the window is under it:

4. Tool results up to the newest round are masked.
5. More steps leave, until of the last turn only its words and its newest round stay.
6. No summary is made, and at last earlier ones leave too.

System messages and pins always stay as they were said. The pins of what leaves are carried in the leading system
message from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Literal

from attrs import frozen

from ullage.conversation.departures import Departures, departures_of, pinned_together
from ullage.conversation.masking import is_maskable, placeholder
from ullage.conversation.messages import Message
from ullage.conversation.turns import is_spoken
from ullage.settings import Strategy

CARRIED_HEADING_TOKENS = 16
"""More than the heading costs that the first carried pin brings into the leading system message."""

CHARACTERS_PER_TOKEN = 4
"""No estimate of a placeholder, which is plain English, goes below this."""


@frozen
class Weighed:
    """A window and what it costs in tokens, as it is sent now.

    ``costs`` are of each message, a masked one's that of its placeholder; ``overhead`` is everything else: the
    context's own system prompt, what the template puts around all, tool definitions. They sum up to the whole.
    """

    messages: Sequence[Message]
    costs: Sequence[int]
    pinned: frozenset[str] = frozenset()
    carried: frozenset[str] = frozenset()
    masked: frozenset[str] = frozenset()
    overhead: int = 0

    @property
    def tokens(self) -> int:
        return self.overhead + sum(self.costs)


@frozen
class Demand:
    """What a window is to become. All figures are tokens.

    ``target`` is what the whole window should come down to; None: as far as ``preserve_recent`` allows, for a person's
    own request. ``preserve_recent`` of the newest messages stay as they are. ``ceiling`` is what the window has to come
    under, whatever it takes, because the next request would not fit otherwise; None: there is no such need.
    ``summary_tokens`` is the room to plan for a summary.
    """

    strategy: Strategy
    target: int | None
    preserve_recent: int
    ceiling: int | None = None
    summary_tokens: int = 1024


@frozen
class Plan:
    """``kept`` is the window after it, in order and without the new summary; ``masked`` and ``carried`` are the whole
    sets after it. ``leaving`` is what leaves, in order, earlier summaries that are folded in included. ``summarised``:
    a summary is to stand for that. ``predicted`` are the tokens of the whole window after it, the room for a summary
    included.
    """

    kept: tuple[Message, ...]
    masked: frozenset[str]
    carried: frozenset[str]
    leaving: tuple[Message, ...]
    summarised: bool
    predicted: int

    def window(self, summary: Message | None = None) -> tuple[Message, ...]:
        """The window after it, with ``summary`` in its place: before the first words that are sent as they were said,
        behind what leads them."""
        if summary is None:
            return self.kept
        spoken = (place for place, message in enumerate(self.kept) if is_spoken(message, self.carried))
        place = next(spoken, len(self.kept))
        return (*self.kept[:place], summary, *self.kept[place:])


def plan(weighed: Weighed, demand: Demand) -> Plan | None:
    """The mildest plan that does what is demanded, or the nearest to it; None where nothing that lowers the count may
    leave or be masked. Takes time in proportion to the number of messages."""
    ledger = _ledger(weighed, demand)
    preserved = _start_of_newest(weighed, demand.preserve_recent)
    enough = demand.target if demand.target is not None else weighed.tokens - 1
    choice = _first_enough(ledger, _mild(ledger, preserved, demand.strategy), enough)
    if choice.predicted >= weighed.tokens:  # less may leave than a summary of it would take
        choice = _first_enough(ledger, _mild(ledger, preserved, "truncate"), enough)
    if demand.ceiling is not None and choice.predicted > demand.ceiling:
        choice = _first_enough(ledger, _hard(ledger, choice.steps), demand.ceiling)
    return _carry_out(ledger, choice) if choice.predicted < weighed.tokens else None


_StandIn = Literal["summary", "earlier summaries", "nothing"]


@frozen
class _Reach:
    """How far a plan may go: between ``least`` and ``most`` steps leave, tool results before the position
    ``masks_before`` are masked. ``goal`` None: as far as that. ``stand_in``: what is to stand for what leaves."""

    least: int
    most: int
    masks_before: int
    goal: int | None
    stand_in: _StandIn


@frozen
class _Choice:
    """``steps`` leave, the tool results at the positions ``masked`` are masked anew."""

    steps: int
    masked: tuple[int, ...]
    stand_in: _StandIn
    predicted: int


def _mild(ledger: _Ledger, preserved: int, strategy: Strategy) -> Iterator[_Reach]:
    """The last turn whole; then also its older rounds. ``preserved``: where the newest tokens begin."""
    demand, departures = ledger.demand, ledger.departures
    stand_in: _StandIn = "earlier summaries" if strategy == "truncate" else "summary"
    for limit in (min(preserved, departures.last_turn), min(preserved, departures.newest_round)):
        masks_before = 0 if strategy == "summarize" else limit
        yield _Reach(0, departures.before(limit), masks_before, demand.target, stand_in)


def _hard(ledger: _Ledger, gone: int) -> Iterator[_Reach]:
    """The last resorts, on top of the ``gone`` steps that leave anyway."""
    demand, departures = ledger.demand, ledger.departures
    stand_ins: tuple[_StandIn, ...] = ("summary", "earlier summaries", "nothing")
    for stand_in in stand_ins[demand.strategy == "truncate" :]:
        yield _Reach(gone, departures.most, departures.newest_round, demand.ceiling, stand_in)


def _first_enough(ledger: _Ledger, reaches: Iterable[_Reach], enough: int) -> _Choice:
    """The first choice that comes down to ``enough``, or the one that comes nearest."""
    nearest: _Choice | None = None
    for reach in reaches:
        choice = ledger.choose(reach)
        if nearest is None or choice.predicted < nearest.predicted:
            nearest = choice
        if nearest.predicted <= enough:
            break
    assert nearest is not None, "there is always a reach"
    return nearest


@frozen
class _Ledger:
    """A window's costs by what may leave it and what may be masked.

    ``gone`` and ``pins``, by number of steps from 0 on, are the tokens that their leaving saves and whether pins are
    among them; ``masks``, by position, the tokens that masking saves. ``earlier`` are the positions of summaries.
    """

    weighed: Weighed
    demand: Demand
    pinned: frozenset[str]
    departures: Departures
    gone: Sequence[int]
    pins: Sequence[bool]
    masks: dict[int, int]
    earlier: frozenset[int]

    def choose(self, reach: _Reach) -> _Choice:
        """As few steps as reach the goal together with all masks, then as few masks; without a goal, or where it is out
        of reach, what comes lowest."""
        base, masked_too = self._without_masks(reach), self._masks_by_steps(reach)
        lowest = [base[steps] - masked_too[steps] for steps in range(reach.least, reach.most + 1)]
        fitting = (place for place, tokens in enumerate(lowest) if reach.goal is not None and tokens <= reach.goal)
        place = next(fitting, None)
        steps = reach.least + (lowest.index(min(lowest)) if place is None else place)
        masked, predicted = self._masked(reach, steps, base[steps])
        return _Choice(steps, masked, reach.stand_in, predicted)

    def _without_masks(self, reach: _Reach) -> list[int]:
        """The window's tokens by number of steps that left, before anything is masked."""
        tokens, earlier = self.weighed.tokens, sum(self.weighed.costs[position] for position in self.earlier)
        heading = 0 if self.weighed.carried else CARRIED_HEADING_TOKENS
        after = [tokens - saved + heading * pins for saved, pins in zip(self.gone, self.pins, strict=True)]
        if reach.stand_in == "nothing":
            return [tokens - earlier for tokens in after]
        if reach.stand_in == "summary":
            folded = self.demand.summary_tokens - earlier
            return [tokens + folded * (saved > 0) for tokens, saved in zip(after, self.gone, strict=True)]
        return after

    def _masks_by_steps(self, reach: _Reach) -> list[int]:
        """The tokens that masking saves in what has stayed, by number of steps that left."""
        masks = {position: saved for position, saved in self.masks.items() if position < reach.masks_before}
        in_steps = (sum([masks.get(position, 0) for position in step]) for step in self.departures.steps)
        whole = sum(masks.values())
        return [whole - left for left in accumulate(in_steps, initial=0)]

    def _masked(self, reach: _Reach, steps: int, tokens: int) -> tuple[tuple[int, ...], int]:
        """The positions to mask so that ``tokens`` come down to the goal, the oldest first, and the tokens after it."""
        left = {position for step in self.departures.steps[:steps] for position in step}
        positions: list[int] = []
        for position, saved in self.masks.items():
            if position >= reach.masks_before or (reach.goal is not None and tokens <= reach.goal):
                break
            if position not in left:
                positions.append(position)
                tokens -= saved
        return tuple(positions), tokens


def _ledger(weighed: Weighed, demand: Demand) -> _Ledger:
    messages, costs = weighed.messages, weighed.costs
    pinned = pinned_together(messages, weighed.pinned)
    departures = departures_of(messages, pinned, weighed.carried)
    saved = (sum([costs[p] for p in step if messages[p].id not in pinned]) for step in departures.steps)
    pins = (any(messages[p].id in pinned for p in step) for step in departures.steps)
    untouchable = pinned | weighed.carried | weighed.masked
    masks = {p: _saved_by_masking(m, costs[p]) for p, m in enumerate(messages) if m.role == "tool"}
    return _Ledger(
        weighed,
        demand,
        pinned,
        departures,
        gone=list(accumulate(saved, initial=0)),
        pins=list(accumulate(pins, lambda before, now: before or now, initial=False)),
        masks={p: tokens for p, tokens in masks.items() if tokens > 0 and messages[p].id not in untouchable},
        earlier=frozenset(p for p, m in enumerate(messages) if m.summary_of is not None),
    )


def _saved_by_masking(message: Message, cost: int) -> int:
    """Tokens by which a result's placeholder is cheaper, going by its share of the characters; not above 0 where it is
    not."""
    if not is_maskable(message):
        return 0
    characters = len(placeholder(message))
    share = -(-cost * characters // len(message.content))
    return cost - max(share, characters // CHARACTERS_PER_TOKEN)


def _start_of_newest(weighed: Weighed, tokens: int) -> int:
    """The position of the oldest message of the newest ``tokens``, the one that reaches beyond them included."""
    start = len(weighed.messages)
    for position in range(len(weighed.messages) - 1, -1, -1):
        if tokens <= 0:
            break
        if is_spoken(weighed.messages[position], weighed.carried):
            start = position
            tokens -= weighed.costs[position]
    return start


def _carry_out(ledger: _Ledger, choice: _Choice) -> Plan:
    weighed = ledger.weighed
    messages = weighed.messages
    stepping = {position for step in ledger.departures.steps[: choice.steps] for position in step}
    leaving = {position for position in stepping if messages[position].id not in ledger.pinned}
    summarised = choice.stand_in == "summary" and bool(leaving)
    if summarised or choice.stand_in == "nothing":
        leaving |= ledger.earlier
    kept = tuple([message for position, message in enumerate(messages) if position not in leaving])
    staying = {message.id for message in kept}
    return Plan(
        kept=kept,
        masked=(weighed.masked & staying) | {messages[position].id for position in choice.masked},
        carried=(weighed.carried & staying) | {messages[position].id for position in stepping - leaving},
        leaving=tuple([messages[position] for position in sorted(leaving)]),
        summarised=summarised,
        predicted=choice.predicted,
    )
