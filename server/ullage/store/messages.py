"""Everything that was said, and the window over it."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

from attrs import evolve

from ullage.conversation.messages import Message
from ullage.errors import InvalidArgument, UnknownMessage
from ullage.store.rows import (
    MESSAGE_COLUMNS,
    ContextRow,
    damaged,
    digests_added,
    marks_digest,
    message_from_row,
    message_to_row,
    numbers_of,
    window_digest,
)

_PLACES = ", ".join("?" * (1 + len(MESSAGE_COLUMNS.split(","))))
_INSERT = f"INSERT INTO message (number, {MESSAGE_COLUMNS}) VALUES ({_PLACES})"  # noqa: S608  # joined from constants
_BY_ID = f"SELECT number, {MESSAGE_COLUMNS} FROM message WHERE id = ?"  # noqa: S608  # joined from constants
_HISTORY = (
    f"SELECT number, {MESSAGE_COLUMNS} FROM message WHERE number >= ? AND number < ? ORDER BY number DESC LIMIT ?"  # noqa: S608  # joined from constants
)
_SUMMARIES = f"""SELECT number, {MESSAGE_COLUMNS} FROM message
    WHERE number >= ? AND number < ? AND summary_of IS NOT NULL"""  # noqa: S608  # joined from constants
_SUMMARIES_AFTER = """SELECT id FROM message WHERE number >= ? AND number < ? AND summary_of IS NOT NULL
    AND (number > ? OR created_at > (SELECT created_at FROM message WHERE number = ?))"""
_WINDOW = f"""SELECT window.position, window.message, {MESSAGE_COLUMNS} FROM window
    LEFT JOIN message ON message.number = window.message WHERE window.context = ? ORDER BY window.position"""  # noqa: S608  # joined from constants


def say(connection: sqlite3.Connection, context: ContextRow, messages: Sequence[Message]) -> ContextRow:
    """Add to the history. InvalidArgument where an id is taken, in this context or in another."""
    first = numbers_of(context.number)[context.said]
    try:
        for number, message in enumerate(messages, start=first):
            connection.execute(_INSERT, (number, *message_to_row(message)))
    except sqlite3.IntegrityError as error:
        text = "A message of this id was said before, here or in another context. Leave the id out to say it anew."
        raise InvalidArgument(text, "messages") from error
    return evolve(context, said=context.said + len(messages))


def extend_window(
    connection: sqlite3.Connection, context: ContextRow, ids: Sequence[str], said_before: int
) -> ContextRow:
    """Put messages at the window's end. ValueError where one is in it already.

    A message said in this very commit (its sequence is not below ``said_before``) can't be: only older ones are
    looked for, which reads the window.
    """
    numbers = require_numbers(connection, context, ids)
    older = [number for number in numbers if number < numbers_of(context.number)[said_before]]
    if len(set(numbers)) != len(numbers) or any(_in_window(connection, context, number) for number in older):
        raise ValueError("a message can stand in the window once only")
    return _append_to_window(connection, context, numbers)


def replace_window(connection: sqlite3.Connection, context: ContextRow, ids: Sequence[str]) -> ContextRow:
    numbers = require_numbers(connection, context, ids)
    if len(set(numbers)) != len(numbers):
        raise ValueError("a message can stand in the window once only")
    return _set_window(connection, context, numbers)


def _set_window(connection: sqlite3.Connection, context: ContextRow, numbers: Sequence[int]) -> ContextRow:
    connection.execute("DELETE FROM window WHERE context = ?", (context.number,))
    return _append_to_window(connection, evolve(context, window_length=0, window_digest=0), numbers)


def _append_to_window(connection: sqlite3.Connection, context: ContextRow, numbers: Sequence[int]) -> ContextRow:
    entries = list(enumerate(numbers, start=context.window_length))
    rows = [(context.number, position, number) for position, number in entries]
    connection.executemany("INSERT INTO window (context, position, message) VALUES (?, ?, ?)", rows)
    digest = digests_added(context.window_digest, window_digest(entries))
    return evolve(context, window_length=context.window_length + len(entries), window_digest=digest)


def _in_window(connection: sqlite3.Connection, context: ContextRow, number: int) -> bool:
    sql = "SELECT 1 FROM window WHERE context = ? AND message = ?"
    return connection.execute(sql, (context.number, number)).fetchone() is not None


def window(connection: sqlite3.Connection, context: ContextRow) -> tuple[Message, ...]:
    """In window order; StoreDamaged where it is not, to the last entry, what was committed."""
    rows = connection.execute(_WINDOW, (context.number,)).fetchall()
    _check_window(context, [(position, number) for position, number, *_ in rows])
    if any(row[2] is None for row in rows):
        raise damaged()
    return tuple(message_from_row(row[2:]) for row in rows)


def _check_window(context: ContextRow, entries: Sequence[tuple[int, int]]) -> None:
    if len(entries) != context.window_length or window_digest(entries) != context.window_digest:
        raise damaged()


def lookup(connection: sqlite3.Connection, context: ContextRow, message_id: str) -> Message | None:
    row = connection.execute(_BY_ID, (message_id,)).fetchone()
    if row is None or row[0] not in numbers_of(context.number):
        return None
    return message_from_row(row[1:])


def require(connection: sqlite3.Connection, context: ContextRow, ids: Sequence[str]) -> list[Message]:
    """In the order asked for; UnknownMessage where one was never said in this context."""
    found = [lookup(connection, context, id_) for id_ in ids]
    known = [message for message in found if message is not None]
    if len(known) < len(ids):
        raise unknown_message()
    return known


def require_numbers(connection: sqlite3.Connection, context: ContextRow, ids: Collection[str]) -> list[int]:
    """UnknownMessage where one was never said in this context."""
    rows = (connection.execute("SELECT number FROM message WHERE id = ?", (id_,)).fetchone() for id_ in ids)
    numbers = [row[0] for row in rows if row is not None and row[0] in numbers_of(context.number)]
    if len(numbers) < len(ids):
        raise unknown_message()
    return numbers


def history(
    connection: sqlite3.Connection, context: ContextRow, before: str | None, limit: int
) -> tuple[tuple[Message, ...], bool]:
    """The newest ``limit`` messages before ``before``, ascending, and whether there are older ones. Everything ever
    said has its place, without gaps but for what was forgotten: StoreDamaged where a message is missing."""
    numbers, gone = numbers_of(context.number), _forgotten(connection, context)
    end = numbers[context.said] if before is None else require_numbers(connection, context, [before])[0]
    rows = connection.execute(_HISTORY, (numbers.start, end, limit)).fetchall()[::-1]
    first = rows[0][0] if len(rows) == limit else numbers.start
    missing = (end - first) - len(rows)
    if missing != sum(first <= number < end for number in gone) or any(row[0] in gone for row in rows):
        raise damaged()
    older = (first - numbers.start) > sum(number < first for number in gone)
    return tuple(message_from_row(row[1:]) for row in rows), older


def summaries(connection: sqlite3.Connection, context: ContextRow) -> dict[int, Message]:
    """Every summary ever made in this context, by its number."""
    numbers = numbers_of(context.number)
    rows = connection.execute(_SUMMARIES, (numbers.start, numbers.stop))
    return {number: message_from_row(tuple(row)) for number, *row in rows}


def summaries_after(connection: sqlite3.Connection, context: ContextRow, number: int) -> frozenset[str]:
    """The summaries that were written after this message was said, by their place in the history or by the clock: in a
    copy of a window a summary has its place before the messages that it was written after."""
    numbers = numbers_of(context.number)
    rows = connection.execute(_SUMMARIES_AFTER, (numbers.start, numbers.stop, number, number))
    return frozenset(id_ for (id_,) in rows)


def forget(connection: sqlite3.Connection, context: ContextRow, ids: Collection[str]) -> ContextRow:
    """Erase messages, from the window too. Their places in the history are noted, so that these gaps are known for
    no damage; no number is given twice. UnknownMessage."""
    numbers = require_numbers(connection, context, ids)
    context = _take_out_of_window(connection, context, numbers)
    for number in numbers:
        connection.execute("INSERT INTO forgotten (context, message) VALUES (?, ?)", (context.number, number))
        connection.execute("DELETE FROM message WHERE number = ?", (number,))
    return evolve(context, forgotten_digest=digests_added(context.forgotten_digest, marks_digest(numbers)))


def _take_out_of_window(connection: sqlite3.Connection, context: ContextRow, numbers: Collection[int]) -> ContextRow:
    sql = "SELECT position, message FROM window WHERE context = ? ORDER BY position"
    entries = connection.execute(sql, (context.number,)).fetchall()
    _check_window(context, entries)
    kept = [number for _, number in entries if number not in numbers]
    return context if len(kept) == len(entries) else _set_window(connection, context, kept)


def _forgotten(connection: sqlite3.Connection, context: ContextRow) -> frozenset[int]:
    rows = connection.execute("SELECT message FROM forgotten WHERE context = ?", (context.number,))
    numbers = frozenset(number for (number,) in rows)
    if marks_digest(numbers) != context.forgotten_digest:
        raise damaged()
    return numbers


def erase(connection: sqlite3.Connection, context: int) -> None:
    numbers = numbers_of(context)
    connection.execute("DELETE FROM window WHERE context = ?", (context,))
    connection.execute("DELETE FROM forgotten WHERE context = ?", (context,))
    connection.execute("DELETE FROM message WHERE number >= ? AND number < ?", (numbers.start, numbers.stop))


def unknown_message() -> UnknownMessage:
    return UnknownMessage("This context has no such message. Ask for its messages to see those that there are.")
