"""Byte-level vocabularies: every byte is a token, spelt as a printable character, and merges make the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ullage.tokens.byte_pairs import WHOLE, BytePairEncoder, cut
from ullage.tokens.pretokenizers import PreTokenizer, UnsupportedVocabulary
from ullage.tokens.text_encoder import PieceIds, well_formed


def byte_level_encoder(
    name: str, ids: Mapping[str, int], merges: Iterable[bytes], rule: PreTokenizer
) -> ByteLevelEncoder | WordEncoder:
    """``ids`` by token text, ``merges`` the best first. Where one pattern cuts the text into words, tiktoken applies it
    itself."""
    ranks, tokens = _ranks(ids, merges, rule)
    silent = {rank for rank, id_ in enumerate(tokens) if id_ < 0}
    if len(rule.patterns) == 1:
        return ByteLevelEncoder(BytePairEncoder(name, rule.patterns[0], ranks, silent), tokens)
    return WordEncoder(BytePairEncoder(name, WHOLE, ranks, silent), tokens, rule.patterns)


class ByteLevelEncoder:
    """``ids`` are those of the ranks that ``pairs`` answers."""

    inline_characters = 1 << 16

    def __init__(self, pairs: BytePairEncoder, ids: Sequence[int]) -> None:
        self._pairs = pairs
        self._ids = ids

    def count(self, text: str) -> int:
        return self._pairs.count(text)

    def encode(self, text: str) -> list[int]:
        return [self._ids[rank] for rank in self._pairs.encode(text)]


class WordEncoder:
    """The same for text that several patterns cut into words, one after another."""

    inline_characters = 1 << 13

    def __init__(self, pairs: BytePairEncoder, ids: Sequence[int], patterns: Sequence[str]) -> None:
        self._patterns = tuple(patterns)
        self._words = PieceIds(lambda word: [ids[rank] for rank in pairs.encode(word)])

    def count(self, text: str) -> int:
        return self._words.count(self._cut(text))

    def encode(self, text: str) -> list[int]:
        return self._words.encode(self._cut(text))

    def _cut(self, text: str) -> list[str]:
        return cut(well_formed(text)[0], *self._patterns)


def _byte_letters() -> dict[int, int]:
    """GPT-2's way to spell bytes as printable characters, backwards; other characters below 324 become U+FFFF.

    Source: ``bytes_to_unicode`` in https://github.com/openai/gpt-2/blob/master/src/encoder.py
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    letters = {0x100 + number: byte for number, byte in enumerate(others)}
    return {**dict.fromkeys(others, 0xFFFF), **{byte: byte for byte in printable}, **letters}


_LETTERS = _byte_letters()
_LETTER_OF_BYTE = {byte: chr(letter) for letter, byte in _LETTERS.items() if byte != 0xFFFF}


def _bytes_of(text: str) -> bytes | None:
    """The bytes that a token's text spells; None for a text that is not in GPT-2's letters."""
    try:
        return text.translate(_LETTERS).encode("latin-1")
    except UnicodeEncodeError:
        return None


def _ranks(ids: Mapping[str, int], merges: Iterable[bytes], rule: PreTokenizer) -> tuple[dict[bytes, int], list[int]]:
    """Ranks for tiktoken, and the token of each rank (-1: a byte that is no token; it is merged like any other).

    The 256 bytes come first, then what merges make, in the order of the merges. tiktoken merges any two neighbours
    whose bytes together have a rank, whatever pair the file names; that is the same as long as no token has a rank that
    has no merge, so such tokens are left out, or taken only where they can't be put together from two others.
    """
    ranks = {bytes([byte]): byte for byte in range(256)}
    tokens = [ids.get(_LETTER_OF_BYTE[byte], -1) for byte in range(256)]
    for merge in merges:
        blank = merge.find(b" ", 1)
        if blank < 0:
            continue
        text = (merge[:blank] + merge[blank + 1 :]).decode(errors="replace")
        piece = _bytes_of(text)
        if piece is None or piece in ranks:
            continue
        if text not in ids:
            raise UnsupportedVocabulary("a merge makes something that is no token")
        ranks[piece] = len(tokens)
        tokens.append(ids[text])
    if rule.whole_words:
        _add_whole_words(ranks, tokens, ids, rule.patterns)
    return ranks, tokens


def _add_whole_words(
    ranks: dict[bytes, int], tokens: list[int], ids: Mapping[str, int], patterns: Sequence[str]
) -> None:
    """Give ranks to tokens that no merge makes but that are taken where they are a whole word."""
    unmade = {piece: id_ for text, id_ in ids.items() if (piece := _bytes_of(text)) and piece not in ranks}
    words = {piece: id_ for piece, id_ in unmade.items() if _is_word(piece, patterns)}
    for piece in words:
        if any(piece[:at] in ranks and piece[at:] in ranks for at in range(1, len(piece))):
            raise UnsupportedVocabulary("a token without a merge can be put together from two others")
    for piece, id_ in words.items():
        ranks[piece] = len(tokens)
        tokens.append(id_)


def _is_word(piece: bytes, patterns: Sequence[str]) -> bool:
    """Whether the pre-tokeniser can give this very piece; part of a character is never one."""
    try:
        return cut(piece.decode(), *patterns) == [piece.decode()]
    except UnicodeDecodeError:
        return False
