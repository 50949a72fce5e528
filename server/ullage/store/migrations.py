"""How the database came to its present form: one named function per step, in the order of their making.

A step and its recording are one transaction, so that a process killed in between leaves the old form or the new one.
A step that was released is never changed: the next one changes what it made.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from ullage.store import fulltext
from ullage.store.database import APPLICATION_ID, transaction
from ullage.store.rows import is_whole, seal

Migration = Callable[[sqlite3.Connection], None]


def first_form(connection: sqlite3.Connection) -> None:
    """Contexts, what was said in them, what the model sees of it, the log of operations, learned token factors.

    A message's number is its context's number in the upper 32 bits and its place in the history in the lower ones
    (see rows.py): a context's messages lie together, and paging through them needs no index. Rows of ``operation``
    ascend in the order of their commits, over all contexts. Every ``seal`` is a checksum, since SQLite has none.
    """
    for statement in _FIRST_FORM:
        connection.execute(statement)


_FIRST_FORM = (
    f"PRAGMA application_id = {APPLICATION_ID}",
    """CREATE TABLE context (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        workspace_uri TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        last_used_at INTEGER NOT NULL,
        mode TEXT,
        provider TEXT,
        model TEXT,
        system_prompt TEXT,
        dormant INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        said INTEGER NOT NULL,
        window_length INTEGER NOT NULL,
        window_digest INTEGER NOT NULL,
        pinned_digest INTEGER NOT NULL,
        carried_digest INTEGER NOT NULL,
        seal INTEGER NOT NULL,
        UNIQUE (workspace_uri, name)
    )""",
    """CREATE TABLE message (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        role TEXT NOT NULL,
        content TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        name TEXT,
        tool_calls TEXT,
        tool_call_id TEXT,
        reasoning TEXT,
        summary_of TEXT,
        seal INTEGER NOT NULL
    )""",
    """CREATE TABLE window (
        context INTEGER NOT NULL REFERENCES context (number),
        position INTEGER NOT NULL,
        message INTEGER NOT NULL,
        PRIMARY KEY (context, position)
    ) WITHOUT ROWID""",
    """CREATE TABLE pinned (
        context INTEGER NOT NULL REFERENCES context (number),
        message INTEGER NOT NULL,
        PRIMARY KEY (context, message)
    ) WITHOUT ROWID""",
    """CREATE TABLE carried (
        context INTEGER NOT NULL REFERENCES context (number),
        message INTEGER NOT NULL,
        PRIMARY KEY (context, message)
    ) WITHOUT ROWID""",
    """CREATE TABLE operation (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        context INTEGER NOT NULL REFERENCES context (number),
        kind TEXT NOT NULL,
        at INTEGER NOT NULL,
        origin TEXT NOT NULL,
        detail TEXT NOT NULL,
        change TEXT,
        undoes INTEGER,
        undone INTEGER NOT NULL,
        seal INTEGER NOT NULL
    )""",
    "CREATE INDEX operation_of_context ON operation (context)",
    "CREATE INDEX undo_of ON operation (undoes) WHERE undoes IS NOT NULL",
    "CREATE TABLE factor (key TEXT PRIMARY KEY, value REAL NOT NULL, seal INTEGER NOT NULL) WITHOUT ROWID",
)

FIRST_CONTEXT_COLUMNS = (
    "number, id, name, workspace_uri, created_at, last_used_at, mode, provider, model, system_prompt, dormant, "
    "revision, said, window_length, window_digest, pinned_digest, carried_digest, seal"
)
"""What a context's seal was computed over in the first form, and the seal."""


def masked_and_forgotten(connection: sqlite3.Connection) -> None:
    """Two more sets of messages: masked tool results, and the places of messages that were erased for good. A person's
    own system prompt, put by while a mode's is in force. The seal of the search index, which is made at the first
    search (see fulltext.py).

    A context's row has a digest of each, and its seal covers them. It has another name, so that a process of the older
    version that has the store open can't go on to write seals that cover less: it asks for an update. A row that was
    damaged before gets a seal that can't match.
    """
    rows = connection.execute(f"SELECT {FIRST_CONTEXT_COLUMNS} FROM context").fetchall()  # noqa: S608  # a constant
    for statement in _MASKED_AND_FORGOTTEN:
        connection.execute(statement)
    for row in rows:
        checksum = seal((*row[:-1], 0, 0, None))
        values = (checksum if is_whole(row) else checksum ^ 1, row[0])
        connection.execute("UPDATE context SET checksum = ? WHERE number = ?", values)


_MASKED_AND_FORGOTTEN = (
    "ALTER TABLE context RENAME COLUMN seal TO checksum",
    "ALTER TABLE context ADD COLUMN masked_digest INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE context ADD COLUMN forgotten_digest INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE context ADD COLUMN own_prompt TEXT",
    """CREATE TABLE masked (
        context INTEGER NOT NULL REFERENCES context (number),
        message INTEGER NOT NULL,
        PRIMARY KEY (context, message)
    ) WITHOUT ROWID""",
    """CREATE TABLE forgotten (
        context INTEGER NOT NULL REFERENCES context (number),
        message INTEGER NOT NULL,
        PRIMARY KEY (context, message)
    ) WITHOUT ROWID""",
    "CREATE TABLE index_seal (seal INTEGER NOT NULL)",
)

MIGRATIONS: tuple[Migration, ...] = (first_form, masked_and_forgotten)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Apply what is missing. sqlite3.Error as it comes."""
    connection.execute("CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL)")
    for number, migration in enumerate(migrations, start=1):
        if number > version(connection):
            with transaction(connection):
                migration(connection)
                connection.execute("INSERT INTO migration VALUES (?, ?)", (number, migration.__name__))
                connection.execute(f"PRAGMA user_version = {number}")


def version(connection: sqlite3.Connection) -> int:
    """How many steps were applied."""
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    return int(number)


def schema(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    """Tables and indices as SQLite keeps them, but for white space and the search index."""
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name")
    return fulltext.without_index([tuple(" ".join(str(value).split()) for value in row) for row in rows])


def schema_at(steps: int, migrations: Sequence[Migration] = MIGRATIONS) -> list[tuple[str, ...]]:
    """The schema that the first ``steps`` migrations make."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(connection, migrations[:steps])
        return schema(connection)
    finally:
        connection.close()
