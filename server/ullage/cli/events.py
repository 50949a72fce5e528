"""What the server tells unasked, in one line each."""

from __future__ import annotations

from collections.abc import Callable

from ullage.cli.figures import counted
from ullage.cli.framing import Json
from ullage.contexts.commands.figures import filled_text


def event_line(event: Json) -> str | None:
    """A line for a `context/event`; None for one that the person asked for or need not know of, or that the server
    tells in words of its own, as it does of a damaged store."""
    line = _LINES.get(event["kind"])
    return None if line is None else line(event["detail"])


def _made_room(detail: Json) -> str | None:
    if detail.get("origin") == "client":
        return None
    tokens = f"{detail['originalTokens']:,} → {detail['compressedTokens']:,} tokens"
    removed = detail["removed"]
    left = "old tool results were left out of it"
    if removed:
        left = f"{counted(removed, 'message')} left the window and stay in the history"
    return f"Room was made in the window: {tokens}; {left}. `/context undo` takes it back."


def _snapshot(detail: Json) -> str | None:
    if detail.get("trigger") == "manual":
        return None
    return "A snapshot of the window was kept. `/context restore` lists them."


def _nearly_full(detail: Json) -> str:
    return f"The window is nearly full: {filled_text(detail['tokens'], detail['limit'])}."


def _truncated(detail: Json) -> str:
    figures = f"{detail['evaluated']:,} of {detail['sent']:,} tokens were evaluated"
    return f"The model server cut the prompt: {figures}. Load the model there with a larger context."


def _recovered(_: Json) -> str:
    return "What could be read of a damaged store was brought back."


_LINES: dict[str, Callable[[Json], str | None]] = {
    "trimmed": _made_room,
    "compressed": _made_room,
    "snapshotCreated": _snapshot,
    "preOverflow": _nearly_full,
    "truncatedByServer": _truncated,
    "recovered": _recovered,
}
