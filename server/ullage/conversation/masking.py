"""Masking: a tool result steps behind a placeholder that tells what stood there."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import attrs

from ullage.conversation.messages import Message


def placeholder(message: Message) -> str:
    """What stands for a masked tool result: the tool's name, and how many characters are left out."""
    return f"[The result of {message.name or 'a tool'} was left out to make room: {len(message.content):,} characters]"


def is_maskable(message: Message) -> bool:
    """Whether a placeholder in a tool result's place would take less room."""
    return message.role == "tool" and len(placeholder(message)) < len(message.content)


def with_placeholders(messages: Sequence[Message], masked: Collection[str]) -> Sequence[Message]:
    """The messages as they are sent: those tool results whose ids are in ``masked`` with a placeholder for content."""
    if not masked:
        return messages

    def shown(message: Message) -> Message:
        if message.role != "tool" or message.id not in masked:
            return message
        return attrs.evolve(message, content=placeholder(message))

    return [shown(message) for message in messages]
