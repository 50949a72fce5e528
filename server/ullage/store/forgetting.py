"""One message erased for good, and what could quote it: everywhere in the database."""

from __future__ import annotations

import sqlite3

from ullage.store import fulltext, marks, messages, operations
from ullage.store.rows import ContextRow


def forget(connection: sqlite3.Connection, context: ContextRow, message_id: str) -> tuple[ContextRow, frozenset[str]]:
    """Erase a message, and every summary that stands for it or for such a summary. Returns their ids.

    UnknownMessage; StoreDamaged where it can't be told what stands for what.
    """
    messages.require_numbers(connection, context, [message_id])
    erased = _with_summaries(connection, context, message_id)
    for mark in marks.MARKS:
        context = marks.remove(connection, context, mark, erased)
    context = messages.forget(connection, context, erased)
    operations.forget(connection, erased)
    fulltext.empty(connection)
    return context, erased


def _with_summaries(connection: sqlite3.Connection, context: ContextRow, message_id: str) -> frozenset[str]:
    stands_for = {summary.id: summary.summary_of or () for summary in messages.summaries(connection, context)}
    erased, before = {message_id}, 0
    while len(erased) > before:
        before = len(erased)
        erased |= {id_ for id_, ids in stands_for.items() if not erased.isdisjoint(ids)}
    return frozenset(erased)
