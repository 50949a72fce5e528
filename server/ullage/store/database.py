"""A connection to SQLite: how it is set, how transactions begin and end, and what its errors mean to a person."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from ullage.errors import ContextBusy, InvalidArgument, StoreDamaged, StoreFull, UllageError

APPLICATION_ID = 0x556C6C67
"""Marks a database as ours ("Ullg"), in the file's header."""

BUSY_TIMEOUT_MS = 5000

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR}
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_READ_ONLY = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}


def connect(database: Path, *, mode: Literal["rw", "ro"] = "rw") -> sqlite3.Connection:
    """Open a database that exists. Transactions are begun by hand; the connection may go from thread to thread, but
    only one may use it at a time. sqlite3.Error as it comes."""
    connection = sqlite3.connect(
        f"{database.as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=BUSY_TIMEOUT_MS / 1000,
    )
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        if mode == "rw":
            _prepare_for_writing(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def identity(database: str) -> tuple[int, int] | None:
    """Which file is at this place now; None where there is none."""
    try:
        status = os.stat(database)  # noqa: PTH116  # at every commit: making a path would take longer than the call
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _prepare_for_writing(connection: sqlite3.Connection) -> None:
    (journal,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if journal != "wal":
        raise StoreDamaged(_SENTENCES["damaged"])
    # FULL syncs the log at every commit, so that what was acknowledged outlives a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything inside becomes durable together when the block ends, or nothing does."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        _roll_back(connection)
        raise


@contextmanager
def reading(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything read inside is of one moment, whatever other processes commit meanwhile."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        _roll_back(connection)


def _roll_back(connection: sqlite3.Connection) -> None:
    # SQLite has rolled back by itself after some errors (a full disk, a failed read).
    if connection.in_transaction:
        connection.execute("ROLLBACK")


@contextmanager
def errors_explained() -> Iterator[None]:
    """Turn SQLite's errors into ours: StoreFull, StoreDamaged, ContextBusy. Nothing of the data gets into them."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError):
        raise  # a mistake of this program, not of the disk
    except sqlite3.Error as error:
        raise _explained(error) from error
    except UnicodeDecodeError:
        # SQLite's message quotes what it found damaged, and Python can't read the message.
        raise StoreDamaged(_SENTENCES["damaged"]) from sqlite3.DatabaseError("unreadable")
    except UnicodeEncodeError:
        text = "The text holds half of a surrogate pair, which no file can keep. Send well-formed Unicode."
        # The original error carries the text itself.
        raise InvalidArgument(text, "messages") from None


def _explained(error: sqlite3.Error) -> UllageError:
    # Where Python itself found text that is not UTF-8 there is no code.
    primary = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if primary in _LOCKED:
        return ContextBusy(_SENTENCES["locked"], reason="elsewhere", holder=None)
    if primary in _READ_ONLY:
        return StoreFull(_SENTENCES["read-only"])
    if primary in _DAMAGED:
        return StoreDamaged(_SENTENCES["damaged"])
    # A full disk has many codes: FULL, IOERR of many kinds, CANTOPEN for a log that can't be made.
    return StoreFull(_SENTENCES["full"])


_SENTENCES = {
    "locked": "Another process has been writing to the store for too long. Try again in a moment.",
    "full": "The disk took no more, so nothing was saved. Free some space on it, then try again.",
    "read-only": "The store may not be written to, so nothing was saved. Check the permissions of the storage folder.",
    "damaged": "The store is damaged. Restart Ullage: it sets a damaged file aside and goes on with a fresh one.",
}
