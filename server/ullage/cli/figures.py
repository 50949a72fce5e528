"""Values of the protocol as short texts for people; the server has its own in `ullage.contexts.commands.figures`."""

from __future__ import annotations

from ullage.cli.framing import Json
from ullage.contexts.commands.figures import (
    UNKNOWN,
    ago_text,
    counted,
    duration_text,
    filled_text,
    number_text,
    one_line,
    percent,
    printable,
    size_text,
)

__all__ = [
    "UNKNOWN",
    "ago_text",
    "counted",
    "duration_text",
    "gauge",
    "number_text",
    "one_line",
    "percent",
    "printable",
    "short",
    "size_text",
    "tokens_text",
    "turn_line",
]

GAUGES = "○◔◑◕●"


def tokens_text(usage: Json) -> str:
    """``12,847 / 32,768 (39%)``; without a known limit the tokens alone."""
    return filled_text(usage["tokens"], usage["limit"])


def gauge(fraction: float | None) -> str:
    """A circle as full as the window."""
    share = min(max(fraction or 0.0, 0.0), 1.0)
    return GAUGES[round(share * (len(GAUGES) - 1))]


def short(name: str | None, width: int = 24) -> str:
    """A model's name that leaves room for the rest of a line."""
    if not name:
        return "no model yet"
    return name if len(name) <= width else name[: width - 1] + "…"


def turn_line(status: Json, timing: Json) -> str:
    """The line below an answer: ``◔ 1,203 / 2,048 (59%) · SmolLM2 · 214 reused of 230``."""
    usage = status["usage"]
    parts = [f"{gauge(usage['fraction'])} {tokens_text(usage)}", short(status["model"]["name"])]
    prompt, reused = timing.get("promptTokens"), timing.get("reusedTokens")
    if prompt is not None and reused is not None:
        parts.append(f"{reused:,} reused of {prompt:,}")
    return " · ".join(parts)
