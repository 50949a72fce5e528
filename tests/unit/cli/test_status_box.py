"""The status box, tables and Markdown on a terminal, and elsewhere."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from rich.console import Console

from support import shown_values as shown
from ullage.cli.framing import Json
from ullage.cli.status_box import list_rows, model_rows, show_markdown, show_status, show_table
from ullage.cli.terminal import Terminal
from ullage.contexts.commands.markdown import table
from ullage.contexts.values import ModelState
from ullage.lsp.encode import encode


def on_the_wire(value: Any) -> Json:
    reply: Json = orjson.loads(encode(value))
    return reply


def drawn(show: Callable[[Terminal], None], *, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, color_system="standard" if terminal else None)
    show(Terminal(console, console))
    return out.getvalue()


def box(*, terminal: bool, **changes: Any) -> str:
    return drawn(lambda place: show_status(place, on_the_wire(shown.status(**changes))), terminal=terminal)


@pytest.mark.parametrize(("warning", "colour"), [("none", 32), ("high", 33), ("critical", 31)])
def test_the_colour_follows_the_warning(warning: str, colour: int) -> None:
    assert f"\x1b[{colour}m╭" in box(terminal=True, warning=warning)


def test_a_terminal_gets_every_row_in_the_box() -> None:
    text = box(terminal=True, memory=shown.reading())
    assert all(each in text for each in ("12,847 / 32,768 (39%)", "6.0 GB / 8.0 GB (75%)", "f16 (assumed)", "█"))


def test_elsewhere_there_are_plain_lines() -> None:
    lines = box(terminal=False)
    assert "\x1b" not in lines
    assert lines.startswith("main\n  Model:        llama3\n")
    assert "  Tokens:       12,847 / 32,768 (39%)\n" in lines


def test_no_name_steers_the_terminal() -> None:
    model = ModelState("c\x1b[2J\nd", "ollama", loaded=True)
    text = box(terminal=False, context=shown.context(name="a\x1b[2J\nb"), model=model)
    assert text.startswith("a[2J b\n  Model:        c[2J d\n")


def test_lists_of_the_wire_have_the_rows_of_the_values() -> None:
    assert list_rows([on_the_wire(shown.context(last_used_at=0))], now_ms=120_000) == [
        ("main", "ready", "12,847 / 32,768 (39%)", "24", "llama3", "2 minutes ago")
    ]
    assert model_rows([on_the_wire(model) for model in shown.MODELS])[0][:3] == ("llama3", "ollama", "loaded")


def test_a_plain_table_is_aligned() -> None:
    text = drawn(lambda place: show_table(place, ("name", "n"), [("a", "1"), ("longer", "2")]), terminal=False)
    assert text == "name    n\na       1\nlonger  2\n"


def test_markdown_is_drawn_on_a_terminal_and_plain_elsewhere() -> None:
    markdown = f"Now in **night**.\n\n{table(('name', 'n'), [('a|b', '1')])}"
    assert "\x1b[1mnight" in drawn(lambda place: show_markdown(place, markdown), terminal=True)
    assert drawn(lambda place: show_markdown(place, markdown), terminal=False) == "Now in night.\n\nname  n\na|b   1\n"


def test_markdown_does_not_steer_the_terminal() -> None:
    assert "\x1b[2J" not in drawn(lambda place: show_markdown(place, "a\x1b[2Jb"), terminal=True)
