"""A model's own vocabulary, rebuilt from its GGUF file so that it counts what llama.cpp would."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from ullage.tokens.byte_pairs import BytePairEncoder, cut
from ullage.tokens.gguf import GgufError, GgufHeader
from ullage.tokens.pretokenizers import PreTokenizer, UnsupportedVocabulary, pretokenizer
from ullage.tokens.token_types import SpecialTokens, special_tokens

_KEY = "tokenizer.ggml."
_IDENTITY = tuple(_KEY + name for name in ("model", "pre", "tokens", "merges", "token_type", "add_bos_token"))
_FILL_IN_MIDDLE = {
    purpose: tuple(f"{_KEY}{name}_token_id" for name in names)
    for purpose, names in {
        "fim_pre": ("fim_pre", "prefix"),
        "fim_suf": ("fim_suf", "suffix"),
        "fim_mid": ("fim_mid", "middle"),
        "fim_pad": ("fim_pad",),
        "fim_rep": ("fim_rep",),
        "fim_sep": ("fim_sep",),
    }.items()
}


class Vocabulary:
    """Tokens of one model. Made by `read_vocabulary`; cheap to hold, its encoder is built at the first count.

    ``fingerprint`` is the same for every file with the same tokenizer. ``adds_bos``: llama.cpp puts the BOS token
    before every prompt. ``bos`` and ``eos`` are their texts, empty where the model has none. ``chat_template`` is the
    Jinja source that came with the file. ``special_texts`` is what has to be made harmless in contents; ``always_read``
    are the texts of tokens that are read in plain text too.
    """

    def __init__(
        self,
        fingerprint: str,
        ids: Mapping[str, int],
        merges: Iterable[bytes],
        rule: PreTokenizer,
        special: SpecialTokens,
        *,
        adds_bos: bool = False,
        bos: str = "",
        eos: str = "",
        chat_template: str | None = None,
    ) -> None:
        self.fingerprint = fingerprint
        self.adds_bos = adds_bos and bool(bos)
        self.bos = bos
        self.eos = eos
        self.chat_template = chat_template
        self.special_texts = special.markers
        self.always_read = frozenset(special.always)
        self._always = _longest_first(special.always)
        self._all = _longest_first({**special.always, **special.control})
        self._ranks, self._ids = _ranks(ids, merges, rule)
        self._encoder = BytePairEncoder(
            fingerprint, rule.pattern, self._ranks, {rank for rank, id_ in enumerate(self._ids) if id_ < 0}
        )

    def count(self, text: str) -> int:
        """Tokens of what a person wrote: text that spells a control token is plain text."""
        return self._count(text, self._always)

    def count_rendered(self, text: str) -> int:
        """Tokens of a rendered template, in which control tokens are read as such; no BOS token is added."""
        return self._count(text, self._all)

    def encode(self, text: str) -> list[int]:
        """The ids of what ``count`` counts."""
        ids: list[int] = []
        for part in _partition(text, self._always):
            ids += [part] if isinstance(part, int) else [self._ids[rank] for rank in self._encoder.encode(part)]
        return ids

    def begins_special(self, text: str) -> bool:
        """Whether a rendered text begins with a special token, so that it is tokenised apart from what is before it."""
        return text.startswith(self._openings)

    @cached_property
    def _openings(self) -> tuple[str, ...]:
        return tuple(text for text, _ in self._all)

    def _count(self, text: str, special: Sequence[tuple[str, int]]) -> int:
        parts = _partition(text, special)
        return sum(1 if isinstance(part, int) else self._encoder.count(part) for part in parts)


def read_vocabulary(path: Path) -> Vocabulary:
    """Rebuild the vocabulary of a model file.

    Raises GgufError for a file that is damaged, UnsupportedVocabulary for a kind that can't be rebuilt exactly.
    """
    with GgufHeader(path) as header:
        return vocabulary_of(header)


def vocabulary_of(header: GgufHeader) -> Vocabulary:
    """The same from an open header, which may be closed afterwards."""
    rule = pretokenizer(header.text(_KEY + "model") or "", header.text(_KEY + "pre") or "")
    if any(name in (header.text("general.name") or "").lower() for name in ("phi-3", "phi3")):
        raise UnsupportedVocabulary("Phi-3 swallows blanks behind special tokens")
    texts = _token_texts(header)
    ids = {text: id_ for id_, text in enumerate(texts)}
    if len(ids) != len(texts):
        raise UnsupportedVocabulary("a token is there twice")
    types = header.numbers(_KEY + "token_type")
    if types is not None and len(types) < len(texts):
        raise GgufError(f"{header.name}: {_KEY}token_type has fewer entries than there are tokens.")
    named = {purpose for purpose, keys in _FILL_IN_MIDDLE.items() if any(key in header for key in keys)}
    adds_bos = header.boolean(_KEY + "add_bos_token")
    return Vocabulary(
        header.digest(_IDENTITY)[:32],
        ids,
        _required(header, "merges"),
        rule,
        special_tokens(ids, [int(type_) for type_ in types] if types is not None else None, named),
        adds_bos=rule.adds_bos if adds_bos is None else adds_bos,
        bos=_named(header, "bos_token_id", texts),
        eos=_named(header, "eos_token_id", texts),
        chat_template=header.text("tokenizer.chat_template"),
    )


def _required(header: GgufHeader, name: str) -> list[bytes]:
    items = header.strings(_KEY + name)
    if items is None:
        raise UnsupportedVocabulary(f"the file has no {name}")
    return items


def _token_texts(header: GgufHeader) -> list[str]:
    try:
        tokens = [token.decode() for token in _required(header, "tokens")]
    except UnicodeDecodeError as error:
        raise GgufError(f"{header.name}: {_KEY}tokens holds a token that is not UTF-8.") from error
    return [token or f"[EMPTY_{id_}]" for id_, token in enumerate(tokens)]


def _named(header: GgufHeader, name: str, texts: Sequence[str]) -> str:
    id_ = header.integer(_KEY + name)
    return texts[id_] if id_ is not None and 0 <= id_ < len(texts) else ""


def _longest_first(tokens: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(tokens.items(), key=lambda token: -len(token[0].encode())))


def _partition(text: str, special: Sequence[tuple[str, int]]) -> list[str | int]:
    """``text`` cut at special tokens, which become their ids: the longest token first over the whole text, each at its
    occurrences from the left, as llama.cpp's ``tokenizer_st_partition`` does it."""
    parts: list[str | int] = [text] if text else []
    for token, id_ in special:
        if token in text:
            parts = list(itertools.chain.from_iterable(_cut(part, token, id_) for part in parts))
    return parts


