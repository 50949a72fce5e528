"""Whether a context is given a new size because memory has changed. A size changes by a reload, which takes seconds and
loses the prompt cache: so only in steps that are worth it, and not again soon."""

from __future__ import annotations

import math

from attrs import frozen

from ullage.memory.kv_cache import pad

MAX_DOUBLINGS = 20


@frozen
class AutoSizing:
    """``least_step_tokens`` and ``least_step`` (a fraction of the present size) both have to be reached. After a change
    nothing grows for ``cooldown_s`` seconds, and longer where memory ran short repeatedly, but at most for
    ``longest_cooldown_s``; where memory is short, shrinking waits only ``shrink_cooldown_s``."""

    least_step: float = 0.125
    least_step_tokens: int = 1024
    cooldown_s: float = 300.0
    longest_cooldown_s: float = 3600.0
    shrink_cooldown_s: float = 20.0


@frozen
class Allocated:
    """The size that a server and model have, in tokens; ``changed_s`` is how long ago it was given, None: never by us.
    ``memory_short``: less is free than has to stay free.

    ``repeats`` is how many times in succession a shortage made it shrink, each within `growth_wait_s` of the change
    before. ``refused`` is the smallest size that the server refused lately, or did not grant; None: none.
    """

    tokens: int
    changed_s: float | None
    memory_short: bool = False
    repeats: int = 0
    refused: int | None = None


DEFAULT = AutoSizing()


def new_size(present: Allocated, best: int, minimum: int, maximum: int, rules: AutoSizing = DEFAULT) -> int | None:
    """The size to change to, within ``minimum`` and ``maximum`` (0: none; it wins over a larger minimum); None: stay.

    ``best`` is what would be chosen now. A size out of bounds is mended at once, whatever step that takes. Where memory
    is short the size may become less than ``best``: a card that is full does not tell by how much it is overcommitted.
    Nothing grows to a size that was refused, or beyond.
    """
    bounded = within(best, minimum, maximum)
    if bounded == present.tokens or _was_refused(present, bounded):
        return None
    if within(present.tokens, minimum, maximum) != present.tokens:
        return bounded
    if not _rested(present, bounded, rules):
        return None
    if present.memory_short and bounded < present.tokens:
        return within(_relieved(present, bounded, rules), minimum, maximum)
    return bounded if _worth_it(present, bounded, rules) else None


def growth_wait_s(repeats: int, rules: AutoSizing = DEFAULT) -> float:
    """Seconds after the last change for which nothing grows: twice as many for every time that memory ran short, as
    what came back so often will come back again. After them the repeats are counted anew."""
    return min(rules.cooldown_s * (1 << min(repeats, MAX_DOUBLINGS)), rules.longest_cooldown_s)


def within(tokens: int, minimum: int, maximum: int) -> int:
    """The nearest size that minimum and maximum allow."""
    least = max(tokens, minimum)
    return min(least, maximum) if maximum > 0 else least


def _was_refused(present: Allocated, tokens: int) -> bool:
    return present.refused is not None and tokens > present.tokens and tokens >= present.refused


def _rested(present: Allocated, tokens: int, rules: AutoSizing) -> bool:
    if present.changed_s is None:
        return True
    urgent = present.memory_short and tokens < present.tokens
    return present.changed_s >= (rules.shrink_cooldown_s if urgent else growth_wait_s(present.repeats, rules))


def _relieved(present: Allocated, best: int, rules: AutoSizing) -> int:
    """Smaller by what is missing, at least by a step that is worth a reload, and by twice as much for every repeat."""
    step = max(present.tokens - best, pad(_least_step(present, rules)))
    return present.tokens - (step << min(present.repeats, MAX_DOUBLINGS))


def _worth_it(present: Allocated, tokens: int, rules: AutoSizing) -> bool:
    return abs(tokens - present.tokens) >= _least_step(present, rules)


def _least_step(present: Allocated, rules: AutoSizing) -> int:
    return max(rules.least_step_tokens, math.ceil(present.tokens * rules.least_step))
