"""The status box."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from ullage.cli.framing import Json
from ullage.cli.status_box import list_rows, show_status, show_table, status_rows
from ullage.cli.terminal import Terminal


def status(**changes: Any) -> Json:
    usage = {
        "tokens": 12_847,
        "limit": 32_768,
        "reserved": 1_024,
        "fraction": 12_847 / 32_768,
        "pressure": 0.4,
        "messages": 24,
        "turnsLeft": 7,
        "source": "provider",
    }
    return {
        "context": {"name": "main", "usage": usage},
        "model": {"name": "llama3", "provider": "ollama", "loaded": True},
        "usage": usage | changes.pop("usage", {}),
        "memory": None,
        "kvCache": {"type": "f16", "typeSource": "assumed", "bytes": 1536 * 2**20},
        "snapshots": 2,
        "autoCompress": {"enabled": True, "threshold": 0.8},
        "warning": "none",
        **changes,
    }


def text_of(row: str, value: Json) -> str:
    return next(each.text for each in status_rows(value) if each.label == row)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("Model", "llama3"),
        ("Provider", "ollama (loaded)"),
        ("Tokens", "12,847 / 32,768 (39%)"),
        ("Answer", "1,024 tokens kept free for it"),
        ("Turns left", "about 7 until 80%"),
        ("Memory", "unknown"),
        ("KV cache", "f16 (assumed), size 1.5 GB"),
        ("Snapshots", "2"),
        ("Compression", "on, from 80%"),
        ("Warning", "none"),
    ],
)
def test_a_row_says(row: str, text: str) -> None:
    assert text_of(row, status()) == text


def test_memory_that_is_known_is_shown_in_use_and_in_all() -> None:
    reading = {"kind": "nvidia", "total": 8 * 2**30, "used": 6 * 2**30, "devices": [{}, {}]}
    assert text_of("Memory", status(memory=reading)) == "6.0 GB / 8.0 GB (nvidia on 2 devices)"


def test_a_missing_model_server_is_said() -> None:
    nothing = {"name": None, "provider": None, "loaded": False}
    assert text_of("Provider", status(model=nothing)) == "no model server answers"


def test_an_estimated_count_says_so() -> None:
    assert text_of("Tokens", status(usage={"source": "tiktoken"})).endswith("by estimate")


def test_an_unknown_window_has_no_bar() -> None:
    rows = status_rows(status(usage={"limit": None, "fraction": None, "turnsLeft": None}))
    assert all(row.label for row in rows)


@pytest.mark.parametrize(("warning", "colour"), [("none", "green"), ("high", "yellow"), ("critical", "red")])
def test_the_colour_follows_the_warning(warning: str, colour: str) -> None:
    [tokens] = [row for row in status_rows(status(warning=warning)) if row.label == "Tokens"]
    assert tokens.style == colour


def drawn(*, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, color_system="standard" if terminal else None)
    show_status(Terminal(console, console), status(), "main")
    return out.getvalue()


def test_a_terminal_gets_a_coloured_box() -> None:
    box = drawn(terminal=True)
    assert "╭" in box
    assert "\x1b[32m" in box


def test_elsewhere_there_are_plain_lines() -> None:
    lines = drawn(terminal=False)
    assert "\x1b" not in lines
    assert "  Tokens:       12,847 / 32,768 (39%)\n" in lines


def test_a_context_is_a_row_of_the_list() -> None:
    context = {
        "name": "main",
        "priority": "ready",
        "model": None,
        "lastUsedAt": 0,
        "usage": {"tokens": 5, "limit": None, "messages": 1},
    }
    assert list_rows([context], now_ms=120_000) == [
        ("main", "ready", "5 tokens, window unknown", "1", "none yet", "2 minutes ago")
    ]


def test_a_plain_table_is_aligned() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=False)
    show_table(Terminal(console, console), ("name", "n"), [("a", "1"), ("longer", "2")])
    assert out.getvalue() == "name    n\na       1\nlonger  2\n"
