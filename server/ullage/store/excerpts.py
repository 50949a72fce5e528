"""The piece of a message around the words that were searched for."""

from __future__ import annotations

import sqlite3
from types import TracebackType
from typing import Self

from ullage.store.wording import TOKENIZER, joined, separated

LONGEST = 600
"""In characters. FTS5 counts words, and a word may be as long as a message."""

_WORDS = 32
_BEGIN, _END = "\x02", "\x03"
_MARK = "**"


class Excerpts:
    """For one search: a table in memory that holds one message at a time, so that FTS5 finds the words by the same
    rules once more. Close it."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.execute(f'CREATE VIRTUAL TABLE said USING fts5(content, tokenize="{TOKENIZER}")')

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    def of(self, content: str) -> str | None:
        """With ** before and after each hit; None where the words don't occur."""
        self._connection.execute("DELETE FROM said")
        self._connection.execute("INSERT INTO said VALUES (?)", (separated(content),))
        sql = "SELECT snippet(said, 0, ?, ?, '…', ?) FROM said WHERE said MATCH ?"
        row = self._connection.execute(sql, (_BEGIN, _END, _WORDS, self._expression)).fetchone()
        return None if row is None else _shortened(joined(row[0])).replace(_BEGIN, _MARK).replace(_END, _MARK)


def _shortened(excerpt: str) -> str:
    if len(excerpt) <= LONGEST:
        return excerpt
    start = max(excerpt.find(_BEGIN) - LONGEST // 4, 0)
    piece = excerpt[start : start + LONGEST]
    if piece.count(_BEGIN) > piece.count(_END):
        piece += _END
    return ("…" if start else "") + piece + ("…" if start + LONGEST < len(excerpt) else "")
