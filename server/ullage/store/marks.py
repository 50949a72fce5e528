"""The sets of messages that a context keeps beside its window: those pinned, those carried in the system message,
and the tool results that are masked by a placeholder.

Each is a table of the same form, and a digest in the context's row shows whether the table is what was written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from typing import Literal

from attrs import evolve

from ullage.store.messages import require_numbers
from ullage.store.rows import ContextRow, damaged, digests_added, marks_digest

Mark = Literal["pinned", "carried", "masked"]
MARKS: tuple[Mark, ...] = ("pinned", "carried", "masked")


def marked(connection: sqlite3.Connection, context: ContextRow, mark: Mark) -> frozenset[str]:
    """The ids; StoreDamaged where they are not what was committed."""
    rows = connection.execute(
        f"SELECT message, message.id FROM {mark} LEFT JOIN message ON number = message WHERE context = ?",  # noqa: S608  # one of MARKS
        (context.number,),
    ).fetchall()
    if marks_digest(number for number, _ in rows) != _digest(context, mark) or any(id_ is None for _, id_ in rows):
        raise damaged()
    return frozenset(id_ for _, id_ in rows)


def add(connection: sqlite3.Connection, context: ContextRow, mark: Mark, ids: Collection[str]) -> ContextRow:
    """Marking twice is marking once. UnknownMessage."""
    if not ids:
        return context
    sql = f"INSERT OR IGNORE INTO {mark} (context, message) VALUES (?, ?)"  # noqa: S608  # one of MARKS
    changed = _changed(connection, context, sql, ids)
    return _with_digest(context, mark, digests_added(_digest(context, mark), marks_digest(changed)))


def remove(connection: sqlite3.Connection, context: ContextRow, mark: Mark, ids: Collection[str]) -> ContextRow:
    """UnknownMessage."""
    if not ids:
        return context
    sql = f"DELETE FROM {mark} WHERE context = ? AND message = ?"  # noqa: S608  # one of MARKS
    changed = _changed(connection, context, sql, ids)
    return _with_digest(context, mark, digests_added(_digest(context, mark), -marks_digest(changed)))


def replace(connection: sqlite3.Connection, context: ContextRow, mark: Mark, ids: Collection[str]) -> ContextRow:
    erase(connection, context.number, mark)
    return add(connection, _with_digest(context, mark, 0), mark, ids)


def erase(connection: sqlite3.Connection, context: int, mark: Mark) -> None:
    connection.execute(f"DELETE FROM {mark} WHERE context = ?", (context,))  # noqa: S608  # one of MARKS


def _changed(connection: sqlite3.Connection, context: ContextRow, sql: str, ids: Collection[str]) -> Iterable[int]:
    numbers = require_numbers(connection, context, ids)
    return [number for number in numbers if connection.execute(sql, (context.number, number)).rowcount]


def _digest(context: ContextRow, mark: Mark) -> int:
    digests = {"pinned": context.pinned_digest, "carried": context.carried_digest, "masked": context.masked_digest}
    return digests[mark]


def _with_digest(context: ContextRow, mark: Mark, digest: int) -> ContextRow:
    match mark:
        case "pinned":
            return evolve(context, pinned_digest=digest)
        case "carried":
            return evolve(context, carried_digest=digest)
        case "masked":
            return evolve(context, masked_digest=digest)
