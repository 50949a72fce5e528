"""Figures as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ullage.cli import figures
from ullage.cli.events import event_line
from ullage.cli.framing import Json


def usage(tokens: int, limit: int | None) -> Json:
    return {"tokens": tokens, "limit": limit, "fraction": tokens / limit if limit else None}


def test_tokens_are_grouped_and_shown_as_a_share() -> None:
    assert figures.tokens_text(usage(12_847, 32_768)) == "12,847 / 32,768 (39%)"


def test_an_unknown_window_is_said_to_be_unknown() -> None:
    assert figures.tokens_text(usage(1_203, None)) == "1,203 tokens, window unknown"


@pytest.mark.parametrize(
    ("fraction", "circle"), [(None, "○"), (0.0, "○"), (0.3, "◔"), (0.59, "◑"), (0.8, "◕"), (1.0, "●"), (1.7, "●")]
)
def test_the_gauge_fills_with_the_window(fraction: float | None, circle: str) -> None:
    assert figures.gauge(fraction) == circle


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


def test_the_line_below_an_answer() -> None:
    status = {"usage": usage(1_203, 2_048), "model": {"name": "SmolLM2-135M-Instruct.Q4_1"}}
    line = figures.turn_line(status, {"promptTokens": 230, "reusedTokens": 214})
    assert line == "◑ 1,203 / 2,048 (59%) · SmolLM2-135M-Instruct.Q… · 214 reused of 230"


def test_reuse_that_a_server_does_not_tell_is_left_out() -> None:
    status = {"usage": usage(10, 2_048), "model": {"name": "tiny"}}
    assert figures.turn_line(status, {"promptTokens": 230, "reusedTokens": None}) == "○ 10 / 2,048 (0%) · tiny"


@given(st.text())
def test_property_62_printable_text_steers_no_terminal(text: str) -> None:
    clean = figures.printable(text)
    assert not any((ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 for c in clean)


def test_an_escape_sequence_loses_its_escape() -> None:
    assert figures.printable("\x1b[2Jgone\r\n") == "[2Jgone\n"


def test_an_excerpt_is_one_line_of_bounded_length() -> None:
    assert figures.one_line("a quay\n\nis  a place", 14) == "a quay is a p…"


def test_trimming_is_told_with_its_figures() -> None:
    event = {"kind": "trimmed", "detail": {"turns": 3, "messages": 6, "before": 1003, "after": 467}}
    expected = "3 oldest turns left the window to make room: 1,003 → 467 tokens. They stay in the history."
    assert event_line(event) == expected


def test_a_cut_prompt_is_told_with_what_to_do() -> None:
    event = {"kind": "truncatedByServer", "detail": {"sent": 9000, "evaluated": 4096, "model": "tiny"}}
    line = event_line(event)
    assert line is not None
    assert "4,096 of 9,000 tokens" in line
    assert "larger context" in line


def test_a_damaged_store_is_left_to_the_servers_own_message() -> None:
    assert event_line({"kind": "storeDamaged", "detail": {}}) is None


def test_what_the_person_did_is_not_told_again() -> None:
    assert event_line({"kind": "cleared", "detail": {"messages": 0}}) is None
