"""What the server shows, on a terminal: a status as a box, tables, Markdown. Elsewhere plain lines of the same rows."""

from __future__ import annotations

from collections.abc import Sequence

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ullage.cli.figures import one_line, printable
from ullage.cli.framing import Json
from ullage.cli.structured import structured
from ullage.cli.terminal import Terminal
from ullage.contexts.commands import display
from ullage.contexts.commands.figures import flat
from ullage.contexts.commands.markdown import plain
from ullage.contexts.values import Context, ContextStatus, Model
from ullage.conversation.usage import WarningLevel

COLOURS = {"none": "green", "high": "yellow", "critical": "red"}
LONGEST_TITLE = 200
LIST_HEADINGS = display.CONTEXT_HEADINGS
MODEL_HEADINGS = display.MODEL_HEADINGS


def list_rows(contexts: Sequence[Json], now_ms: float | None = None) -> list[tuple[str, ...]]:
    """A row of `LIST_HEADINGS` for each context."""
    return display.context_rows([structured(context, Context) for context in contexts], now_ms)


def model_rows(models: Sequence[Json]) -> list[tuple[str, ...]]:
    """A row of `MODEL_HEADINGS` for each model."""
    return display.model_rows([structured(model, Model) for model in models])


def show_status(terminal: Terminal, status: Json, title: str | None = None) -> None:
    value = structured(status, ContextStatus)
    show_rows(terminal, display.status_rows(value), title or value.context.name, value.warning)


def show_rows(terminal: Terminal, rows: Sequence[display.Row], title: str, level: WarningLevel) -> None:
    """A box in the colour of ``level``, below ``title``."""
    title = one_line(title, LONGEST_TITLE)
    if not terminal.is_terminal:
        terminal.line(title)
        for row in rows:
            if row.label:
                terminal.line(f"  {row.label + ':':<13} {flat(row.text)}")
        return
    grid = Table.grid(padding=(0, 2))
    for row in rows:
        grid.add_row(Text(row.label, style="dim"), Text(flat(row.text), style=COLOURS[row.level] if row.level else ""))
    box = Panel(grid, title=Text(title), title_align="left", border_style=COLOURS[level], expand=False)
    terminal.show(box)


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


def show_markdown(terminal: Terminal, markdown: str) -> None:
    if not terminal.is_terminal:
        terminal.line(plain(markdown))
        return
    from rich.markdown import Markdown  # noqa: PLC0415  # a parser that few commands need

    terminal.fresh_line()
    terminal.show(Markdown(printable(markdown)))
