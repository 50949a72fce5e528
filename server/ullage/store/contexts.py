"""The table of contexts."""

from __future__ import annotations

import sqlite3

from ullage.errors import InvalidArgument, UnknownContext
from ullage.store.records import ContextRecord
from ullage.store.rows import CONTEXT_COLUMNS, ContextRow, context_from_row, context_to_row

_SELECT = f"SELECT {CONTEXT_COLUMNS} FROM context"  # noqa: S608  # joined from constants
_COLUMNS = CONTEXT_COLUMNS.split(", ")
_INSERT = f"INSERT INTO context ({CONTEXT_COLUMNS}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608  # joined from constants
# What an index is over is set only where it changes: SQLite writes the index anew for a column that is merely named.
_PLACE = ("workspace_uri", "name")
_UNINDEXED = [column for column in _COLUMNS if column not in ("number", "id", *_PLACE)]
_UPDATE = f"UPDATE context SET {' = ?, '.join(_UNINDEXED)} = ? WHERE number = ?"  # noqa: S608  # joined from constants
_MOVE = "UPDATE context SET workspace_uri = ?, name = ? WHERE number = ?"


def every(connection: sqlite3.Connection) -> list[ContextRow]:
    """In the order of their making."""
    return [context_from_row(row) for row in connection.execute(f"{_SELECT} ORDER BY number")]


def lookup(connection: sqlite3.Connection, context_id: str) -> ContextRow | None:
    row = connection.execute(f"{_SELECT} WHERE id = ?", (context_id,)).fetchone()
    return None if row is None else context_from_row(row)


def require(connection: sqlite3.Connection, context_id: str) -> ContextRow:
    found = lookup(connection, context_id)
    if found is None:
        raise unknown_context()
    return found


def find(connection: sqlite3.Connection, workspace_uri: str, name: str) -> ContextRow | None:
    row = connection.execute(f"{_SELECT} WHERE workspace_uri = ? AND name = ?", (workspace_uri, name)).fetchone()
    return None if row is None else context_from_row(row)


def number_of(connection: sqlite3.Connection, context_id: str) -> int:
    """Without reading the rest of the row, which may be damaged; UnknownContext."""
    row = connection.execute("SELECT number FROM context WHERE id = ?", (context_id,)).fetchone()
    if row is None:
        raise unknown_context()
    return int(row[0])


def insert(connection: sqlite3.Connection, record: ContextRecord) -> ContextRow:
    """InvalidArgument where the id, or the name in this workspace, is taken."""
    (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM context").fetchone()
    context = ContextRow(last + 1, record)
    _write(connection, _INSERT, context_to_row(context))
    return context


def update(connection: sqlite3.Connection, before: ContextRow, context: ContextRow) -> None:
    """``before`` is what the row says now. InvalidArgument where the new name is taken in this workspace."""
    values = dict(zip(_COLUMNS, context_to_row(context), strict=True))
    connection.execute(_UPDATE, (*(values[column] for column in _UNINDEXED), context.number))
    record = context.record
    if (record.workspace_uri, record.name) != (before.record.workspace_uri, before.record.name):
        _write(connection, _MOVE, (record.workspace_uri, record.name, context.number))


def _write(connection: sqlite3.Connection, statement: str, values: tuple[object, ...]) -> None:
    try:
        connection.execute(statement, values)
    except sqlite3.IntegrityError as error:
        text = "This workspace has a context of this name already. Open that one, or choose another name."
        raise InvalidArgument(text, "name") from error


def erase(connection: sqlite3.Connection, number: int) -> None:
    connection.execute("DELETE FROM context WHERE number = ?", (number,))


def unknown_context() -> UnknownContext:
    return UnknownContext("There is no such context. List the contexts to see those that there are.")
