"""What the server tells unasked, in one line each."""

from __future__ import annotations

from ullage.cli.figures import counted
from ullage.cli.framing import Json


def event_line(event: Json) -> str | None:
    """A line for a `context/event`; None for one that the person asked for or need not know of, or that the server
    tells in words of its own, as it does of a damaged store."""
    detail = event["detail"]
    match event["kind"]:
        case "trimmed":
            return _trimmed(detail)
        case "truncatedByServer":
            return _truncated(detail)
        case "recovered":
            return "What could be read of a damaged store was brought back."
        case _:
            return None


def _trimmed(detail: Json) -> str:
    left = counted(detail["turns"], "oldest turn")
    tokens = f"{detail['before']:,} → {detail['after']:,} tokens"
    return f"{left} left the window to make room: {tokens}. They stay in the history."


def _truncated(detail: Json) -> str:
    figures = f"{detail['evaluated']:,} of {detail['sent']:,} tokens were evaluated"
    return f"The model server cut the prompt: {figures}. Load the model there with a larger context."
