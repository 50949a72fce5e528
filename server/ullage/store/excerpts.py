"""The piece of a message around the words that were searched for."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from ullage.store.wording import TOKENIZER, joined, separated

LONGEST = 600
"""In characters. FTS5 counts words, and a word may be as long as a message."""

PIECE = 4096
"""In characters. FTS5 compares every hit of a text with every other to find the best excerpt, which takes hours where
a log of some megabytes holds one word all over."""

_WORDS = 32
_BEGIN, _END = "\x02", "\x03"
_MARK, _MORE = "**", "…"
_TERM = re.compile(r'"[^"]*"(?: \*)?')


class Excerpts:
    """For one search: a table in memory that holds one text at a time, so that FTS5 finds the words by the same rules
    once more. ``expression`` is one of `ullage.store.wording.match_expression`. Close it."""

    def __init__(self, expression: str) -> None:
        self._all = expression
        self._any = " OR ".join(_TERM.findall(expression))
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
        text = separated(content)
        self._hold(text)
        if not self._has(self._all):
            return None
        excerpt = self._snippet(self._all) if len(text) <= PIECE else self._of_long(text)
        return _shortened(joined(excerpt)).replace(_BEGIN, _MARK).replace(_END, _MARK)

    def _of_long(self, text: str) -> str:
        """Of the first piece that holds all the words, or else any of them; a phrase may stand across two pieces."""
        holds_any: str | None = None
        for piece in _pieces(text):
            self._hold(piece)
            if self._has(self._all):
                return self._within(piece, text, self._all)
            if holds_any is None and self._has(self._any):
                holds_any = piece
        if holds_any is None:
            return text[:LONGEST] + _MORE
        self._hold(holds_any)
        return self._within(holds_any, text, self._any)

    def _within(self, piece: str, text: str, expression: str) -> str:
        """The excerpt of a piece, with dots where the text goes on beyond it."""
        excerpt = self._snippet(expression)
        before = "" if text.startswith(piece) or excerpt.startswith(_MORE) else _MORE
        after = "" if text.endswith(piece) or excerpt.endswith(_MORE) else _MORE
        return before + excerpt.strip() + after

    def _hold(self, text: str) -> None:
        self._connection.execute("DELETE FROM said")
        self._connection.execute("INSERT INTO said VALUES (?)", (text,))

    def _has(self, expression: str) -> bool:
        return self._connection.execute("SELECT 1 FROM said WHERE said MATCH ?", (expression,)).fetchone() is not None

    def _snippet(self, expression: str) -> str:
        sql = f"SELECT snippet(said, 0, ?, ?, '{_MORE}', ?) FROM said WHERE said MATCH ?"  # noqa: S608  # a constant
        (excerpt,) = self._connection.execute(sql, (_BEGIN, _END, _WORDS, expression)).fetchone()
        return str(excerpt)


def _pieces(text: str) -> Iterator[str]:
    """In their order, none longer than PIECE, and no word in two of them that is not as long as a piece itself."""
    start = 0
    while start < len(text):
        end = start + PIECE
        if end < len(text):
            blank = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
            end = blank if blank > start else end
        yield text[start:end]
        start = end


def _shortened(excerpt: str) -> str:
    if len(excerpt) <= LONGEST:
        return excerpt
    start = max(excerpt.find(_BEGIN) - LONGEST // 4, 0)
    piece = excerpt[start : start + LONGEST]
    if piece.count(_BEGIN) > piece.count(_END):
        piece += _END
    return (_MORE if start else "") + piece + (_MORE if start + LONGEST < len(excerpt) else "")
