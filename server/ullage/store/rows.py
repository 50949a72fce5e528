"""Values as rows, and rows as values again, sealed with a checksum: SQLite would hand out flipped bits as data.

A message's *number* is its context's number in the upper 32 bits and its place in the history, its *sequence*, in the
lower ones. The window and the marks are lists of numbers; a digest of each is kept in the context's row and grows with
it, so that appending never reads the list.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from typing import Any

import attrs
from attrs import frozen

from ullage.conversation.messages import Message, ToolCall
from ullage.conversation.operations import MarkChange, Operation, WindowChange
from ullage.errors import StoreDamaged
from ullage.store.records import ContextRecord, LoggedOperation

SEQUENCE_BITS = 32
_DIGEST_MASK = (1 << 32) - 1

Row = tuple[Any, ...]

_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@frozen
class ContextRow:
    """A context with what a commit needs to know of it: figures of constant size, however long the conversation.

    ``said`` counts the messages of the history, forgotten ones too; a digest is a 32-bit sum over the entries of the
    window, of a mark, or of the forgotten.
    """

    number: int
    record: ContextRecord
    revision: int = 0
    said: int = 0
    window_length: int = 0
    window_digest: int = 0
    pinned_digest: int = 0
    carried_digest: int = 0
    masked_digest: int = 0
    forgotten_digest: int = 0


def seal(values: Iterable[object]) -> int:
    """CRC-32 over the values in their order: finds a flipped bit, is no protection against forgery."""
    return zlib.crc32("\x1f".join(map(str, values)).encode())


def is_whole(row: Row) -> bool:
    """Whether the seal, which is the last column, is that of the others."""
    return bool(seal(row[:-1]) == row[-1])


def unsealed(row: Row) -> Row:
    """The row without its seal; StoreDamaged where it does not match."""
    if not is_whole(row):
        raise damaged()
    return row[:-1]


def damaged() -> StoreDamaged:
    return StoreDamaged(
        "What was kept of this conversation is damaged. Restore a snapshot of it, or delete it and begin a new one."
    )


def numbers_of(context: int) -> range:
    """Every number that a message of this context can have."""
    return range(context << SEQUENCE_BITS, (context + 1) << SEQUENCE_BITS)


def window_digest(entries: Iterable[tuple[int, int]]) -> int:
    """Over pairs of position and message number. Digests of parts add up, modulo 2^32, to that of the whole."""
    return sum(zlib.crc32(b"%d:%d" % entry) for entry in entries) & _DIGEST_MASK


def marks_digest(numbers: Iterable[int]) -> int:
    return sum(zlib.crc32(b"%d" % number) for number in numbers) & _DIGEST_MASK


def digests_added(one: int, other: int) -> int:
    return (one + other) & _DIGEST_MASK


CONTEXT_COLUMNS = (
    "number, id, name, workspace_uri, created_at, last_used_at, mode, provider, model, system_prompt, dormant, "
    "revision, said, window_length, window_digest, pinned_digest, carried_digest, masked_digest, "
    "forgotten_digest, own_prompt, checksum"
)


def context_to_row(context: ContextRow) -> Row:
    record = context.record
    values = (
        *(context.number, record.id, record.name, record.workspace_uri, record.created_at, record.last_used_at),
        *(record.mode, record.provider, record.model, record.system_prompt, int(record.dormant)),
        *(context.revision, context.said, context.window_length, context.window_digest),
        *(context.pinned_digest, context.carried_digest, context.masked_digest, context.forgotten_digest),
        record.own_prompt,
    )
    return (*values, seal(values))


def context_from_row(row: Row) -> ContextRow:
    number, id_, name, uri, *rest, own_prompt = unsealed(row)
    created_at, last_used_at, mode, provider, model, prompt, dormant, *figures = rest
    times = created_at, last_used_at
    record = ContextRecord(id_, name, uri, *times, mode, provider, model, prompt, bool(dormant), own_prompt)
    return ContextRow(number, record, *figures)


MESSAGE_COLUMNS = "id, role, content, created_at, name, tool_calls, tool_call_id, reasoning, summary_of, seal"


def message_to_row(message: Message) -> Row:
    calls = [attrs.astuple(call) for call in message.tool_calls]
    values = (
        *(message.id, message.role, message.content, message.created_at, message.name),
        *(_json(calls) if calls else None, message.tool_call_id, message.reasoning),
        _json(message.summary_of) if message.summary_of is not None else None,
    )
    return (*values, seal(values))


def message_from_row(row: Row) -> Message:
    id_, role, content, created_at, name, calls, call_id, reasoning, summary_of = unsealed(row)
    return Message(
        id_,
        role,
        content,
        created_at,
        name,
        tuple(ToolCall(*call) for call in json.loads(calls)) if calls else (),
        call_id,
        reasoning,
        tuple(json.loads(summary_of)) if summary_of is not None else None,
    )


OPERATION_COLUMNS = "number, id, context, kind, at, origin, detail, change, undoes, undone, seal"


@frozen
class OperationRow:
    """An operation with its number, its context's, and that of the operation that it takes back."""

    number: int
    context: int
    logged: LoggedOperation
    undoes: int | None


def operation_to_row(row: OperationRow) -> Row:
    operation, change = row.logged.operation, row.logged.change
    values = (
        *(row.number, operation.id, row.context, operation.kind, operation.at, operation.origin),
        *(_json(operation.detail), _change_to_text(change)),
        *(row.undoes, int(row.logged.undone)),
    )
    return (*values, seal(values))


def operation_from_row(context_id: str, row: Row) -> OperationRow:
    number, id_, context, kind, at, origin, detail, change, undoes, undone = unsealed(row)
    operation = Operation(id_, context_id, kind, at, origin, json.loads(detail))
    return OperationRow(number, context, LoggedOperation(operation, _change_from_text(change), bool(undone)), undoes)


def operation_row_without(row: Row, message_id: str) -> Row:
    """The row as if it had never named the message; StoreDamaged where it is not what was written."""
    *values, detail, change, undoes, undone = unsealed(row)
    texts = (text and _json(_without(json.loads(text), message_id)) for text in (detail, change))
    values += [*texts, undoes, undone]
    return (*values, seal(values))


def _without(value: Any, id_: str) -> Any:
    if isinstance(value, str):
        return value.replace(id_, "")
    if isinstance(value, list):
        return [_without(each, id_) for each in value if each != id_]
    if isinstance(value, dict):
        return {key: None if each == id_ else _without(each, id_) for key, each in value.items() if key != id_}
    return value


def _change_to_text(change: WindowChange | None) -> str | None:
    if change is None:
        return None
    fields: dict[str, object] = {"removed": change.removed, "added": change.added, "before": change.before}
    fields |= {name: attrs.asdict(mark) for name in _MARKS if (mark := getattr(change, name))}
    return _json(fields)


def _change_from_text(text: str | None) -> WindowChange | None:
    if text is None:
        return None
    fields = json.loads(text)
    marks = {name: _mark_change(fields[name]) for name in _MARKS if name in fields}
    return WindowChange(tuple(fields["removed"]), tuple(fields["added"]), tuple(fields["before"]), **marks)


def _mark_change(fields: dict[str, list[str]]) -> MarkChange:
    return MarkChange(tuple(fields["added"]), tuple(fields["removed"]))


_MARKS = ("carried", "masked", "pinned")
"""The sets beside the window whose changes an operation keeps."""
