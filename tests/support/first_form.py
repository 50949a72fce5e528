"""A store in the database's first form, written with its own statements."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Sequence

from attrs import frozen

from support.store_values import message, new_id, operation, record
from ullage.conversation.messages import Message
from ullage.conversation.operations import Operation, WindowChange
from ullage.store.folder import StorageFolder
from ullage.store.migrations import first_form, migrate
from ullage.store.records import ContextRecord


@frozen
class FirstForm:
    """What the store holds: one context, its history, all of it in the window, the first message pinned and carried."""

    record: ContextRecord
    messages: tuple[Message, ...]
    operation: Operation
    change: WindowChange


def write_first_form(folder: StorageFolder, count: int = 3, contexts: int = 1) -> list[FirstForm]:
    folder.database.touch(0o600)
    connection = sqlite3.connect(folder.database, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    migrate(connection, [first_form])
    connection.execute("BEGIN")
    written = [_context(connection, number, count) for number in range(1, contexts + 1)]
    _insert(connection, "factor", ("model", 1.5))
    connection.execute("COMMIT")
    connection.close()
    return written


def _context(connection: sqlite3.Connection, number: int, count: int) -> FirstForm:
    made = record(f"context {number}", system_prompt="Be brief. 🙂", model="llama3")
    messages = tuple(message(f"word{n} said") for n in range(count))
    numbers = [(number << 32) + sequence for sequence in range(count)]
    crc = [zlib.crc32(b"%d:%d" % entry) for entry in enumerate(numbers)]
    mark = zlib.crc32(b"%d" % numbers[0])
    fields = (made.id, made.name, made.workspace_uri, 1, 1, None, None, "llama3", "Be brief. 🙂", 0)
    _insert(connection, "context", (number, *fields, 3, count, count, sum(crc) & 0xFFFFFFFF, mark, mark))
    for position, (key, said) in enumerate(zip(numbers, messages, strict=True)):
        row = (said.id, said.role, said.content, said.created_at, None, None, None, None, None)
        _insert(connection, "message", row, before=(key,))
        connection.execute("INSERT INTO window VALUES (?, ?, ?)", (number, position, key))
    for table in ("pinned", "carried"):
        connection.execute(f"INSERT INTO {table} VALUES (?, ?)", (number, numbers[0]))
    change = WindowChange((new_id(),), (messages[0].id,), (new_id(),))
    done = operation(made.id, "clear", messageIds=[messages[0].id])
    lists = {name: getattr(change, name) for name in ("removed", "added", "before")}
    text = json.dumps({**lists, "carried_before": [messages[0].id]})
    values = (number, done.id, number, "clear", done.at, "client", json.dumps(done.detail), text, None, 0)
    _insert(connection, "operation", values)
    return FirstForm(made, messages, done, change)


def _insert(
    connection: sqlite3.Connection, table: str, values: Sequence[object], before: Sequence[object] = ()
) -> None:
    """``before`` is what the seal does not cover."""
    row = (*before, *values, zlib.crc32("\x1f".join(map(str, values)).encode()))
    connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
