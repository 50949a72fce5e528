"""What a conversation is about, in one line."""

from __future__ import annotations

from collections.abc import Sequence

from ullage.conversation.messages import Message

LONGEST_GIST = 120
"""Characters: a line of a list."""


def gist(messages: Sequence[Message]) -> str:
    """The beginning of the last question, fit to be shown in a line; empty where nothing was asked."""
    for message in reversed(messages):
        if message.role == "user" and message.summary_of is None and message.content.strip():
            return _first_line(message.content)
    return ""


def _first_line(text: str) -> str:
    beginning = text.lstrip()[: 4 * LONGEST_GIST]
    line = " ".join("".join(c if c.isprintable() else " " for c in beginning).split())
    if len(line) <= LONGEST_GIST and len(beginning) < 4 * LONGEST_GIST:
        return line
    return line[: LONGEST_GIST - 1].rstrip() + "…"
