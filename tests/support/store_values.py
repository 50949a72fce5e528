"""Values for tests of the store, with ids that ascend."""

from __future__ import annotations

from collections.abc import Collection
from itertools import count
from typing import Any

from ullage.conversation.ids import encode
from ullage.conversation.messages import Message
from ullage.conversation.operations import Operation, WindowChange
from ullage.store.records import Commit, ContextRecord

_serial = count(1)


def new_id() -> str:
    return encode(1_700_000_000_000, next(_serial))


def message(content: str = "Hello", id_: str | None = None, **fields: Any) -> Message:
    return Message(id_ or new_id(), fields.pop("role", "user"), content, fields.pop("created_at", 1), **fields)


def operation(context_id: str, kind: Any = "append", **detail: object) -> Operation:
    return Operation(new_id(), context_id, kind, 5, "client", detail)


def record(name: str = "main", workspace_uri: str = "file:///project", **fields: Any) -> ContextRecord:
    return ContextRecord(fields.pop("id", None) or new_id(), name, workspace_uri, 1, 1, **fields)


def appending(context_id: str, *messages: Message, **fields: Any) -> Commit:
    ids = tuple(each.id for each in messages)
    change = WindowChange(added=ids)
    return Commit(operation(context_id), messages, ids, change=change, **fields)


def windowing(context_id: str, ids: Collection[str], kind: Any = "clear", **fields: Any) -> Commit:
    return Commit(operation(context_id, kind), window=tuple(ids), **fields)


def undoing(context_id: str, undone: str) -> Commit:
    return Commit(operation(context_id, "undo"), undoes=undone)
