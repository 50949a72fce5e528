"""One message erased for good, and what could quote it: everywhere in the database."""

from __future__ import annotations

import sqlite3

from ullage.store import fulltext, marks, messages, operations
from ullage.store.rows import ContextRow


def forget(connection: sqlite3.Connection, context: ContextRow, message_id: str) -> tuple[ContextRow, frozenset[str]]:
    """Erase a message, and every summary that may quote it. Returns their ids.

    UnknownMessage; StoreDamaged where it can't be told what stands for what.
    """
    [number] = messages.require_numbers(connection, context, [message_id])
    erased = _with_summaries(connection, context, message_id, number)
    for mark in marks.MARKS:
        context = marks.remove(connection, context, mark, erased)
    context = messages.forget(connection, context, erased)
    operations.forget(connection, erased)
    fulltext.empty(connection)
    return context, erased


def is_committed(connection: sqlite3.Connection, context: ContextRow | None, erasure_id: str) -> bool:
    """Whether an erasure came to its commit, by the id of its operation. ``context`` None: it is gone by now."""
    return context is None or operations.lookup(connection, context, erasure_id) is not None


def _with_summaries(
    connection: sqlite3.Connection, context: ContextRow, message_id: str, number: int
) -> frozenset[str]:
    """The message with the summaries that stand for it or for such a summary, and with all that were written after it
    was said: a model that writes a summary sees more of the conversation than what it is to stand for."""
    summaries = messages.summaries(connection, context)
    erased = {message_id, *messages.summaries_after(connection, context, number)}
    before = 0
    while len(erased) > before:
        before = len(erased)
        erased |= {each.id for each in summaries.values() if not erased.isdisjoint(each.summary_of or ())}
    return frozenset(erased)