def _cut(part: str | int, token: str, id_: int) -> Iterator[str | int]:
    if isinstance(part, int):
        yield part
        return
    for number, piece in enumerate(part.split(token)):
        if number:
            yield id_
        if piece:
            yield piece


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
        _add_whole_words(ranks, tokens, ids, rule.pattern)
    return ranks, tokens


def _add_whole_words(ranks: dict[bytes, int], tokens: list[int], ids: Mapping[str, int], pattern: str) -> None:
    """Give ranks to tokens that no merge makes but that are taken where they are a whole word."""
    unmade = {piece: id_ for text, id_ in ids.items() if (piece := _bytes_of(text)) and piece not in ranks}
    words = {piece: id_ for piece, id_ in unmade.items() if _is_word(piece, pattern)}
    for piece in words:
        if any(piece[:cut] in ranks and piece[cut:] in ranks for cut in range(1, len(piece))):
            raise UnsupportedVocabulary("a token without a merge can be put together from two others")
    for piece, id_ in words.items():
        ranks[piece] = len(tokens)
        tokens.append(id_)


def _is_word(piece: bytes, pattern: str) -> bool:
    """Whether the pre-tokeniser can give this very piece; part of a character is never one."""
    try:
        return cut(piece.decode(), pattern) == [piece.decode()]
    except UnicodeDecodeError:
        return False
