"""Figures as short texts for people: grouped, with their unit, never longer than they need to be."""

from __future__ import annotations

import time
from datetime import datetime

UNKNOWN = "unknown"
SHORT_ID = 6
"""Characters at the end of an id that people see and type; the end is the random part."""

_UNITS = ("bytes", "KB", "MB", "GB", "TB")


def filled_text(tokens: int, limit: int | None) -> str:
    """``12,847 / 32,768 (39%)``; without a known limit the tokens alone."""
    if not limit:
        return f"{tokens:,} tokens, window unknown"
    return f"{tokens:,} / {limit:,} ({percent(tokens / limit)})"


def bar(fraction: float | None, width: int = 24) -> str:
    filled = round(min(max(fraction or 0.0, 0.0), 1.0) * width)
    return "█" * filled + "░" * (width - filled)


def percent(fraction: float) -> str:
    return f"{round(100 * fraction)}%"


def size_text(size: int | None) -> str:
    """Bytes in the largest unit that leaves a figure of at least 1; units are powers of 1,024."""
    if size is None:
        return UNKNOWN
    amount, unit = float(size), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.1f} {_UNITS[unit]}" if unit else f"{size:,} bytes"


def number_text(number: int | None) -> str:
    return UNKNOWN if number is None else f"{number:,}"


def duration_text(milliseconds: float | None) -> str:
    if milliseconds is None:
        return UNKNOWN
    if milliseconds < 10:
        return f"{milliseconds:.1f} ms"
    return f"{milliseconds:,.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:,.1f} s"


def ago_text(at_ms: int, now_ms: float | None = None) -> str:
    """How long ago a moment was, in the largest whole unit. Both are milliseconds since the epoch."""
    seconds = max((time.time() * 1000 if now_ms is None else now_ms) - at_ms, 0) / 1000
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def moment_text(at_ms: int) -> str:
    """``2026-07-14 09:30:05`` in the local time of this machine, of milliseconds since the epoch."""
    try:
        return datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, OSError, ValueError):  # a file may say any number
        return UNKNOWN


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def short_id(id_: str) -> str:
    return id_[-SHORT_ID:]


def printable(text: str) -> str:
    """Text that can't steer a terminal: what a model says must not move the cursor or hide what it said before."""
    return "".join(c for c in text if c in "\n\t" or not (ord(c) < 32 or 127 <= ord(c) < 160))


def flat(text: str) -> str:
    """Printable text on one line, with single blanks between words."""
    return " ".join(printable(" ".join(text.split())).split())


def one_line(text: str, width: int = 72) -> str:
    line = flat(text.lstrip()[: 8 * width])
    return line if len(line) <= width else line[: width - 1] + "…"
