"""Reading the small files by which a kernel tells its figures. What is missing or makes no sense is None."""

from __future__ import annotations

from pathlib import Path

MOST_BYTES = 65_536
"""More than any of these files holds; a file of another kind in its place costs no more than this."""

_MOST_DIGITS = 18
"""An exabyte: what is longer means "unlimited", or is no amount at all."""


def text_of(path: Path) -> str | None:
    """The file's beginning, stripped; None where it can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES).decode("utf-8", "replace").strip()
    except (OSError, ValueError):
        return None


def number_of(path: Path) -> int | None:
    """The whole number that the file consists of; None for anything else, "max" included."""
    return number_in(text_of(path))


def number_in(text: str | None) -> int | None:
    """A decimal number without sign, as kernels and tools print bytes."""
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > _MOST_DIGITS:
        return None
    return int(text)


def number_after(text: str, label: str) -> int | None:
    """The number on the first line that begins with ``label``, separators and a final full stop left aside."""
    for line in text.splitlines():
        if line.startswith(label):
            return number_in(line[len(label) :].strip(" \t:=.").strip())
    return None


def names_in(folder: Path) -> list[str]:
    """The folder's entries in order; none where it can't be listed."""
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except (OSError, ValueError):
        return []
