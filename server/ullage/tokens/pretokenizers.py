"""How a vocabulary cuts text into words before it merges bytes, by the name that ``tokenizer.ggml.pre`` gives.

llama.cpp applies a list of patterns one after another, over text in which every character beyond ASCII stands for its
class only (``unicode_regex_split``); tiktoken has one pattern. Here are the families for which one pattern does the
same. Families that need several (``deepseek-v3``, ``falcon``, ``default``) and SentencePiece vocabularies are not among
them: `UnsupportedVocabulary` tells the caller to count by other means.
"""

from __future__ import annotations

from attrs import frozen


class UnsupportedVocabulary(Exception):
    """The vocabulary can't be rebuilt exactly here; the message names why. Nothing is wrong with the file."""


@frozen
class PreTokenizer:
    """``pattern`` cuts the text. ``whole_words``: a word that is itself a token is taken whole, merges or not.
    ``adds_bos``: what holds where the file does not say whether the prompt begins with the BOS token."""

    pattern: str
    whole_words: bool = False
    adds_bos: bool = False


_CONTRACTIONS = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_BLANKS = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_SIGNS = r" ?[^\s\p{L}\p{N}]+"

# Cased scripts beyond ASCII have no case for llama.cpp: their letters count as upper and as lower case at once.
_UPPER, _LOWER = r"[\p{L}&&[^a-z]]", r"[\p{L}&&[^A-Z]]"
_CAPITALISED = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+"
_CAPITALS = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"

_GPT_2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_SINGLE_DIGITS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+"
_LLAMA_3 = rf"{_CONTRACTIONS}|{_WORD}|\p{{N}}{{1,3}}|{_SIGNS}[\r\n]*|{_BLANKS}"
_QWEN_2 = rf"{_CONTRACTIONS}|{_WORD}|\p{{N}}|{_SIGNS}[\r\n]*|{_BLANKS}"
_QWEN_35 = (
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_BLANKS}"
)
_GPT_4O = rf"{_CAPITALISED}{_CONTRACTIONS}?|{_CAPITALS}{_CONTRACTIONS}?|\p{{N}}{{1,3}}|{_SIGNS}[\r\n/]*|{_BLANKS}"
_TEKKEN = rf"{_CAPITALISED}|{_CAPITALS}|\p{{N}}|{_SIGNS}[\r\n/]*|{_BLANKS}"
_SEED_CODER = rf"{_CONTRACTIONS}|{_WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_BLANKS}"

_FAMILIES: tuple[tuple[PreTokenizer, tuple[str, ...]], ...] = (
    (
        PreTokenizer(_SINGLE_DIGITS),
        ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"),
    ),
    (
        PreTokenizer(_GPT_2),
        ("gpt-2", "phi-2", "mpt", "olmo", "jais", "gigachat", "a.x-4.0", "mellum", "exaone4", "trillion"),
    ),
    (
        PreTokenizer(_LLAMA_3, whole_words=True, adds_bos=True),
        ("llama-bpe", "llama-v3", "llama3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"),
    ),
    (PreTokenizer(_LLAMA_3), ("dbrx", "smaug-bpe", "glm4", "chatglm-bpe")),
    (
        PreTokenizer(_QWEN_2),
        ("qwen2", "deepseek-r1-qwen", "megrez", "kormo", "stablelm2", "hunyuan", "solar-open", "grok-2"),
    ),
    (PreTokenizer(_QWEN_35), ("qwen35",)),
    (PreTokenizer(_GPT_4O), ("gpt-4o", "llama4", "kanana2", "minimax-m2")),
    (PreTokenizer(_TEKKEN, whole_words=True, adds_bos=True), ("tekken",)),
    (PreTokenizer(_SEED_CODER), ("seed-coder",)),
)

PRETOKENIZERS: dict[str, PreTokenizer] = {name: family for family, names in _FAMILIES for name in names}


def pretokenizer(model: str, pre: str) -> PreTokenizer:
    """The cutting rule for the values of ``tokenizer.ggml.model`` and ``tokenizer.ggml.pre``."""
    if model != "gpt2":
        raise UnsupportedVocabulary(f"vocabularies of the kind {model!r} can't be rebuilt yet")
    if pre not in PRETOKENIZERS:
        raise UnsupportedVocabulary(f"the pre-tokeniser {pre!r} is not known")
    return PRETOKENIZERS[pre]
