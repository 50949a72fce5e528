"""Byte-pair encoding by tiktoken, made exact where tiktoken gives up or a vocabulary has gaps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from itertools import chain
from typing import Any

STRIDE = 1 << 16
"""Characters between two looks for blanks. tiktoken's pattern engine aborts on about a million blanks in a row; a run
of twice this length can't hide between two looks, and looking costs next to nothing."""


class BytePairEncoder:
    """Cuts text by ``pattern`` and merges the bytes of each piece by ``ranks`` (lowest first).

    ``silent``: ranks that are no tokens of the vocabulary (bytes that it lacks) and so are left out of every answer.
    Built when first used, in some 60 ms for 50,000 ranks.
    """

    def __init__(
        self, name: str, pattern: str, ranks: Mapping[bytes, int], silent: Collection[int] = frozenset()
    ) -> None:
        self._name = name
        self._pattern = pattern
        self._ranks = dict(ranks)
        self._silent = frozenset(silent)
        self._silent_bytes = bytes(piece[0] for piece, rank in ranks.items() if rank in self._silent)

    def count(self, text: str) -> int:
        """How many tokens ``encode`` would answer, without sifting them where nothing can be silent."""
        text, data = _well_formed(text)
        ranks = self._ranks_of(text)
        if self._silent_bytes and len(data.translate(None, self._silent_bytes)) != len(data):
            return sum(rank not in self._silent for rank in ranks)
        return len(ranks)

    def encode(self, text: str) -> list[int]:
        """The ranks of ``text``'s tokens. A lone surrogate is read as U+FFFD."""
        text, _ = _well_formed(text)
        return [rank for rank in self._ranks_of(text) if rank not in self._silent]

    def _ranks_of(self, text: str) -> list[int]:
        if has_long_blank_run(text):
            return list(chain.from_iterable(map(self._pieces.encode_ordinary, cut(text, self._pattern))))
        ranks: list[int] = self._encoding.encode_ordinary(text)
        return ranks

    @cached_property
    def _encoding(self) -> Any:
        return self._build(self._pattern)

    @cached_property
    def _pieces(self) -> Any:
        """The same merges for pieces that are cut already."""
        return self._build(r"(?s:.+)")

    def _build(self, pattern: str) -> Any:
        import tiktoken  # noqa: PLC0415  # loads a native library, and not every session counts with it

        return tiktoken.Encoding(self._name, pat_str=pattern, mergeable_ranks=self._ranks, special_tokens={})


def cut(text: str, pattern: str) -> list[str]:
    """The pieces of ``text``, found by another engine than tiktoken's, which shows none and gives up on long ones."""
    import regex  # type: ignore[import-untyped]  # noqa: PLC0415  # untyped; needed only where tiktoken gives up

    pieces: list[str] = regex.findall(pattern, text, regex.V1)
    return pieces


def has_long_blank_run(text: str) -> bool:
    """True for every text with ``2 * STRIDE`` blanks in a row, false where no ``STRIDE`` stand in a row."""
    return any(
        text[start : start + 64].isspace() and text[start : start + STRIDE].isspace()
        for start in range(0, len(text) - STRIDE + 1, STRIDE)
    )


def _well_formed(text: str) -> tuple[str, bytes]:
    """``text`` and its UTF-8; a lone surrogate, which no encoding can carry, becomes U+FFFD."""
    try:
        return text, text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return text, text.encode()
