"""Rules between two settings, which a bound of either can't express."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen


@frozen
class Rule:
    """``holds`` gets both values. The words tell what each of the two must be beside the other."""

    lower: str
    upper: str
    holds: Callable[[Any, Any], bool]
    lower_words: str
    upper_words: str

    def reason(self, path: str, low: float, high: float) -> str:
        """What is wrong with the value at ``path``, one of the two."""
        if path == self.lower:
            return f"must be {self.lower_words} {self.upper}, which is {high:,}"
        return f"must be {self.upper_words} {self.lower}, which is {low:,}"


def _at_most(lower: str, upper: str) -> Rule:
    return Rule(lower, upper, lambda low, high: low <= high, "at most", "at least")


RULES: tuple[Rule, ...] = (
    Rule(
        "context.compression.target",
        "context.compression.threshold",
        lambda target, threshold: target < threshold,
        "below",
        "above",
    ),
    Rule(
        "context.minSize",
        "context.maxSize",
        lambda least, most: most == 0 or least <= most,
        "at most",
        "0 or at least",
    ),
    _at_most("pool.baseCpu", "pool.burstCpu"),
    _at_most("pool.baseMemoryMb", "pool.burstMemoryMb"),
)
"""No setting stands in two rules, so that mending one pair never breaks another."""
