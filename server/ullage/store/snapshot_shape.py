"""Snapshots as JSON: values to trees, and trees to values again where every field is what it should be.

A file may have been made by anybody. What is not exactly of this shape raises ValueError.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, get_args

from ullage.conversation.ids import is_ulid
from ullage.conversation.messages import Message, Role, ToolCall
from ullage.store.snapshot_records import SnapshotContent, SnapshotHeader, SnapshotTrigger

MOST_MESSAGES = 1_000_000
LONGEST_SUMMARY = 2000
"""Characters."""

_LARGEST = 2**63 - 1
_ROLES = frozenset(get_args(Role))
_HEADER = {"id", "contextId", "createdAt", "tokens", "messages", "summary", "trigger", "metadata"}
_METADATA = {"model", "contextSize", "compressionRatio"}
_MARKS = {"systemPrompt", "pinned", "carried", "masked"}
_MESSAGE = {"id", "role", "content", "createdAt"}
_MORE = {"name", "toolCalls", "toolCallId", "reasoning", "summaryOf"}


def header_to_tree(header: SnapshotHeader) -> dict[str, Any]:
    return {
        "id": header.id,
        "contextId": header.context_id,
        "createdAt": header.created_at,
        "tokens": header.tokens,
        "messages": header.messages,
        "summary": header.summary,
        "trigger": header.trigger,
        "metadata": {
            "model": header.model,
            "contextSize": header.context_size,
            "compressionRatio": header.compression_ratio,
        },
    }


def header_from_tree(tree: Any) -> SnapshotHeader:
    _require_keys(tree, _HEADER)
    metadata = tree["metadata"]
    _require_keys(metadata, _METADATA)
    trigger, summary = tree["trigger"], _text(tree["summary"])
    if trigger not in get_args(SnapshotTrigger) or len(summary) > LONGEST_SUMMARY:
        raise _malformed()
    return SnapshotHeader(
        id=_ulid(tree["id"]),
        context_id=_ulid(tree["contextId"]),
        created_at=_integer(tree["createdAt"], least=-_LARGEST - 1),
        tokens=_integer(tree["tokens"]),
        messages=_integer(tree["messages"], most=MOST_MESSAGES),
        summary=summary,
        trigger=trigger,
        model=_text_or_none(metadata["model"]),
        context_size=_integer(metadata["contextSize"]),
        compression_ratio=_ratio(metadata["compressionRatio"]),
    )


def marks_to_tree(content: SnapshotContent) -> dict[str, Any]:
    return {
        "systemPrompt": content.system_prompt,
        "pinned": sorted(content.pinned),
        "carried": sorted(content.carried),
        "masked": sorted(content.masked),
    }


def content_from_trees(marks: Any, messages: tuple[Message, ...]) -> SnapshotContent:
    _require_keys(marks, _MARKS)
    ids = {message.id for message in messages}
    if len(ids) != len(messages):
        raise _malformed()
    return SnapshotContent(
        messages,
        pinned=_marked(marks["pinned"], ids),
        carried=_marked(marks["carried"], ids),
        masked=_marked(marks["masked"], ids),
        system_prompt=_text_or_none(marks["systemPrompt"]),
    )


def message_to_tree(message: Message) -> dict[str, Any]:
    tree: dict[str, Any] = {
        "id": message.id,
        "role": message.role,
        "content": message.content,
        "createdAt": message.created_at,
    }
    if message.name is not None:
        tree["name"] = message.name
    if message.tool_calls:
        tree["toolCalls"] = [{"id": c.id, "name": c.name, "arguments": c.arguments} for c in message.tool_calls]
    if message.tool_call_id is not None:
        tree["toolCallId"] = message.tool_call_id
    if message.reasoning is not None:
        tree["reasoning"] = message.reasoning
    if message.summary_of is not None:
        tree["summaryOf"] = message.summary_of
    return tree


def message_from_tree(tree: Any) -> Message:
    if type(tree) is not dict or not (_MESSAGE <= tree.keys() <= _MESSAGE | _MORE):
        raise _malformed()
    role = tree["role"]
    if type(role) is not str or role not in _ROLES:
        raise _malformed()
    plain = len(tree) == len(_MESSAGE)
    return Message(
        _ulid(tree["id"]),
        role,  # type: ignore[arg-type]  # one of the roles
        _text(tree["content"]),
        _integer(tree["createdAt"], least=-_LARGEST - 1),
        **({} if plain else _more(tree)),
    )


def _more(tree: dict[str, Any]) -> dict[str, Any]:
    """The fields that most messages lack."""
    more: dict[str, Any] = {}
    for key, field in (("name", "name"), ("toolCallId", "tool_call_id"), ("reasoning", "reasoning")):
        if key in tree:
            more[field] = _text(tree[key])
    if "toolCalls" in tree:
        more["tool_calls"] = tuple(_tool_call(call) for call in _list(tree["toolCalls"]))
    if "summaryOf" in tree:
        more["summary_of"] = tuple(_text(id_) for id_ in _list(tree["summaryOf"]))
    return more


def _tool_call(tree: Any) -> ToolCall:
    _require_keys(tree, {"id", "name", "arguments"})
    return ToolCall(_text(tree["id"]), _text(tree["name"]), _text(tree["arguments"]))


def _marked(value: Any, known: Collection[str]) -> frozenset[str]:
    ids = frozenset(_text(id_) for id_ in _list(value))
    if not ids <= set(known):
        raise _malformed()
    return ids


def _require_keys(tree: Any, keys: set[str]) -> None:
    if type(tree) is not dict or tree.keys() != keys:
        raise _malformed()


def _text(value: Any) -> str:
    if type(value) is not str:
        raise _malformed()
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _ulid(value: Any) -> str:
    if type(value) is not str or not is_ulid(value):
        raise _malformed()
    return value


def _integer(value: Any, *, least: int = 0, most: int = _LARGEST) -> int:
    if type(value) is not int or not least <= value <= most:
        raise _malformed()
    return value


def _ratio(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise _malformed()
    return float(value)


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise _malformed()
    return value


def _malformed() -> ValueError:
    return ValueError("something is not what it should be")
