"""The arithmetic that says whether there is room: what may still be allocated, and the two gauges that raise alarm.

The window gauge goes by pressure, the memory gauge by what the tokens in use take of the memory that this cache may
have. So weights that fill a card all day, or a window sized to fill what was left, are no alarm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from attrs import frozen

GaugeLevel = Literal["calm", "high", "severe", "critical"]
"""From 80 % high: compress. Memory from 90 % severe: reduce the allocated size. From 95 % critical: act at once."""

HIGH, SEVERE, CRITICAL = 0.80, 0.90, 0.95
HYSTERESIS = 0.05
"""A level is left only so far below the threshold that raised it."""

_LEVELS: tuple[tuple[float, GaugeLevel], ...] = ((CRITICAL, "critical"), (SEVERE, "severe"), (HIGH, "high"))
_WINDOW_LEVELS: tuple[tuple[float, GaugeLevel], ...] = ((CRITICAL, "critical"), (HIGH, "high"))
_ORDER: tuple[GaugeLevel, ...] = ("calm", "high", "severe", "critical")


@frozen
class CacheMemory:
    """The memory of one model's cache, or of a part of it, in bytes. ``free_bytes`` None: it can't be told.

    ``held_bytes`` is what the cache has now, ``buffer_bytes`` what must stay free for everyone, ``fixed_bytes`` the
    part of the cache that no token adds to.
    """

    free_bytes: int | None
    held_bytes: int
    buffer_bytes: int
    bytes_per_token: int
    fixed_bytes: int = 0

    @property
    def room_bytes(self) -> int | None:
        """What tokens may take in all, those in use included; never negative."""
        if self.free_bytes is None:
            return None
        return max(self.free_bytes + self.held_bytes - self.buffer_bytes - self.fixed_bytes, 0)


@frozen
class Allocation:
    """The answer to a question for room. ``safe_limit`` is in tokens, those in use included; None: unlimited, as far
    as anyone can tell. ``reason`` is a sentence for a person where it is not allowed."""

    allowed: bool
    safe_limit: int | None
    reason: str | None


@frozen
class Gauge:
    """``value`` is 1 at the end of what there is, None where it can't be told, which is never an alarm."""

    value: float | None
    level: GaugeLevel


def tightest(memories: Sequence[CacheMemory]) -> CacheMemory | None:
    """Of the memories that each hold a part of one cache, the one with room for the fewest tokens: the others have room
    for them too. One that can't be told is chosen last; None where there is none."""
    return min(memories, key=_tokens_for_order, default=None)


def tokens_that_fit(room_bytes: int, bytes_per_token: int) -> int | None:
    """Whole tokens; None where tokens take no memory at all, as in a model that keeps no cache."""
    return max(room_bytes, 0) // bytes_per_token if bytes_per_token > 0 else None


def safe_limit(window: int | None, reserved: int, memory: CacheMemory | None) -> int | None:
    """The most tokens that may be in use: the window less the answer's room, and what memory less its buffer holds."""
    limits = [] if window is None else [max(window - reserved, 0)]
    room = None if memory is None else memory.room_bytes
    if memory is not None and room is not None:
        fitting = tokens_that_fit(room, memory.bytes_per_token)
        limits += [] if fitting is None else [fitting]
    return min(limits, default=None)


def can_allocate(
    additional: int, in_use: int, window: int | None, reserved: int, memory: CacheMemory | None
) -> Allocation:
    """Whether ``additional`` tokens may join those ``in_use``: only up to the safe limit."""
    limit = safe_limit(window, reserved, memory)
    if limit is None or in_use + additional <= limit:
        return Allocation(True, limit, None)
    by_window = safe_limit(window, reserved, None)
    cause = "the window, less the room kept for the answer," if limit == by_window else "the memory, less its buffer,"
    reason = f"{in_use + additional:,} tokens would be in use, and {cause} has room for {limit:,}."
    return Allocation(False, limit, f"{reason} Compress the conversation, or make the context larger where it can be.")


def window_gauge(pressure: float | None, before: GaugeLevel = "calm") -> Gauge:
    """``pressure`` is tokens / (limit - reserved); ``before`` the level until now."""
    return Gauge(pressure, _level(pressure, before, _WINDOW_LEVELS))


def memory_gauge(in_use: int, answer_room: int, memory: CacheMemory | None, before: GaugeLevel = "calm") -> Gauge:
    """What the tokens in use and the answer's room take, by what the cache may have. Unknown memory switches it off."""
    room = None if memory is None else memory.room_bytes
    if memory is None or room is None or memory.bytes_per_token <= 0:
        return Gauge(None, "calm")
    value = (in_use + answer_room) * memory.bytes_per_token / max(room, 1)
    return Gauge(value, _level(value, before, _LEVELS))


def _tokens_for_order(memory: CacheMemory) -> float:
    room = memory.room_bytes
    fitting = None if room is None else tokens_that_fit(room, memory.bytes_per_token)
    return math.inf if fitting is None else fitting


def is_higher(level: GaugeLevel, than: GaugeLevel) -> bool:
    return _ORDER.index(level) > _ORDER.index(than)


def _level(value: float | None, before: GaugeLevel, levels: tuple[tuple[float, GaugeLevel], ...]) -> GaugeLevel:
    """Up at a threshold, down only when clearly below it."""
    if value is None:
        return "calm"
    for threshold, level in levels:
        reached = _ORDER.index(before) >= _ORDER.index(level)
        if value >= threshold - (HYSTERESIS if reached else 0):
            return level
    return "calm"
