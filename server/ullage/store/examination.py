"""Looking for damage: cheaply whenever the store is opened, in full when asked or when there is a suspicion.

What SQLite can't see, a flipped bit inside a value, the seals show; each row is tested again whenever it is read.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

from ullage.errors import NotSupported, StoreDamaged
from ullage.store import migrations
from ullage.store.database import APPLICATION_ID, connect, reading
from ullage.store.folder import StorageFolder
from ullage.store.rows import CONTEXT_COLUMNS, MESSAGE_COLUMNS, OPERATION_COLUMNS, is_whole

_SEALED_COLUMNS = {
    "context": CONTEXT_COLUMNS,
    "message": MESSAGE_COLUMNS,
    "operation": OPERATION_COLUMNS,
    "factor": "key, value, seal",
}


def examine(folder: StorageFolder) -> None:
    """Look as far as that costs a few milliseconds, and in full where the database has shown damage in use.

    StoreDamaged; NotSupported where the database is newer than this program; sqlite3.Error as it comes. Nothing is
    written to the database.
    """
    size, log_size = folder.database.stat().st_size, _size_of_log(folder)
    if size == 0 and log_size == 0:
        return
    if size == 0:
        # SQLite would delete the log.
        raise StoreDamaged("The database is empty, and its log is not.")
    with closing(connect(folder.database, mode="ro")) as connection, reading(connection):
        _examine_header(connection, size, log_size)
        version = examine_schema(connection)
        if version > 0:
            look = _every_table if folder.suspect.exists() else _contexts_only
            if look(connection, version):
                raise StoreDamaged("The database is damaged.")
    folder.suspect.unlink(missing_ok=True)


def check(connection: sqlite3.Connection) -> list[str]:
    """Every page, every index against its table, every seal: what is found, in words that hold nothing of the data."""
    try:
        with reading(connection):
            return _every_table(connection, len(migrations.MIGRATIONS))
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        return ["the database can't be read to its end"]


def examine_schema(connection: sqlite3.Connection) -> int:
    """Return the version. StoreDamaged where the tables are not those of that version; NotSupported where it is newer
    than this program; sqlite3.Error as it comes."""
    version, found = migrations.version(connection), migrations.schema(connection)
    if version > len(migrations.MIGRATIONS):
        (recorded,) = connection.execute("SELECT count(*) FROM migration").fetchone()
        if recorded == version:
            raise NotSupported("A newer version of Ullage wrote this store. Update Ullage to open it.")
        raise StoreDamaged("The database's version is not the one that was recorded.")
    # Version 0 may be empty: its maker was killed before it had made anything.
    if found != migrations.schema_at(version) and (found or version):
        raise StoreDamaged("The database's tables are not those that were made.")
    return version


def _every_table(connection: sqlite3.Connection, version: int) -> list[str]:
    broken = [finding for table in _SEALED_COLUMNS for finding in _broken_rows(connection, table, version)]
    return _findings(connection, "integrity_check") + broken


def _contexts_only(connection: sqlite3.Connection, version: int) -> list[str]:
    """Few rows, which everything else hangs on."""
    return _findings(connection, "integrity_check(context)") + _broken_rows(connection, "context", version)


def _findings(connection: sqlite3.Connection, pragma: str) -> list[str]:
    found = [text for (text,) in connection.execute(f"PRAGMA {pragma}").fetchall() if text != "ok"]
    # From 3.44 on SQLite looks into the search index, too, which is emptied where it is damaged and costs nothing else.
    return [text for text in found if "inverted index" not in text]


def _broken_rows(connection: sqlite3.Connection, table: str, version: int) -> list[str]:
    columns = migrations.FIRST_CONTEXT_COLUMNS if (table, version) == ("context", 1) else _SEALED_COLUMNS[table]
    rows = connection.execute(f"SELECT {columns} FROM {table}")  # noqa: S608  # constants
    broken = sum(not is_whole(row) for row in rows)
    return [f"{broken} rows of {table} are not what was written"] if broken else []


def _examine_header(connection: sqlite3.Connection, size: int, log_size: int) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application not in (0, APPLICATION_ID):
        raise StoreDamaged("The database is not one of ours.")
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    # SQLite takes a file of less than a page for a new one; pages beyond the file's end can only be in the log.
    if pages == 0 or (pages * page_size > size and log_size == 0):
        raise StoreDamaged("The database ends too early.")


def _size_of_log(folder: StorageFolder) -> int:
    log = folder.companion("-wal")
    return log.stat().st_size if log.exists() else 0
