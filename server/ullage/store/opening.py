"""Opening the store: examine the file, set it aside where it is damaged, bring it to the present form.

One process does this at a time. Others that have the file open go on using it; where it is set aside under them, they
find that out before they acknowledge anything (see ``Store``).
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from ullage.errors import ContextBusy, InvalidArgument, StoreDamaged, StoreFull
from ullage.store.database import connect, errors_explained
from ullage.store.examination import examine
from ullage.store.folder import COMPANIONS, FILE_MODE, StorageFolder
from ullage.store.migrations import migrate
from ullage.store.store import Store

OPENING_TIMEOUT_S = 30


@frozen
class Opened:
    """``set_aside`` is where a damaged database was moved to; None where the one that was there is in use."""

    store: Store
    set_aside: Path | None


def open_store(folder: StorageFolder) -> Opened:
    """Open the database, or make it.

    A damaged one is set aside, never deleted, and a fresh one started. NotSupported where a newer version wrote it,
    which leaves it untouched; StoreFull where the disk is full or may not be written; InvalidArgument where a folder or
    a link stands in a file's place; ContextBusy where another process opens it meanwhile, for longer than
    OPENING_TIMEOUT_S.
    """
    with _one_process_at_a_time(folder):
        try:
            return Opened(_open(folder), None)
        except StoreDamaged:
            aside = set_aside(folder)
            return Opened(_open(folder), aside)


def set_aside(folder: StorageFolder) -> Path:
    """Move the database, and what SQLite keeps beside it, to names that nobody opens. Returns the new name.

    StoreDamaged where another process keeps that from happening, as open files do on Windows.
    """
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    aside = folder.database.with_name(f"{folder.database.name}.broken-{stamp}-{time.time_ns() % 10**9:09}")
    try:
        # The database goes first: a log without its database is found damaged too, should this end in between.
        for ending in ("", *COMPANIONS):
            source = folder.companion(ending)
            if source.exists():
                source.rename(aside.with_name(aside.name + ending))
        folder.suspect.unlink(missing_ok=True)
    except OSError as error:
        text = "The store is damaged and in use. Close the other windows that use Ullage, then restart it."
        raise StoreDamaged(text) from error
    return aside


def _open(folder: StorageFolder) -> Store:
    _make_private(folder)
    with errors_explained():
        if folder.companion("-journal").exists():
            # A process ended while it made the database. SQLite undoes that, which the examination may not do.
            connect(folder.database).close()
        examine(folder)
        connection = connect(folder.database)
        try:
            with _read_only_by_damage(folder.database):
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            migrate(connection)
        except BaseException:
            connection.close()
            raise
    return Store(connection, folder)


def _make_private(folder: StorageFolder) -> None:
    """Make the database's file where there is none. SQLite gives its companions the mode that the database has."""
    files = [folder.companion(ending) for ending in ("", *COMPANIONS)]
    try:
        for file in files:
            _refuse_other_than_file(file)
        folder.database.touch(FILE_MODE)
        for file in files:
            if file.exists():
                file.chmod(FILE_MODE)
    except OSError as error:
        raise _unwritable() from error


def _refuse_other_than_file(path: Path) -> None:
    """InvalidArgument where a link, a folder or the like stands in the place of a file."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        text = f"{path.name}, in the storage folder, is a link or a folder. Move it away; a file belongs there."
        raise InvalidArgument(text, "storageDirectory")


def _unwritable() -> StoreFull:
    return StoreFull("The storage folder can't be written. Check its permissions and the disk's free space.")


@contextmanager
def _one_process_at_a_time(folder: StorageFolder) -> Iterator[None]:
    from filelock import FileLock, Timeout  # noqa: PLC0415  # takes 40 ms, which start-up need not wait for

    _refuse_other_than_file(folder.opening_lock)
    lock = FileLock(folder.opening_lock, timeout=OPENING_TIMEOUT_S, mode=FILE_MODE, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        text = "Another process has been opening the store for too long. Try again in a moment."
        raise ContextBusy(text, reason="elsewhere", holder=None) from error
    except OSError as error:
        raise _unwritable() from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _read_only_by_damage(database: Path) -> Iterator[None]:
    """SQLite takes an unknown format version in the header for a file that it may only read."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY and os.access(database, os.W_OK):
            raise StoreDamaged("The database's format is not the one that was written.") from error
        raise
