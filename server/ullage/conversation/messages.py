"""The immutable units of a conversation."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

Role = Literal["system", "user", "assistant", "tool"]


@frozen
class ToolCall:
    """A call that the model asked for; ``arguments`` is the JSON text as the model wrote it, valid or not."""

    id: str
    name: str
    arguments: str


@frozen(cache_hash=True)
class Message:
    """One thing said. Never changed after it was made; whether it is pinned is a fact about the window, not about it.

    ``created_at`` is in milliseconds since the epoch. ``summary_of`` is set on a summary: the ids that it stands for.
    ``reasoning`` is kept in history and sent again only inside a tool loop.
    """

    id: str
    role: Role
    content: str
    created_at: int
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    reasoning: str | None = None
    summary_of: tuple[str, ...] | None = None


@frozen(cache_hash=True)
class SentMessage:
    """One message in the form in which a model server receives it: roles merged, special-token text made harmless."""

    role: Role
    content: str
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    reasoning: str | None = None


def speaks_of_tools(message: Message | SentMessage) -> bool:
    """Whether a message calls tools or is a call's result."""
    return message.role == "tool" or bool(message.tool_calls)


@frozen
class ToolDefinition:
    """A tool that the model may call; ``parameters`` is a JSON Schema."""

    name: str
    description: str
    parameters: dict[str, object]
