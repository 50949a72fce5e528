"""What turns plain text into the tokens of one vocabulary, and what such encoders have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

LONGEST_KEPT = 64
"""Characters. Words come again; what is longer hardly does, and would fill the room of many."""

CAPACITY = 1 << 16
"""Pieces kept by one encoder: some 20 MB at most."""


class TextEncoder(Protocol):
    """Text without special tokens in it. An encoder may be used from several threads at once."""

    @property
    def inline_characters(self) -> int:
        """How much text is encoded in some 10 ms at most, even where nothing of it has been seen before."""

    def count(self, text: str) -> int:
        """How many tokens ``encode`` would answer."""

    def encode(self, text: str) -> list[int]:
        """The ids of the tokens. A lone surrogate is read as U+FFFD."""


class PieceIds(dict[str, tuple[int, ...]]):
    """The ids of pieces of text, found by ``encode`` when first asked for and kept while there is room."""

    def __init__(self, encode: Callable[[str], Sequence[int]]) -> None:
        super().__init__()
        self._encode = encode

    def __missing__(self, piece: str) -> tuple[int, ...]:
        ids = tuple(self._encode(piece))
        if len(piece) <= LONGEST_KEPT:
            if len(self) >= CAPACITY:
                self.clear()
            self[piece] = ids
        return ids

    def count(self, pieces: Sequence[str]) -> int:
        return sum(map(len, map(self.__getitem__, pieces)))

    def encode(self, pieces: Sequence[str]) -> list[int]:
        return [id_ for piece in pieces for id_ in self[piece]]


def well_formed(text: str) -> tuple[str, bytes]:
    """``text`` and its UTF-8; a lone surrogate, which no encoding can carry, becomes U+FFFD."""
    try:
        return text, text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return text, text.encode()
