"""A model's own vocabulary, rebuilt from its GGUF file so that it counts what llama.cpp would."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from ullage.tokens.byte_level import byte_level_encoder
from ullage.tokens.gguf import GgufError, GgufHeader
from ullage.tokens.pretokenizers import UnsupportedVocabulary, pretokenizer
from ullage.tokens.sentencepiece import merged_encoder, scored_encoder
from ullage.tokens.special_search import SpecialSearch
from ullage.tokens.text_encoder import TextEncoder
from ullage.tokens.token_types import SpecialTokens, special_tokens

_KEY = "tokenizer.ggml."
_IDENTITY = tuple(
    _KEY + name
    for name in (
        "model", "pre", "tokens", "merges", "scores", "token_type", "add_space_prefix", "add_bos_token",
        "add_eos_token", "bos_token_id", "eos_token_id",
    )
)  # fmt: skip  # one name a line would be a page
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


_SWALLOWING_MODELS = ("phi-3", "phi3")
_NOT_SWALLOWING = frozenset({"<unk>", "<s>", "<|endoftext|>"})


@frozen
class _Family:
    """What one kind of vocabulary encodes with, and what holds where the file does not say: whether the BOS token is
    added, and the ids of BOS and EOS token. ``forces_bos``: it is added whatever the file says."""

    encoder: TextEncoder
    adds_bos: bool = False
    forces_bos: bool = False
    bos_id: int | None = None
    eos_id: int | None = None


class Vocabulary:
    """Tokens of one model, made by `read_vocabulary`.

    ``fingerprint`` is the same for every file with the same tokenizer. ``adds_bos`` and ``adds_eos``: llama.cpp puts
    these tokens around every prompt. ``bos`` and ``eos`` are their texts, empty where the model has none.
    ``chat_template`` is the Jinja source that came with the file. ``special_texts`` is what has to be made harmless in
    contents; ``always_read`` are the texts of tokens that are read in plain text too. ``swallowing`` are the texts of
    those that take the blanks behind them along.
    """

    def __init__(
        self,
        fingerprint: str,
        encoder: TextEncoder,
        special: SpecialTokens,
        *,
        swallowing: Collection[str] = frozenset(),
        adds_bos: bool = False,
        adds_eos: bool = False,
        bos: str = "",
        eos: str = "",
        chat_template: str | None = None,
    ) -> None:
        self.fingerprint = fingerprint
        self.adds_bos = adds_bos and bool(bos)
        self.adds_eos = adds_eos and bool(eos)
        self.bos = bos
        self.eos = eos
        self.chat_template = chat_template
        self.special_texts = special.markers
        self.always_read = frozenset(special.always)
        self._always = SpecialSearch(special.always, swallowing)
        self._all = SpecialSearch({**special.always, **special.control}, swallowing)
        self._encoder = encoder

    @property
    def inline_characters(self) -> int:
        """How much text is counted in some 10 ms; the event loop is no place for more."""
        return self._encoder.inline_characters

    def count(self, text: str) -> int:
        """Tokens of what a person wrote: text that spells a control token is plain text."""
        return self._count(text, self._always)

    def count_rendered(self, text: str) -> int:
        """Tokens of a rendered template, in which control tokens are read as such; no BOS token is added."""
        return self._count(text, self._all)

    def encode(self, text: str) -> list[int]:
        """The ids of what ``count`` counts."""
        ids: list[int] = []
        for part in self._always.partition(text):
            ids += [part] if isinstance(part, int) else self._encoder.encode(part)
        return ids

    def begins_special(self, text: str) -> bool:
        """Whether a rendered text begins with a special token, so that it is tokenised apart from what is before it."""
        return self._all.begins(text)

    def _count(self, text: str, special: SpecialSearch) -> int:
        return sum(1 if isinstance(part, int) else self._encoder.count(part) for part in special.partition(text))


def read_vocabulary(path: Path) -> Vocabulary:
    """Rebuild the vocabulary of a model file, within a second for 256,000 tokens.

    Raises GgufError for a file that is damaged, UnsupportedVocabulary for a kind that can't be rebuilt exactly.
    """
    with GgufHeader(path) as header:
        return vocabulary_of(header)


def vocabulary_of(header: GgufHeader) -> Vocabulary:
    """The same from an open header, which may be closed afterwards."""
    texts = _token_texts(header)
    ids = {text: id_ for id_, text in enumerate(texts)}
    if len(ids) != len(texts):
        raise UnsupportedVocabulary("a token is there twice")
    special = _special(header, ids)
    swallowing = _swallowing(header, special)
    fingerprint = header.digest(_IDENTITY)[:32] + ("s" if swallowing else "")
    family = _family(header, ids, fingerprint)
    adds_bos = header.boolean(_KEY + "add_bos_token")
    return Vocabulary(
        fingerprint,
        family.encoder,
        special,
        swallowing=swallowing,
        adds_bos=family.forces_bos or (family.adds_bos if adds_bos is None else adds_bos),
        adds_eos=header.boolean(_KEY + "add_eos_token") or False,
        bos=_named(header, "bos_token_id", texts, family.bos_id),
        eos=_named(header, "eos_token_id", texts, family.eos_id),
        chat_template=header.text("tokenizer.chat_template"),
    )


def _family(header: GgufHeader, ids: Mapping[str, int], name: str) -> _Family:
    model, pre = header.text(_KEY + "model") or "", header.text(_KEY + "pre") or ""
    if model == "llama":
        space_prefix = header.boolean(_KEY + "add_space_prefix")
        encoder = scored_encoder(ids, _scores(header, len(ids)), space_prefix=space_prefix is not False)
        return _Family(encoder, adds_bos=True, bos_id=1, eos_id=2)
    if model == "gemma4" or (model == "gpt2" and pre in {"gemma4", "sarvam-moe"}):
        gemma = model == "gemma4" or pre == "gemma4"
        return _Family(merged_encoder(ids, _required(header, "merges"), whole_newlines=gemma), forces_bos=gemma)
    if model == "gpt2":
        rule = pretokenizer(pre)
        return _Family(byte_level_encoder(name, ids, _required(header, "merges"), rule), adds_bos=rule.adds_bos)
    raise UnsupportedVocabulary(f"vocabularies of the kind {model!r} can't be rebuilt yet")


def _special(header: GgufHeader, ids: Mapping[str, int]) -> SpecialTokens:
    types = header.numbers(_KEY + "token_type")
    if types is not None and len(types) < len(ids):
        raise GgufError(f"{header.name}: {_KEY}token_type has fewer entries than there are tokens.")
    named = {purpose for purpose, keys in _FILL_IN_MIDDLE.items() if any(key in header for key in keys)}
    return special_tokens(ids, [int(type_) for type_ in types] if types is not None else None, named)


def _swallowing(header: GgufHeader, special: SpecialTokens) -> frozenset[str]:
    """llama.cpp knows by the model's name only that blanks behind special tokens of Phi-3 are no text."""
    name = (header.text("general.name") or "").lower()
    if not any(model in name for model in _SWALLOWING_MODELS):
        return frozenset()
    return frozenset({*special.always, *special.control} - _NOT_SWALLOWING)


def _scores(header: GgufHeader, count: int) -> Sequence[float]:
    scores = header.numbers(_KEY + "scores")
    if scores is None:
        return [0.0] * count
    if len(scores) < count:
        raise GgufError(f"{header.name}: {_KEY}scores has fewer entries than there are tokens.")
    return array("f", scores)


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


def _named(header: GgufHeader, name: str, texts: Sequence[str], default: int | None) -> str:
    id_ = header.integer(_KEY + name)
    if id_ is None or not 0 <= id_ < len(texts):
        id_ = default
    return texts[id_] if id_ is not None and id_ < len(texts) else ""
