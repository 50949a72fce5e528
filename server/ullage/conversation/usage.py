"""How full a window is, and how long it will last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from attrs import frozen

CountSource = Literal["provider", "vocabulary", "tiktoken", "estimate"]
"""How a count was found; the first two are exact."""

WarningLevel = Literal["none", "high", "critical"]

EXACT: frozenset[CountSource] = frozenset({"provider", "vocabulary"})
_EXACTNESS: tuple[CountSource, ...] = ("provider", "vocabulary", "tiktoken", "estimate")
CRITICAL_PRESSURE = 0.95


@frozen
class Usage:
    """The window in the form in which it is sent, template and tool definitions included.

    ``limit`` is what the model server has allocated, None where it can't be known; ``reserved`` is kept for the
    answer. ``fraction`` = tokens / limit is what is shown; ``pressure`` = tokens / (limit - reserved) is what
    thresholds go by, and may exceed 1. ``turns_left`` counts turns until the compression threshold.
    ``source`` is the least exact one that took part in the count.
    """

    tokens: int
    limit: int | None
    reserved: int
    fraction: float | None
    pressure: float | None
    messages: int
    turns_left: int | None
    source: CountSource


def least_exact(sources: Sequence[CountSource]) -> CountSource:
    return max(sources, key=_EXACTNESS.index, default="vocabulary")


def reserved_tokens(limit: int | None, reserve_output: int, max_tokens: int | None = None) -> int:
    """Room kept for the answer: what the request itself asks for, else the setting, at most a quarter of the limit."""
    if max_tokens is not None:
        return max_tokens
    return reserve_output if limit is None else min(reserve_output, limit // 4)


def usable_tokens(limit: int, reserved: int) -> int:
    """What a prompt may take; never negative."""
    return max(limit - reserved, 0)


def measure(
    *,
    tokens: int,
    limit: int | None,
    reserved: int,
    messages: int,
    source: CountSource,
    growth: Sequence[int] = (),
    threshold: float = 0.8,
) -> Usage:
    """Put the figures together. ``growth`` holds the tokens that each of the last turns added, the newest last."""
    fraction = pressure = None
    if limit:
        fraction = tokens / limit
        pressure = tokens / max(usable_tokens(limit, reserved), 1)
    return Usage(
        tokens=tokens,
        limit=limit,
        reserved=reserved,
        fraction=fraction,
        pressure=pressure,
        messages=messages,
        turns_left=turns_left(tokens, limit, reserved, growth, threshold),
        source=source,
    )


def turns_left(tokens: int, limit: int | None, reserved: int, growth: Sequence[int], threshold: float) -> int | None:
    """Whole turns until ``threshold`` at the mean growth of the last turns; None without a limit or a trend."""
    grown = [step for step in growth if step > 0]
    if not limit or not grown:
        return None
    room = usable_tokens(limit, reserved) * threshold - tokens
    return max(int(room / (sum(grown) / len(grown))), 0)


def warning_for(pressure: float | None, threshold: float) -> WarningLevel:
    """``high`` above the compression threshold, ``critical`` from 0.95 of what is usable."""
    if pressure is None:
        return "none"
    if pressure >= CRITICAL_PRESSURE:
        return "critical"
    return "high" if pressure > threshold else "none"
