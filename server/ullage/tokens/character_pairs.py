"""Merging characters into tokens, the best pair first: SentencePiece's way, in which blanks are ``▁`` and words are not
cut apart beforehand.

Two kinds of file ask for it. With scores (Gemma 1 to 3, Llama 2, Mistral) a pair is as good as the token that it makes,
so the rank is looked up by the joined text. With merges (Gemma 4) it is as good as its place in the list, so it is
looked up by both parts with a blank in between, which no part holds. Source of both: ``llm_tokenizer_spm_session`` and
``llm_tokenizer_bpe_session`` in llama.cpp's ``src/llama-vocab.cpp``; equal ranks are merged from the left there and
here.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from itertools import pairwise

from ullage.tokens.text_encoder import PieceIds, well_formed

BLANK = "▁"

FEW = 96
"""Characters up to which looking at every pair before each merge is quicker than keeping a heap of them."""

_NEVER = 0x7FFFFFFF
_POSITION_BITS = 40
_POSITION = (1 << _POSITION_BITS) - 1


class CharacterPairEncoder:
    """``ids`` by token text; ``ranks`` of what merging makes, see above, the lowest first, ``separator`` between the
    parts; ``makes`` are the texts that merging makes. ``prefix`` is put before every text. A character that no merge
    takes up and that is no token becomes the tokens of its bytes, as far as ``byte_ids`` has them. ``lines``: texts are
    cut before and behind newlines whatever merging makes; ``whole_newlines``: a run of them that is a token is taken
    whole.
    """

    inline_characters = 1 << 11

    def __init__(
        self,
        ids: Mapping[str, int],
        ranks: Mapping[str, int],
        makes: Iterable[str],
        byte_ids: Mapping[int, int],
        *,
        separator: str = "",
        prefix: str = "",
        lines: bool = False,
        whole_newlines: bool = False,
    ) -> None:
        self._ids = ids
        self._ranks = ranks
        self._byte_ids = byte_ids
        self._separator = separator
        self._prefix = prefix
        self._whole = {text for text in ids if not text.strip("\n")} if whole_newlines else set[str]()
        self._pieces = _cutter(makes, lines=lines)
        self._known = PieceIds(self._merged)

    def count(self, text: str) -> int:
        return self._known.count(self._cut(text))

    def encode(self, text: str) -> list[int]:
        return self._known.encode(self._cut(text))

    def _cut(self, text: str) -> list[str]:
        text, _ = well_formed(text)
        pieces: list[str] = self._pieces.findall(f"{self._prefix}{text}".replace(" ", BLANK)) if text else []
        return pieces

    def _merged(self, piece: str) -> list[int]:
        if piece in self._whole:
            return [self._ids[piece]]
        merge = merge_few if len(piece) <= FEW else merge_many
        ids: list[int] = []
        for symbol in merge(piece, self._ranks, self._separator):
            id_ = self._ids.get(symbol)
            if id_ is not None:
                ids.append(id_)
            else:
                ids += [self._byte_ids[byte] for byte in symbol.encode() if byte in self._byte_ids]
        return ids


def merge_few(text: str, ranks: Mapping[str, int], separator: str) -> list[str]:
    """The symbols that are left of ``text`` once neighbours have been merged as long as any pair has a rank: the lowest
    first, of equal ones that from the left."""
    symbols = list(text)
    pairs = [ranks.get(left + separator + right, _NEVER) for left, right in pairwise(symbols)]
    while pairs and (best := min(pairs)) != _NEVER:
        at = pairs.index(best)
        symbols[at] += symbols.pop(at + 1)
        del pairs[at]
        if at < len(pairs):
            pairs[at] = ranks.get(symbols[at] + separator + symbols[at + 1], _NEVER)
        if at:
            pairs[at - 1] = ranks.get(symbols[at - 1] + separator + symbols[at], _NEVER)
    return symbols


def merge_many(text: str, ranks: Mapping[str, int], separator: str) -> list[str]:
    """The same in n log n steps and at most some 60 bytes a character, for a text of any length.

    A heap holds rank and position of every pair that could be merged. An entry is void where the pair at its position
    has another rank by now: pairs change only by merging, and then are entered anew.
    """
    length = len(text)
    ends = array("i", range(1, length + 1))  # of the symbol that begins at a position
    before = array("i", range(-1, length))
    waiting = array("i", [_NEVER]) * length
    heap: list[int] = []

    def enter(left: int) -> None:
        middle = ends[left]
        rank = _NEVER
        if middle < length:
            rank = ranks.get(text[left:middle] + separator + text[middle : ends[middle]], _NEVER)
        waiting[left] = rank
        if rank != _NEVER:
            heappush(heap, rank << _POSITION_BITS | left)

    for start in range(length):
        enter(start)
    while heap:
        entry = heappop(heap)
        left = entry & _POSITION
        if waiting[left] != entry >> _POSITION_BITS:
            continue
        right = ends[left]
        waiting[right] = _NEVER
        ends[left] = ends[right]
        if ends[left] < length:
            before[ends[left]] = left
        enter(left)
        if left:
            enter(before[left])
    return list(_symbols(text, ends))


def _symbols(text: str, ends: Sequence[int]) -> Iterator[str]:
    start = 0
    while start < len(text):
        yield text[start : ends[start]]
        start = ends[start]


def _cutter(makes: Iterable[str], *, lines: bool) -> re.Pattern[str]:
    """What finds the pieces of a text that can be merged each by itself.

    Between two characters that stand next to each other in nothing that merging makes, no merge ever takes place; and
    what happens on one side does not depend on the other, since only the order among pairs of the same side counts.
    Looked for are such places where they are frequent: before a run of ▁, and around newlines.
    """
    joined = " ".join(makes)  # no blank is ever merged: all have become ▁
    lines = lines or not re.search(r"\n[^\n ]|[^\n ]\n", joined)
    newline = r"\n" if lines else ""
    tied = set(re.findall(rf"([^{BLANK} {newline}]){BLANK}", joined))
    word = rf"{BLANK}*[^{BLANK}{newline}]+"
    if tied:
        word += rf"(?:(?<=[{_class(tied)}]){BLANK}+[^{BLANK}{newline}]*)*"
    return re.compile((r"\n+|" if lines else "") + rf"{word}|{BLANK}+")


def _class(characters: Collection[str]) -> str:
    return "".join(map(re.escape, sorted(characters)))
