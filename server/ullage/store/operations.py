"""The append-only log of operations, in the order of their commits: a clock that steps back can't change it."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

from attrs import evolve

from ullage.conversation.operations import Operation, WindowChange, in_window
from ullage.errors import InvalidArgument, NothingToUndo
from ullage.store.records import LoggedOperation
from ullage.store.rows import (
    OPERATION_COLUMNS,
    ContextRow,
    OperationRow,
    damaged,
    operation_from_row,
    operation_row_without,
    operation_to_row,
)

_COLUMNS = ", ".join(f"operation.{column}" for column in OPERATION_COLUMNS.split(", "))
_SELECT = f"SELECT {_COLUMNS} FROM operation"  # noqa: S608  # joined from constants
_SELECT_WITH_CONTEXT = f"SELECT context.id, {_COLUMNS} FROM operation LEFT JOIN context ON context.number = context"  # noqa: S608  # joined from constants
_PLACES = ", ".join("?" * len(OPERATION_COLUMNS.split(",")))
_INSERT = f"INSERT INTO operation ({OPERATION_COLUMNS}) VALUES ({_PLACES})"  # noqa: S608  # joined from constants
# What is in the window, but for appends and chat turns that stand: there are many of them, and they tell nothing.
_TELLING = f"""{_SELECT} WHERE context = ? AND change IS NOT NULL AND kind != 'undo'
    AND (undone OR number = ? OR kind NOT IN ('append', 'chat')) ORDER BY number"""
_LARGEST = 2**63 - 1


def log(
    connection: sqlite3.Connection,
    context: ContextRow,
    operation: Operation,
    change: WindowChange | None = None,
    undoes: str | None = None,
) -> None:
    """Add to the log; NothingToUndo where ``undoes`` is no operation of this context."""
    target = None if undoes is None else _require(connection, context, undoes)
    (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM operation").fetchone()
    logged = LoggedOperation(operation, change, undone=False)
    row = OperationRow(last + 1, context.number, logged, target.number if target else None)
    try:
        connection.execute(_INSERT, operation_to_row(row))
    except sqlite3.IntegrityError as error:
        raise InvalidArgument("An operation of this id was done before.", "id") from error
    while target is not None:
        target = _refresh_undone(connection, context, target)


def _refresh_undone(connection: sqlite3.Connection, context: ContextRow, row: OperationRow) -> OperationRow | None:
    """Set whether an operation is undone, which it is while an undo of it stands. Returns the operation that the
    answer matters to next: the one that this one takes back."""
    sql = "SELECT 1 FROM operation WHERE undoes = ? AND NOT undone LIMIT 1"
    undone = connection.execute(sql, (row.number,)).fetchone() is not None
    if undone == row.logged.undone:
        return None
    *_, detail, change, _, undone_now, seal = operation_to_row(evolve(row, logged=evolve(row.logged, undone=undone)))
    # The texts, too, which the seal is over: where a message was forgotten they may have been written otherwise.
    sql = "UPDATE operation SET detail = ?, change = ?, undone = ?, seal = ? WHERE number = ?"
    connection.execute(sql, (detail, change, undone_now, seal, row.number))
    return None if row.undoes is None else _by_number(connection, context, row.undoes)


def lookup(connection: sqlite3.Connection, context: ContextRow, operation_id: str) -> LoggedOperation | None:
    row = _lookup(connection, context, operation_id)
    return None if row is None else row.logged


def _lookup(connection: sqlite3.Connection, context: ContextRow, operation_id: str) -> OperationRow | None:
    row = connection.execute(f"{_SELECT} WHERE id = ?", (operation_id,)).fetchone()
    if row is None:
        return None
    found = operation_from_row(context.record.id, row)
    return found if found.context == context.number else None


def _require(connection: sqlite3.Connection, context: ContextRow, operation_id: str) -> OperationRow:
    found = _lookup(connection, context, operation_id)
    if found is None:
        raise NothingToUndo("There is no such operation. Ask for the history to see those that there are.")
    return found


def _by_number(connection: sqlite3.Connection, context: ContextRow, number: int) -> OperationRow:
    row = connection.execute(f"{_SELECT} WHERE number = ?", (number,)).fetchone()
    if row is None:
        raise damaged()
    return operation_from_row(context.record.id, row)


def latest_undoable(
    connection: sqlite3.Connection, context: ContextRow, kinds: Collection[str]
) -> LoggedOperation | None:
    """The newest operation of these kinds that is not undone."""
    wanted = ", ".join("?" * len(kinds))
    sql = f"{_SELECT} WHERE context = ? AND kind IN ({wanted}) AND NOT undone ORDER BY number DESC LIMIT 1"
    row = connection.execute(sql, (context.number, *kinds)).fetchone()
    return None if row is None else operation_from_row(context.record.id, row).logged


def present_without(connection: sqlite3.Connection, context: ContextRow, operation_id: str) -> dict[str, bool]:
    """Of each message that the undo of an operation matters to, whether it is in the window then. NothingToUndo."""
    source = _source_once_undone(connection, context, _require(connection, context, operation_id))
    rows = connection.execute(_TELLING, (context.number, source.number))
    found = [operation_from_row(context.record.id, row) for row in rows]
    log = [source.logged if row.number == source.number else row.logged for row in found]
    change = source.logged.change or WindowChange()
    told = ((each.operation.kind, each.change, each.undone) for each in log if each.change is not None)
    return in_window((*change.removed, *change.added), told)


def _source_once_undone(connection: sqlite3.Connection, context: ContextRow, row: OperationRow) -> OperationRow:
    """The operation that a chain of undos is about in the end, as it is once ``row`` is undone."""
    undone = True
    while row.undoes is not None:
        sql = "SELECT 1 FROM operation WHERE undoes = ? AND NOT undone AND number != ? LIMIT 1"
        by_another = connection.execute(sql, (row.undoes, row.number)).fetchone() is not None
        row, undone = _by_number(connection, context, row.undoes), by_another or not undone
    return evolve(row, logged=evolve(row.logged, undone=undone))


def page(
    connection: sqlite3.Connection, contexts: Sequence[ContextRow] | None, before: str | None, limit: int
) -> list[LoggedOperation]:
    """The newest ``limit`` operations of these contexts (None: of all) before ``before``, ascending.
    InvalidArgument where ``before`` is no operation's id."""
    end = _LARGEST if before is None else _number_of(connection, before)
    sql, values = f"{_SELECT_WITH_CONTEXT} WHERE operation.number < ?", [end]
    if contexts is not None:
        sql += f" AND context IN ({', '.join('?' * len(contexts))})"
        values += [context.number for context in contexts]
    rows = connection.execute(f"{sql} ORDER BY operation.number DESC LIMIT ?", (*values, limit)).fetchall()
    if any(context_id is None for context_id, *_ in rows):
        raise damaged()
    return [operation_from_row(context_id, tuple(row)).logged for context_id, *row in reversed(rows)]


def _number_of(connection: sqlite3.Connection, operation_id: str) -> int:
    row = connection.execute("SELECT number FROM operation WHERE id = ?", (operation_id,)).fetchone()
    if row is None:
        raise InvalidArgument("There is no such operation. Ask for the history from its end.", "before")
    return int(row[0])


def forget(connection: sqlite3.Connection, message_ids: Collection[str]) -> None:
    """Take messages' ids out of the whole log, wherever they stand: an undo brings back what is left."""
    for id_ in message_ids:
        rows = connection.execute(f"{_SELECT} WHERE instr(detail, ?) OR instr(change, ?)", (id_, id_)).fetchall()
        for row in rows:
            number, *_, detail, change, _, _, seal = operation_row_without(row, id_)
            sql = "UPDATE operation SET detail = ?, change = ?, seal = ? WHERE number = ?"
            connection.execute(sql, (detail, change, seal, number))


def erase(connection: sqlite3.Connection, context: int) -> None:
    connection.execute("DELETE FROM operation WHERE context = ?", (context,))
