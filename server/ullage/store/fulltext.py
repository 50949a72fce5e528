"""The table of the search index: FTS5 without a copy of the texts.

It is a cache that is made at the first search and can be emptied at any time. So it is no step of the migrations: a
SQLite without FTS5 opens the store all the same, and the tables that FTS5 keeps for itself may differ from version to
version.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager

from ullage.errors import NotSupported
from ullage.store.wording import TOKENIZER

TABLE = "search_index"
CREATE = f"""CREATE VIRTUAL TABLE {TABLE} USING fts5(content, content='', tokenize="{TOKENIZER}")"""

_INTERNAL = tuple(f"{TABLE}_{part}" for part in ("data", "idx", "docsize", "config"))
_TABLES = {TABLE, *_INTERNAL}

# FTS5 has no code of its own for a form that it doesn't know, nor for numbers that don't fit together.
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT)


class IndexDamaged(Exception):
    """The index has to be emptied; nothing that was said is concerned."""


def without_index(schema: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Rows of type, name, table and statement but for those of the index, where it is there as it was made."""
    own = [row for row in schema if row[2] in _TABLES]
    made = {name for _, name, *_ in own} == _TABLES and any(sql == CREATE for *_, sql in own)
    return [row for row in schema if row not in own] if made else schema


def is_available(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'").fetchone() is not None


def require(connection: sqlite3.Connection) -> None:
    """NotSupported where SQLite was built without FTS5."""
    if not is_available(connection):
        text = "This Python's SQLite has no full-text search (FTS5). Run Ullage with another build of Python."
        raise NotSupported(text)


def exists(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (TABLE,)).fetchone() is not None


def make(connection: sqlite3.Connection) -> None:
    if not exists(connection):
        connection.execute(CREATE)


def add(connection: sqlite3.Connection, number: int, text: str) -> None:
    connection.execute(f"INSERT INTO {TABLE} (rowid, content) VALUES (?, ?)", (number, text))  # noqa: S608  # a constant


def last_number(connection: sqlite3.Connection, numbers: range) -> int | None:
    """The greatest of these numbers that the index holds."""
    sql = f"SELECT max(id) FROM {TABLE}_docsize WHERE id >= ? AND id < ?"  # noqa: S608  # a constant
    (last,) = connection.execute(sql, (numbers.start, numbers.stop)).fetchone()
    return None if last is None else int(last)


def empty(connection: sqlite3.Connection) -> None:
    """Take everything out. A single text can't be taken out for good: FTS5 notes that it is gone, and keeps its words
    until it has merged the segments that hold them."""
    if not exists(connection):
        return
    pristine = _pristine() if is_available(connection) else {}
    for table in _INTERNAL:
        connection.execute(f"DELETE FROM {table}")  # noqa: S608  # a constant
        for row in pristine.get(table, ()):
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608  # a constant
    # Without FTS5 nothing but empty tables is left, which the next search with it finds damaged and puts in order.
    if pristine:
        connection.execute(f"INSERT INTO {TABLE} ({TABLE}) VALUES ('delete-all')")  # noqa: S608  # a constant
        seal_it(connection)


def _pristine() -> dict[str, list[tuple[object, ...]]]:
    """What FTS5 puts into its tables when it makes them. Where they are damaged it can't even empty them."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(CREATE)
        return {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in _INTERNAL}  # noqa: S608  # constants


def seal_it(connection: sqlite3.Connection) -> None:
    """Note what the index is, in the transaction that changed it: FTS5 takes many a flipped bit for an answer."""
    # FTS5 writes what it was given at the end of a transaction, or where a savepoint stands.
    connection.execute("SAVEPOINT written")
    connection.execute("RELEASE written")
    connection.execute("DELETE FROM index_seal")
    connection.execute("INSERT INTO index_seal (seal) VALUES (?)", (_present_seal(connection),))


def is_whole(connection: sqlite3.Connection) -> bool:
    """Whether the index is what was written; reads all of it, some 40 milliseconds for 100,000 messages."""
    found = connection.execute("SELECT seal FROM index_seal").fetchall()
    return found == [(_present_seal(connection),)]


def _present_seal(connection: sqlite3.Connection) -> int:
    """Of the documents only which there are: how long each is matters to the order of the answers alone."""
    queries = (
        f"SELECT id, CAST(block AS BLOB) FROM {TABLE}_data ORDER BY id",  # noqa: S608  # a constant
        f"SELECT segid, CAST(term AS BLOB), pgno FROM {TABLE}_idx ORDER BY segid, term",  # noqa: S608  # a constant
        f"SELECT count(*), total(id) FROM {TABLE}_docsize",  # noqa: S608  # a constant
    )
    found = 0
    for query in queries:
        for row in connection.execute(query):
            for value in row:
                found = zlib.crc32(value if isinstance(value, bytes) else repr(value).encode(), found)
    return found


@contextmanager
def damage_told() -> Iterator[None]:
    """Turn what FTS5 says of its own tables into IndexDamaged."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
            raise IndexDamaged from error
        raise
    except UnicodeDecodeError as error:
        # In SQLite's own message.
        raise IndexDamaged from error
