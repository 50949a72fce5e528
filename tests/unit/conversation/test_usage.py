"""How full a window is."""

from __future__ import annotations

import pytest

from ullage.conversation.usage import least_exact, measure, reserved_tokens, turns_left, warning_for


def test_the_reserve_is_at_most_a_quarter_of_the_window() -> None:
    assert reserved_tokens(32768, 1024) == 1024
    assert reserved_tokens(2048, 1024) == 512


def test_what_the_request_asks_for_is_reserved() -> None:
    assert reserved_tokens(2048, 1024, max_tokens=900) == 900


def test_without_a_limit_nothing_is_a_fraction_of_it() -> None:
    usage = measure(tokens=10, limit=None, reserved=1024, messages=1, source="estimate")
    assert (usage.fraction, usage.pressure, usage.turns_left) == (None, None, None)


def test_turns_left_follow_the_mean_growth() -> None:
    assert turns_left(tokens=100, limit=2000, reserved=0, growth=[100, 200], threshold=0.8) == 10
    assert turns_left(tokens=1900, limit=2000, reserved=0, growth=[100], threshold=0.8) == 0


def test_a_trend_of_nothing_forecasts_nothing() -> None:
    assert turns_left(tokens=100, limit=2000, reserved=0, growth=[0, -5], threshold=0.8) is None


@pytest.mark.parametrize(
    ("pressure", "warning"), [(None, "none"), (0.8, "none"), (0.81, "high"), (0.95, "critical"), (1.4, "critical")]
)
def test_the_warning_follows_the_pressure(pressure: float | None, warning: str) -> None:
    assert warning_for(pressure, 0.8) == warning


def test_the_least_exact_source_counts() -> None:
    assert least_exact(["vocabulary", "estimate", "provider"]) == "estimate"
