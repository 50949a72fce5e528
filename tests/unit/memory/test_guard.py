"""Room for more tokens, and the gauges."""

from __future__ import annotations

import attrs
import pytest

from ullage.memory.guard import (
    CacheMemory,
    GaugeLevel,
    can_allocate,
    memory_gauge,
    safe_limit,
    tightest,
    tokens_that_fit,
    window_gauge,
)

MIB = 2**20
MEMORY = CacheMemory(free_bytes=1512 * MIB, held_bytes=0, buffer_bytes=512 * MIB, bytes_per_token=MIB)


def test_of_several_memories_the_one_with_room_for_the_fewest_tokens_counts() -> None:
    """Half of the cache lies in each; what can't be told limits nothing."""
    roomy, tight = (attrs.evolve(MEMORY, free_bytes=size * MIB, bytes_per_token=MIB // 2) for size in (1512, 1012))
    unknown = attrs.evolve(MEMORY, free_bytes=None)
    assert tightest([roomy, unknown, tight]) == tight
    assert tightest([unknown]) == unknown
    assert tightest([]) is None


def test_the_safe_limit_is_the_tighter_of_window_and_memory() -> None:
    assert safe_limit(8192, 1024, MEMORY) == 1000
    assert safe_limit(900, 100, MEMORY) == 800
    assert safe_limit(None, 1024, MEMORY) == 1000
    assert safe_limit(8192, 1024, None) == 7168
    assert safe_limit(None, 0, None) is None


def test_what_the_cache_holds_already_is_its_own() -> None:
    held = attrs.evolve(MEMORY, free_bytes=512 * MIB, held_bytes=1000 * MIB)
    assert safe_limit(None, 0, held) == 1000


def test_the_fixed_part_of_a_cache_holds_no_tokens() -> None:
    assert safe_limit(None, 0, attrs.evolve(MEMORY, fixed_bytes=100 * MIB)) == 900


def test_more_than_the_safe_limit_is_refused_with_the_reason() -> None:
    assert can_allocate(100, 900, 8192, 1024, MEMORY).allowed
    refused = can_allocate(101, 900, 8192, 1024, MEMORY)
    assert (refused.allowed, refused.safe_limit) == (False, 1000)
    assert refused.reason is not None
    assert "1,001 tokens would be in use, and the memory, less its buffer, has room for 1,000" in refused.reason


def test_a_refusal_by_the_window_says_so() -> None:
    assert "the window" in str(can_allocate(1, 7168, 8192, 1024, None).reason)


def test_unknown_memory_switches_the_memory_gauge_off() -> None:
    unknown = attrs.evolve(MEMORY, free_bytes=None)
    assert memory_gauge(10**9, 0, unknown).level == "calm"
    assert memory_gauge(10**9, 0, unknown).value is None
    assert memory_gauge(10**9, 0, None).value is None
    assert window_gauge(None).level == "calm"


@pytest.mark.parametrize(
    ("tokens", "level"),
    [(0, "calm"), (699, "calm"), (700, "high"), (799, "high"), (800, "severe"), (849, "severe"), (850, "critical")],
)
def test_the_memory_gauge_counts_the_answers_room(tokens: int, level: GaugeLevel) -> None:
    gauge = memory_gauge(tokens, 100, MEMORY)
    assert gauge.value == (tokens + 100) / 1000
    assert gauge.level == level


@pytest.mark.parametrize(("pressure", "level"), [(0.79, "calm"), (0.8, "high"), (0.94, "high"), (0.95, "critical")])
def test_the_window_gauge_knows_two_levels(pressure: float, level: GaugeLevel) -> None:
    assert window_gauge(pressure).level == level


def test_a_level_is_left_only_when_clearly_below() -> None:
    assert window_gauge(0.76, before="high").level == "high"
    assert window_gauge(0.74, before="high").level == "calm"
    assert window_gauge(0.91, before="critical").level == "critical"
    assert window_gauge(0.89, before="critical").level == "high"


def test_weights_that_fill_a_card_are_no_alarm() -> None:
    filled = CacheMemory(free_bytes=600 * MIB, held_bytes=4000 * MIB, buffer_bytes=512 * MIB, bytes_per_token=MIB)
    assert memory_gauge(1000, 500, filled).level == "calm"


def test_memory_that_is_gone_is_critical() -> None:
    gone = attrs.evolve(MEMORY, free_bytes=0)
    assert memory_gauge(1, 0, gone).level == "critical"
    assert safe_limit(None, 0, gone) == 0


def test_tokens_that_take_nothing_are_not_counted() -> None:
    assert tokens_that_fit(100, 0) is None
    assert tokens_that_fit(-5, 10) == 0
