"""A context's status as a box on a terminal, as plain lines elsewhere. Both show the same rows."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ullage.cli.figures import UNKNOWN, ago_text, bar, counted, number_text, percent, printable, size_text, tokens_text
from ullage.cli.framing import Json
from ullage.cli.terminal import Terminal

COLOURS = {"none": "green", "high": "yellow", "critical": "red"}
EXACT_SOURCES = ("provider", "vocabulary")
WARNINGS = {
    "none": "none",
    "high": "high: the window is filling up",
    "critical": "critical: the next answer will need room to be made",
}
LIST_HEADINGS = ("context", "priority", "tokens", "messages", "model", "used")
MODEL_HEADINGS = ("model", "provider", "", "made for", "allocated", "size")


@frozen
class Row:
    label: str
    text: str
    style: str = ""


def status_rows(status: Json) -> list[Row]:
    usage, model, compress = status["usage"], status["model"], status["autoCompress"]
    colour = COLOURS[status["warning"]]
    rows = [
        Row("Model", model["name"] or "none chosen yet"),
        Row("Provider", _provider(model)),
        Row("Tokens", tokens_text(usage) + _source(usage["source"]), colour),
        Row("", bar(usage["fraction"]), colour),
        Row("Answer", f"{usage['reserved']:,} tokens kept free for it"),
        Row("Memory", _memory(status["memory"])),
        Row("KV cache", _kv_cache(status["kvCache"])),
        Row("Snapshots", f"{status['snapshots']:,}"),
        Row("Compression", f"on, from {percent(compress['threshold'])}" if compress["enabled"] else "off"),
        Row("Warning", WARNINGS[status["warning"]], colour),
    ]
    if usage["turnsLeft"] is not None:
        rows.insert(5, Row("Turns left", f"about {usage['turnsLeft']:,} until {percent(compress['threshold'])}"))
    return [row for row in rows if row.label or usage["fraction"] is not None]


def list_rows(contexts: Sequence[Json], now_ms: float | None = None) -> list[tuple[str, ...]]:
    """A row of `LIST_HEADINGS` for each context."""
    return [
        (
            context["name"],
            context["priority"],
            tokens_text(context["usage"]),
            f"{context['usage']['messages']:,}",
            context["model"] or "none yet",
            ago_text(context["lastUsedAt"], now_ms),
        )
        for context in contexts
    ]


def model_rows(models: Sequence[Json]) -> list[tuple[str, ...]]:
    """A row of `MODEL_HEADINGS` for each model."""
    return [
        (
            model["name"],
            model["provider"],
            "loaded" if model["loaded"] else "",
            number_text(model["contextLength"]),
            number_text(model["allocatedContext"]),
            size_text(model["bytes"]),
        )
        for model in models
    ]


def show_status(terminal: Terminal, status: Json, title: str | None = None) -> None:
    rows = status_rows(status)
    name = title or status["context"]["name"]
    if not terminal.is_terminal:
        terminal.line(name)
        for row in rows:
            if row.label:
                terminal.line(f"  {row.label + ':':<13} {row.text}")
        return
    grid = Table.grid(padding=(0, 2))
    for row in rows:
        grid.add_row(Text(row.label, style="dim"), Text(row.text, style=row.style))
    colour = COLOURS[status["warning"]]
    terminal.show(Panel(Group(grid), title=Text(name), title_align="left", border_style=colour, expand=False))


def show_table(terminal: Terminal, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns; headings that are all empty are not shown."""
    if not terminal.is_terminal:
        lines = [headings, *rows] if any(headings) else rows
        widths = [max((len(row[i]) for row in lines), default=0) for i in range(len(headings))]
        for row in lines:
            terminal.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    table = Table(*headings, box=None, padding=(0, 2, 0, 0), header_style="dim", show_header=any(headings))
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    terminal.show(table)


def _provider(model: Json) -> str:
    if model["provider"] is None:
        return "no model server answers"
    return f"{model['provider']} ({'loaded' if model['loaded'] else 'not loaded'})"


def _source(source: str) -> str:
    return "" if source in EXACT_SOURCES else " by estimate"


def _memory(reading: Json | None) -> str:
    if reading is None or reading["total"] is None or reading["used"] is None:
        return UNKNOWN
    devices = f" on {counted(len(reading['devices']), 'device')}" if len(reading["devices"]) > 1 else ""
    return f"{size_text(reading['used'])} / {size_text(reading['total'])} ({reading['kind']}{devices})"


def _kv_cache(cache: Json) -> str:
    if cache["type"] is None:
        return UNKNOWN
    assumed = " (assumed)" if cache["typeSource"] == "assumed" else ""
    return f"{cache['type']}{assumed}, size {size_text(cache['bytes'])}"
