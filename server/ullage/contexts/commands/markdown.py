"""Markdown as the commands write it: foreign text that stays text, tables, fences, and all of it as plain text again.

What a person, a model or a server has called something may hold any character. It is shown, and is never markup:
an editor would draw its links and images.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ullage.contexts.commands.figures import flat

_MARKUP = re.compile(r"[\\`*\[\]<>|~&!#]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")
_INLINE = re.compile(r"`([^`]*)`|\\([!-/:-@\[-`{-~])|\*\*")
_FENCE = re.compile(r"`{3,}")
_BORDER, _BETWEEN = "| ", " | "


def escaped(text: str) -> str:
    """Foreign text on one line, shown as it is."""
    return _MARKUP.sub(r"\\\g<0>", flat(text))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """``headings`` and cells are plain text; headings may all be empty."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(_row(cells) for cells in lines)


def bullets(lines: Iterable[str]) -> str:
    """``lines`` are Markdown."""
    return "\n".join(f"- {line}" for line in lines)


def paragraphs(*parts: str) -> str:
    """``parts`` are Markdown; empty ones are left out."""
    return "\n\n".join(part for part in parts if part)


def fenced(text: str, language: str = "") -> str:
    """``text`` as it is, to be copied. The fence is longer than any in the text."""
    longest = max((len(run) for run in _FENCE.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def plain(markdown: str) -> str:
    """What the functions above have written, for those who show no Markdown: tables as aligned columns, fenced text as
    it was before it was fenced."""
    lines = iter(markdown.split("\n"))
    shown: list[str] = []
    rows: list[list[str]] = []
    for line in lines:
        if line.startswith(_BORDER):
            rows.append(_cells(line))
            continue
        shown += _columns(rows)
        rows = []
        fence = _FENCE.match(line)
        if fence is not None:
            shown += _until(fence[0], lines)
        else:
            shown.append(_unmarked(line))
    return "\n".join(shown + _columns(rows))


def _row(cells: Sequence[str]) -> str:
    return _BORDER + _BETWEEN.join(escaped(cell) for cell in cells) + _BETWEEN.rstrip()


def _cells(line: str) -> list[str]:
    return [_unmarked(cell) for cell in line[len(_BORDER) : -len(_BETWEEN.rstrip())].split(_BETWEEN)]


def _unmarked(text: str) -> str:
    return _INLINE.sub(lambda found: found[1] or found[2] or "", text)


def _until(fence: str, lines: Iterator[str]) -> list[str]:
    inside = []
    for line in lines:
        if line == fence:
            break
        inside.append(line)
    return inside


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows of one table, the second of which only divides the headings from the rest."""
    lines = [row for row in rows[:1] if any(row)] + list(rows[2:])
    count = max(map(len, lines), default=0)
    widths = [max(len(row[i]) for row in lines if i < len(row)) for i in range(count)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in lines]
