"""What `ullage fit` prints: a table, and below it the sentences that explain it.

Colours only repeat what the marks say, so that a plain terminal, a file and an eye that sees no red lose nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen
from rich.table import Table
from rich.text import Text

from ullage.cli.figures import UNKNOWN, number_text, printable, size_text
from ullage.cli.fit_figures import Cell, ModelFit, TypeFit
from ullage.cli.framing import Json
from ullage.cli.status_box import show_table
from ullage.cli.terminal import Terminal

BEST, SPILLS, UNTOLD = "*", "!", "?"
LEGEND = {BEST: "the largest that fits", SPILLS: "does not fit", UNTOLD: "can't be told"}
NONE_FITS = "none"
SUMS = "Sums are weights still to be loaded, the cache, and an upper bound of the compute buffer."
SUMS_WITHOUT_COMPUTE = "Sums are weights still to be loaded and the cache. The compute buffer comes on top"
COLUMN_WIDTH = 14
FIRST_COLUMN_WIDTH = 10


@frozen
class Styled:
    """A table's cell. ``mark`` is one of LEGEND, or nothing."""

    text: str
    style: str = ""
    mark: str = ""

    def __str__(self) -> str:
        return f"{self.text} {self.mark}".rstrip()


def show_model(terminal: Terminal, fit: ModelFit, memory: Json) -> None:
    """The table of one model, its explanations, and the memory that it is held against."""
    terminal.line(_headline(fit), style="bold")
    rows = size_rows(fit.types)
    per_table = len(fit.types) if not terminal.is_terminal else max(1, _columns_in(terminal.console.width))
    for first in range(0, len(fit.types), per_table):
        columns = fit.types[first : first + per_table]
        headings = ("context", *(each.cache_type for each in columns))
        terminal.line()
        _show(terminal, headings, [(row[0], *row[first + 1 : first + 1 + per_table]) for row in rows])
    terminal.line()
    _show_legend(terminal, rows)
    terminal.line(sums_text(fit.types), style="dim")
    for each in fit.types:
        terminal.line(f"{each.cache_type}: {each.explanation}")
    terminal.line(memory_line(memory, fit.reserve_bytes))


def show_models(terminal: Terminal, fits: Sequence[ModelFit], memory: Json) -> None:
    """A line for each model, and why some could not be sized."""
    cache_types = next((tuple(each.cache_type for each in fit.types) for fit in fits if fit.types), ())
    headings = ("model", "provider", "weights", "limit", *cache_types, "limited by")
    _show(terminal, headings, [model_row(fit, len(cache_types)) for fit in fits])
    terminal.line()
    terminal.line("Weights are what is still to be loaded; under each cache type stands the largest context that fits.")
    for fit in fits:
        if fit.reason is not None:
            terminal.line(f"{fit.name}: {fit.reason}")
    reserve = next((fit.reserve_bytes for fit in fits if fit.reserve_bytes is not None), None)
    terminal.line(memory_line(memory, reserve))


def size_rows(types: Sequence[TypeFit]) -> list[tuple[Styled, ...]]:
    """A row for each context size: the size, and what it takes with each cache type."""
    if not types:
        return []
    sizes = [cell.tokens for cell in types[0].cells]
    return [
        (Styled(f"{tokens:,}"), *(_cell(each.cells[row], best=each.best) for each in types))
        for row, tokens in enumerate(sizes)
    ]


def sums_text(types: Sequence[TypeFit]) -> str:
    """What the table's sums hold, and of what they leave out how much is known."""
    apart = [each for each in types if each.compute_bytes is not None]
    if not apart:
        return SUMS
    told = ", ".join(f"{size_text(each.compute_bytes)} ({each.cache_type})" for each in apart if each.best is not None)
    return SUMS_WITHOUT_COMPUTE + (f": at the largest size that fits at most {told}." if told else ".")


def model_row(fit: ModelFit, columns: int) -> tuple[Styled, ...]:
    bests = [_best(each) for each in fit.types] or [Styled(UNKNOWN, "yellow")] * columns
    return (
        Styled(fit.name),
        Styled(fit.provider or ""),
        Styled(size_text(fit.weights_bytes)),
        Styled(number_text(fit.limit)),
        *bests,
        Styled(limits_text(fit.types)),
    )


def limits_text(types: Sequence[TypeFit]) -> str:
    """``memory`` where every cache type has the same limit, ``memory (f16), model (q8_0, q4_0)`` otherwise."""
    by_limit: dict[str, list[str]] = {}
    for each in types:
        by_limit.setdefault(each.limited_by or UNKNOWN, []).append(each.cache_type)
    if len(by_limit) < 2:
        return next(iter(by_limit), UNKNOWN)
    return ", ".join(f"{limit} ({', '.join(cache_types)})" for limit, cache_types in by_limit.items())


def memory_line(memory: Json, reserve_bytes: int | None) -> str:
    """The available memory, its kind, and the buffer that is left free in it."""
    buffer = "" if not reserve_bytes else f"; {size_text(reserve_bytes)} of it stay free as a buffer"
    if memory["available"] is None:
        return f"Memory ({memory['kind']}): what is available can't be told. `ullage doctor` says more."
    total = "" if memory["total"] is None else f" of {size_text(memory['total'])}"
    return f"Memory ({memory['kind']}): {size_text(memory['available'])}{total} available{buffer}."


def _headline(fit: ModelFit) -> str:
    parts = [fit.name, fit.provider or fit.file or ""]
    if fit.weights_bytes is not None:
        parts.append(
            f"{size_text(fit.weights_bytes)} of weights to be loaded" if fit.weights_bytes else "weights loaded"
        )
    if fit.limit is not None:
        parts.append(f"made for {fit.limit:,} tokens")
    return " · ".join(part for part in parts if part)


def _cell(cell: Cell, *, best: int | None) -> Styled:
    text = size_text(cell.total_bytes)
    if cell.fits is None:
        return Styled(text, "yellow", UNTOLD)
    if not cell.fits:
        return Styled(text, "red", SPILLS)
    return Styled(text, "bold green", BEST) if cell.tokens == best else Styled(text, "green")


def _best(each: TypeFit) -> Styled:
    if each.best is not None:
        return Styled(f"{each.best:,}", "green")
    return Styled(NONE_FITS, "red") if each.cells and each.cells[0].fits is False else Styled(UNKNOWN, "yellow")


def _show(terminal: Terminal, headings: Sequence[str], rows: Sequence[Sequence[Styled]]) -> None:
    if not terminal.is_terminal:
        show_table(terminal, headings, [[str(cell) for cell in row] for row in rows])
        return
    table = Table(*headings, box=None, padding=(0, 2, 0, 0), header_style="dim")
    for row in rows:
        table.add_row(*(Text(printable(str(cell)), style=cell.style) for cell in row))
    terminal.show(table)


def _show_legend(terminal: Terminal, rows: Sequence[Sequence[Styled]]) -> None:
    used = {cell.mark for row in rows for cell in row}
    marks = [f"{mark} {meaning}" for mark, meaning in LEGEND.items() if mark in used]
    if marks:
        terminal.line("; ".join(marks) + ".", style="dim")


def _columns_in(width: int) -> int:
    return (width - FIRST_COLUMN_WIDTH) // COLUMN_WIDTH
