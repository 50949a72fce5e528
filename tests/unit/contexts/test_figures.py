"""Figures as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ullage.contexts.commands import figures


@given(st.none() | st.floats(0, 4))
def test_property_61_a_bar_has_its_width_whatever_it_shows(fraction: float | None) -> None:
    assert len(figures.bar(fraction, 24)) == 24


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, "unknown"), (0, "0 bytes"), (1023, "1,023 bytes"), (1536, "1.5 KB"), (8 * 2**30, "8.0 GB")],
)
def test_sizes_have_the_largest_unit(size: int | None, text: str) -> None:
    assert figures.size_text(size) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"), [(None, "unknown"), (0.42, "0.4 ms"), (214.3, "214 ms"), (1204, "1.2 s")]
)
def test_durations_have_a_fitting_unit(milliseconds: float | None, text: str) -> None:
    assert figures.duration_text(milliseconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "just now"), (60, "1 minute ago"), (7300, "2 hours ago"), (90_000, "1 day ago"), (-9, "just now")],
)
def test_the_past_is_told_in_whole_units(seconds: int, text: str) -> None:
    assert figures.ago_text(10**12 - seconds * 1000, now_ms=10**12) == text


@given(st.text())
def test_property_62_printable_text_steers_no_terminal(text: str) -> None:
    clean = figures.printable(text)
    assert not any((ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 for c in clean)


def test_an_escape_sequence_loses_its_escape() -> None:
    assert figures.printable("\x1b[2Jgone\r\n") == "[2Jgone\n"


def test_an_excerpt_is_one_line_of_bounded_length() -> None:
    assert figures.one_line("a quay\n\nis  a place", 14) == "a quay is a p…"


def test_a_moment_is_told_in_local_time() -> None:
    assert figures.moment_text(1_700_000_000_000).startswith("2023-11-1")


@pytest.mark.parametrize("at", [10**30, -(10**30)])
def test_a_moment_that_no_calendar_has_is_unknown(at: int) -> None:
    assert figures.moment_text(at) == "unknown"


def test_an_id_is_shown_by_its_end() -> None:
    assert figures.short_id("01ARZ3NDEKTSV4RRFFQ69G5FAV") == "9G5FAV"
