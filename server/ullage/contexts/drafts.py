"""Messages as clients bring them, checked and made into the conversation's own."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from ullage.contexts.stamp import Stamp
from ullage.conversation.ids import is_ulid
from ullage.conversation.messages import Message, Role, ToolCall
from ullage.errors import InvalidArgument

LARGEST_MESSAGE = 16 * 2**20
"""Characters: far beyond any window, and still quick to store and to count."""


@frozen
class Draft:
    """A message before it has a time and, unless the client gave one, an id."""

    role: Role
    content: str
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    pinned: bool = False
    id: str | None = None


def checked(drafts: Sequence[Draft], path: str = "messages") -> None:
    """Refuse what can't be part of a conversation, naming the field."""
    if not drafts:
        raise InvalidArgument("Give at least one message.", path)
    seen: set[str] = set()
    for index, draft in enumerate(drafts):
        where = f"{path}[{index}]"
        if draft.id is not None:
            if not is_ulid(draft.id):
                raise InvalidArgument("A message's id is a ULID of 26 characters, or is left out.", f"{where}.id")
            if draft.id in seen:
                raise InvalidArgument("Two messages of one request bear the same id.", f"{where}.id")
            seen.add(draft.id)
        _check_lengths(draft, where)
        if draft.role == "tool" and not draft.tool_call_id:
            raise InvalidArgument("A tool's result names the call that it answers.", f"{where}.toolCallId")
        if draft.tool_calls and draft.role != "assistant":
            raise InvalidArgument("Only the assistant calls tools.", f"{where}.toolCalls")


def checked_text(text: str, path: str) -> None:
    """Refuse a text that is larger than any message may be."""
    if len(text) > LARGEST_MESSAGE:
        raise InvalidArgument(f"A text has at most {LARGEST_MESSAGE:,} characters. Send a part of it.", path)


def _check_lengths(draft: Draft, where: str) -> None:
    checked_text(draft.content, f"{where}.content")
    checked_text(draft.name or "", f"{where}.name")
    checked_text(draft.tool_call_id or "", f"{where}.toolCallId")
    for number, call in enumerate(draft.tool_calls):
        for field, text in (("id", call.id), ("name", call.name), ("arguments", call.arguments)):
            checked_text(text, f"{where}.toolCalls[{number}].{field}")


def message_of(draft: Draft, stamp: Stamp) -> Message:
    return Message(
        id=draft.id or stamp.id(),
        role=draft.role,
        content=draft.content,
        created_at=stamp.now(),
        name=draft.name,
        tool_calls=draft.tool_calls,
        tool_call_id=draft.tool_call_id,
    )


def same_content(draft: Draft, message: Message) -> bool:
    """Whether ``message`` is what an earlier try with this draft left."""
    return (draft.role, draft.content, draft.name, draft.tool_calls, draft.tool_call_id) == (
        message.role,
        message.content,
        message.name,
        message.tool_calls,
        message.tool_call_id,
    )
