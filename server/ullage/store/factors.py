"""Token factors learned from the counts that model servers report."""

from __future__ import annotations

import sqlite3

from ullage.store.rows import is_whole, seal


def lookup(connection: sqlite3.Connection, key: str) -> float | None:
    """None also where the row is damaged: a factor is soon learned anew."""
    row = connection.execute("SELECT key, value, seal FROM factor WHERE key = ?", (key,)).fetchone()
    return row[1] if row is not None and is_whole(row) else None


def put(connection: sqlite3.Connection, key: str, value: float) -> None:
    row = (key, float(value))
    connection.execute("INSERT OR REPLACE INTO factor (key, value, seal) VALUES (?, ?, ?)", (*row, seal(row)))
