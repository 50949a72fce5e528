"""Values for clients, made of what a session knows."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ullage.contexts.sessions import Sessions
from ullage.contexts.state import ContextState
from ullage.contexts.values import MessageView
from ullage.conversation.messages import Message
from ullage.conversation.usage import CountSource


def view(message: Message, tokens: int, source: CountSource, pinned: Collection[str]) -> MessageView:
    return MessageView(
        id=message.id,
        role=message.role,
        content=message.content,
        created_at=message.created_at,
        tokens=tokens,
        source=source,
        name=message.name,
        tool_calls=message.tool_calls,
        tool_call_id=message.tool_call_id,
        pinned=message.id in pinned,
        reasoning=message.reasoning,
        summary_of=message.summary_of,
    )


async def views(sessions: Sessions, state: ContextState, messages: Sequence[Message]) -> list[MessageView]:
    """Each message with its own cost, counted for the context's model."""
    counts, source = await sessions.alone(state, messages)
    return [view(m, tokens, source, state.pinned) for m, tokens in zip(messages, counts, strict=True)]


def grouped(number: int) -> str:
    """A number as people read it: 12,847."""
    return f"{number:,}"


def window_text(tokens: int, limit: int | None) -> str:
    """``12,847 / 32,768 (39%)``; without a known limit the tokens alone."""
    if not limit:
        return f"{grouped(tokens)} tokens"
    return f"{grouped(tokens)} / {grouped(limit)} ({round(100 * tokens / limit)}%)"
