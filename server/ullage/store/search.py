"""Full-text search over everything ever said, reasoning left out.

An append pays nothing for it: each search first takes into the index what was said since the last one, a part at a
time, so that other writers get their turn in between. Messages of a context enter the index in their order, so its
greatest number of a context tells how far that context is indexed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing

from attrs import frozen

from ullage.conversation.messages import Message
from ullage.store import fulltext
from ullage.store.excerpts import Excerpts
from ullage.store.rows import MESSAGE_COLUMNS, SEQUENCE_BITS, ContextRow, message_from_row, numbers_of
from ullage.store.wording import separated

PART_MESSAGES = 2000
PART_CHARACTERS = 2_000_000
"""How much is indexed in one transaction: less than a tenth of a second's work."""

PAUSE_S = 0.02
"""Between two parts. Another process that waits for its turn only looks now and then."""

# The texts as bytes: a damaged one, which may be no text at all, must not keep the others from being found.
_UNINDEXED = "SELECT number, CAST(content AS BLOB) FROM message WHERE number > ? AND number < ? ORDER BY number"
_LAST_SAID = "SELECT max(number) FROM message WHERE number >= ? AND number < ?"
_SAID_AT = "SELECT CAST(created_at AS INTEGER) FROM message WHERE number = ?"
_RANKED = f"SELECT rank, rowid FROM {fulltext.TABLE} WHERE {fulltext.TABLE} MATCH ? ORDER BY rank"  # noqa: S608  # constants
_MESSAGE = f"SELECT {MESSAGE_COLUMNS} FROM message WHERE number = ?"  # noqa: S608  # joined from constants


@frozen
class Found:
    """``excerpt`` is the piece of the message around the words that were found, those between ** and **."""

    context_id: str
    message: Message
    excerpt: str


def is_behind(connection: sqlite3.Connection, contexts: Sequence[ContextRow]) -> bool:
    """Whether the index lacks anything that was said in these contexts."""
    if not fulltext.exists(connection):
        return True
    return any(_lacks_any(connection, numbers_of(context.number)) for context in contexts)


def _lacks_any(connection: sqlite3.Connection, numbers: range) -> bool:
    (said,) = connection.execute(_LAST_SAID, (numbers.start, numbers.stop)).fetchone()
    return said is not None and said > (fulltext.last_number(connection, numbers) or -1)


def catch_up(connection: sqlite3.Connection, contexts: Sequence[ContextRow]) -> bool:
    """Index the next part of these contexts; whether there is more. IndexDamaged."""
    fulltext.make(connection)
    messages = characters = 0
    full = False
    for number, text in _unindexed(connection, contexts):
        full = messages >= PART_MESSAGES or characters >= PART_CHARACTERS
        if full:
            break
        with fulltext.damage_told():
            fulltext.add(connection, number, text)
        messages, characters = messages + 1, characters + len(text)
    fulltext.seal_it(connection)
    return full


def _unindexed(connection: sqlite3.Connection, contexts: Sequence[ContextRow]) -> Iterator[tuple[int, str]]:
    for numbers in (numbers_of(context.number) for context in contexts):
        last = fulltext.last_number(connection, numbers)
        beginning = numbers.start - 1 if last is None else last
        with closing(connection.execute(_UNINDEXED, (beginning, numbers.stop))) as rows:
            for number, content in rows:
                yield number, separated((content or b"").decode("utf-8", "replace"))


def find(connection: sqlite3.Connection, contexts: Sequence[ContextRow], expression: str, limit: int) -> list[Found]:
    """The best first, by BM25; among equals the newest. IndexDamaged where the index names what does not match;
    StoreDamaged where a message that was found is not what was said."""
    ids = {context.number: context.record.id for context in contexts}
    found = []
    with Excerpts(expression) as excerpts:
        for number in _best(connection, ids, expression, limit):
            message = message_from_row(connection.execute(_MESSAGE, (number,)).fetchone())
            excerpt = excerpts.of(message.content)
            if excerpt is None:
                raise fulltext.IndexDamaged
            found.append(Found(ids[number >> SEQUENCE_BITS], message, excerpt))
    return found


def _best(connection: sqlite3.Connection, contexts: Collection[int], expression: str, limit: int) -> list[int]:
    """The numbers of the messages. Of equals at the end all are compared, however many they are."""
    chosen: list[tuple[float, int]] = []
    with fulltext.damage_told(), closing(connection.execute(_RANKED, (expression,))) as rows:
        for rank, number in rows:
            if len(chosen) >= limit and rank > chosen[-1][0]:
                break
            if number >> SEQUENCE_BITS in contexts:
                chosen.append((rank, number))
    by_age = [(rank, -_said_at(connection, number), -number) for rank, number in chosen]
    return [-number for _, _, number in sorted(by_age)[:limit]]


def _said_at(connection: sqlite3.Connection, number: int) -> int:
    row = connection.execute(_SAID_AT, (number,)).fetchone()
    if row is None:
        raise fulltext.IndexDamaged
    return int(row[0])
