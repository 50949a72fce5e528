"""Byte-pair encoding by tiktoken, made exact where tiktoken gives up or a vocabulary has gaps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any

from ullage.tokens.text_encoder import well_formed

STRIDE = 1 << 16
"""Characters between two looks for blanks. tiktoken's pattern engine aborts on about a million blanks in a row; a run
of twice this length can't hide between two looks, and looking costs next to nothing."""

WHOLE = r"(?s:.+)"
"""The pattern for text that is cut already."""


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
        text, data = well_formed(text)
        ranks = self._ranks_of(text)
        if self._silent_bytes and len(data.translate(None, self._silent_bytes)) != len(data):
            return sum(rank not in self._silent for rank in ranks)
        return len(ranks)

    def encode(self, text: str) -> list[int]:
        """The ranks of ``text``'s tokens. A lone surrogate is read as U+FFFD."""
        text, _ = well_formed(text)
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
        return self._build(WHOLE)

    def _build(self, pattern: str) -> Any:
        import tiktoken  # noqa: PLC0415  # loads a native library, and not every session counts with it

        return tiktoken.Encoding(self._name, pat_str=pattern, mergeable_ranks=self._ranks, special_tokens={})


def cut(text: str, *patterns: str) -> list[str]:
    """``text`` cut by each pattern in turn: into what matches and what is left between, as llama.cpp's
    ``unicode_regex_split`` does. By another engine than tiktoken's, which shows no pieces and gives up on long ones.
    The patterns have no groups that capture."""
    pieces = [text]
    for pattern in patterns:
        split = _splitter(pattern)
        pieces = [part for piece in pieces for part in split(piece) if part]
    return pieces


@lru_cache(maxsize=64)
def _splitter(pattern: str) -> Callable[[str], list[str]]:
    import regex  # type: ignore[import-untyped]  # noqa: PLC0415  # untyped; needed only by some vocabularies and texts

    split: Callable[[str], list[str]] = regex.compile(f"({pattern})", regex.V1).split
    return split


def has_long_blank_run(text: str) -> bool:
    """True for every text with ``2 * STRIDE`` blanks in a row, false where no ``STRIDE`` stand in a row."""
    return any(
        text[start : start + 64].isspace() and text[start : start + STRIDE].isspace()
        for start in range(0, len(text) - STRIDE + 1, STRIDE)
    )
