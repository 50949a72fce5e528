"""Figures as people read them."""

from __future__ import annotations

import pytest

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


def test_the_line_below_an_answer() -> None:
    status = {"usage": usage(1_203, 2_048), "model": {"name": "SmolLM2-135M-Instruct.Q4_1"}}
    line = figures.turn_line(status, {"promptTokens": 230, "reusedTokens": 214})
    assert line == "◑ 1,203 / 2,048 (59%) · SmolLM2-135M-Instruct.Q… · 214 reused of 230"


def test_reuse_that_a_server_does_not_tell_is_left_out() -> None:
    status = {"usage": usage(10, 2_048), "model": {"name": "tiny"}}
    assert figures.turn_line(status, {"promptTokens": 230, "reusedTokens": None}) == "○ 10 / 2,048 (0%) · tiny"


@pytest.mark.parametrize("kind", ["trimmed", "compressed"])
def test_room_that_was_made_is_told_with_its_figures(kind: str) -> None:
    event = {"kind": kind, "detail": {"originalTokens": 1003, "compressedTokens": 467, "removed": 6}}
    assert event_line(event) == (
        "Room was made in the window: 1,003 → 467 tokens; 6 messages left the window and stay in the history."
        " `/context undo` takes it back."
    )


def test_a_compression_that_only_masked_says_so() -> None:
    event = {"kind": "compressed", "detail": {"originalTokens": 1003, "compressedTokens": 467, "removed": 0}}
    line = event_line(event)
    assert line is not None
    assert "old tool results were left out of it" in line


def test_a_snapshot_that_nobody_asked_for_is_told() -> None:
    line = event_line({"kind": "snapshotCreated", "detail": {"snapshotId": "S", "trigger": "threshold"}})
    assert line == "A snapshot of the window was kept. `/context restore` lists them."


def test_a_window_that_is_nearly_full_is_told() -> None:
    line = event_line({"kind": "preOverflow", "detail": {"tokens": 31_000, "limit": 32_768}})
    assert line == "The window is nearly full: 31,000 / 32,768 (95%)."


def test_a_cut_prompt_is_told_with_what_to_do() -> None:
    event = {"kind": "truncatedByServer", "detail": {"sent": 9000, "evaluated": 4096, "model": "tiny"}}
    line = event_line(event)
    assert line is not None
    assert "4,096 of 9,000 tokens" in line
    assert "larger context" in line


def test_a_damaged_store_is_left_to_the_servers_own_message() -> None:
    assert event_line({"kind": "storeDamaged", "detail": {}}) is None


@pytest.mark.parametrize(
    ("kind", "detail"),
    [("cleared", {"messages": 0}), ("snapshotCreated", {"trigger": "manual"}), ("compressed", {"origin": "client"})],
)
def test_what_the_person_did_is_not_told_again(kind: str, detail: Json) -> None:
    assert event_line({"kind": kind, "detail": detail}) is None
