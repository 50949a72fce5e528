"""Values of the protocol as short texts for people."""

from __future__ import annotations

import time

from ullage.cli.framing import Json

UNKNOWN = "unknown"
GAUGES = "○◔◑◕●"
_UNITS = ("bytes", "KB", "MB", "GB", "TB")


def tokens_text(usage: Json) -> str:
    """``12,847 / 32,768 (39%)``; without a known limit the tokens alone."""
    tokens, limit = usage["tokens"], usage["limit"]
    if not limit:
        return f"{tokens:,} tokens, window unknown"
    return f"{tokens:,} / {limit:,} ({percent(tokens / limit)})"


def gauge(fraction: float | None) -> str:
    """A circle as full as the window."""
    share = min(max(fraction or 0.0, 0.0), 1.0)
    return GAUGES[round(share * (len(GAUGES) - 1))]


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


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def short(name: str | None, width: int = 24) -> str:
    """A model's name that leaves room for the rest of a line."""
    if not name:
        return "no model yet"
    return name if len(name) <= width else name[: width - 1] + "…"


def printable(text: str) -> str:
    """Text that can't steer a terminal: what a model says must not move the cursor or hide what it said before."""
    return "".join(c for c in text if c in "\n\t" or not (ord(c) < 32 or 127 <= ord(c) < 160))


def one_line(text: str, width: int = 72) -> str:
    flat = " ".join(printable(text).split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def turn_line(status: Json, timing: Json) -> str:
    """The line below an answer: ``◔ 1,203 / 2,048 (59%) · SmolLM2 · 214 reused of 230``."""
    usage = status["usage"]
    parts = [f"{gauge(usage['fraction'])} {tokens_text(usage)}", short(status["model"]["name"])]
    prompt, reused = timing.get("promptTokens"), timing.get("reusedTokens")
    if prompt is not None and reused is not None:
        parts.append(f"{reused:,} reused of {prompt:,}")
    return " · ".join(parts)
