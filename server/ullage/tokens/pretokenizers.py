"""How a vocabulary cuts text into words before it merges bytes, by the name that ``tokenizer.ggml.pre`` gives.

llama.cpp applies a list of patterns one after another, over text in which every character beyond ASCII stands for its
class only (``unicode_regex_split``). For most families one pattern does the same, and tiktoken applies it by itself;
for the others the list stands here as it is, and is applied in turn.

Not among them: vocabularies of embedding models (``bert``, ``t5``), of RWKV and of PLaMo 2, which are no byte pairs;
and ``tiny_aya``, whose pattern ends in a word boundary within a lookahead, which the C++ libraries read differently.
`UnsupportedVocabulary` tells the caller to count by other means. Characters are of the class that Unicode gives them;
llama.cpp's own tables end with Unicode 15, so newer characters may be cut otherwise there.
"""

from __future__ import annotations

from attrs import frozen

from ullage.tokens.byte_pairs import WHOLE


class UnsupportedVocabulary(Exception):
    """The vocabulary can't be rebuilt exactly here; the message names why. Nothing is wrong with the file."""


@frozen
class PreTokenizer:
    """``patterns`` cut the text, one after another: each what the one before has left whole. ``whole_words``: a word
    that is itself a token is taken whole, merges or not. ``adds_bos``: what holds where the file does not say whether
    the prompt begins with the BOS token."""

    patterns: tuple[str, ...]
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

_BAILING = (
    r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])"
    rf"|{_WORD}|\p{{N}}|{_SIGNS}[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
_EXAONE_MOE = (
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|\p{{N}}|{_SIGNS}[\r\n/]?"
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)
_JAIS_2 = (
    rf"{_CONTRACTIONS}|{_WORD}|\p{{N}}{{1,3}}|{_SIGNS}[\r\n]*|\s*[\r\n]+|"
    + "".join(rf"\s{{{blanks}}}(?!\S)|" for blanks in ("512", "256", "128", "64", "32", "16", "8", "4", "1,2"))
    + r"\s"
)
_UFAKZEKA = rf"{_WORD}|\p{{N}}|{_SIGNS}[\r\n]*|{_BLANKS}"
_HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002ebef\U0002f800-\U0002fa1f"
_K2_HORIZON = (
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}\u200c\u200d]+|\p{{N}}{{1,3}}|{_SIGNS}[\r\n]*|{_BLANKS}"
)
_KIMI_K2 = (
    rf"[{_HAN}]+|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}&&[^{_HAN}]]+{_CONTRACTIONS}?|\p{{N}}{{1,3}}|{_SIGNS}[\r\n]*|{_BLANKS}"
)

# Of the lists below, patterns without a class such as \p{L} meet blanks beyond ASCII as the vertical tab in llama.cpp:
# ranges that hold such a blank leave it out here.
_NEWLINE = r"[\r\n]"
_THREE_DIGITS = r"[0-9][0-9][0-9]"
_CHINESE = r"[\u4e00-\u9fa5\u3040-\u30ff]+"
_CHINESE_KOREAN = r"[[\u0800-\u9fa5\uac00-\ud7ff]--\s]+"
_CASED_LETTERS = (
    r"A-Za-z\xb5\xc0-\xd6\xd8-\xf6\xf8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377"
    r"\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556"
    r"\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a"
    r"\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4"
    r"\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc"
    r"\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f"
    r"\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b"
    r"\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a"
    r"\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2"
    r"\U000118a0-\U000118df\U0001e900-\U0001e943"
)
_DEEPSEEK_LLM = (
    _NEWLINE,
    rf"\s?[{_CASED_LETTERS}]+",
    r"\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3001\u3002]+",
    r"\s+\Z",
    _CHINESE_KOREAN,
    r"\p{N}+",
)
_DEEPSEEK_CODER = (_NEWLINE, r"\s?\p{L}+", r"\s?\p{P}+", _CHINESE_KOREAN, r"\p{N}")
_ASCII_SIGN_AND_LETTERS = r"[!-/:-@\[-`{-~][A-Za-z]+"
_MARKED_WORD = r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
_DEEPSEEK_WORDS = rf"{_ASCII_SIGN_AND_LETTERS}|{_MARKED_WORD}| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_BLANKS}"
_DEEPSEEK_3 = (r"\p{N}{1,3}", _CHINESE, _DEEPSEEK_WORDS)
_SPARK = (
    *_DEEPSEEK_3[:2],
    rf"{_ASCII_SIGN_AND_LETTERS}|{_MARKED_WORD}| ?[\p{{P}}\p{{S}}]+|[\r\n]|\s+(?!\S)|\s+",
    r"\p{N}",
)
_YOUTU = (
    r"[\uac00-\ud7a3\u3131-\u318e]+"
    r"|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f\ufe30-\ufe4f]+"
    rf"|[\u3105-\u312f]+|{_CHINESE}",
    rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+{_CONTRACTIONS}?|\p{{N}}|{_SIGNS}[\r\n/]*|{_BLANKS}",
)
_FALCON = (r"[\p{P}$+<=>\^~|`]+", _GPT_2, _THREE_DIGITS)
_DEFAULT = (r"[\p{P}$+<=>\^~|]+", _GPT_2, r"\p{N}+", _THREE_DIGITS)
_BLOOM = r" ?[^(\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"
_CHAMELEON = (
    r"<sentinel:[0-9]+>",
    r"IMGIMG[A-I]{1,4}Z",
    r"[\t\n]|    |  ",
    r"\p{N}",
    r"[\p{P}!-/:-@\[-`{-~]",
    _GPT_2,
)
_SUPER_BPE = (r"\p{N}+", r"(?=(?:[0-9]{3})+(?![0-9]))")
_AFMOE = (
    r"\P{N}*\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))",
    r"[\u4e00-\u9fff\u3400-\u4dbf\u8c48-\ufaff\u3040-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e40-\u0eff\u1780-\u17ff"
    r"\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+",
    _DEEPSEEK_WORDS,
)
_MINICPM_5 = (r"\p{N}{1,3}", rf"{_CONTRACTIONS}|{_WORD}|\p{{N}}+|{_SIGNS}[\r\n]*|{_BLANKS}")

_FAMILIES: tuple[tuple[PreTokenizer, tuple[str, ...]], ...] = (
    (
        PreTokenizer((_SINGLE_DIGITS,)),
        ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"),
    ),
    (
        PreTokenizer((_GPT_2,)),
        (
            "gpt-2",
            "phi-2",
            "mpt",
            "olmo",
            "jais",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "exaone4",
            "trillion",
            "granite-docling",
        ),
    ),
    (
        PreTokenizer((_LLAMA_3,), whole_words=True, adds_bos=True),
        ("llama-bpe", "llama-v3", "llama3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"),
    ),
    (PreTokenizer((_LLAMA_3,)), ("dbrx", "smaug-bpe", "glm4", "glm5", "chatglm-bpe")),
    (
        PreTokenizer((_QWEN_2,)),
        ("qwen2", "deepseek-r1-qwen", "megrez", "kormo", "stablelm2", "hunyuan", "solar-open", "grok-2", "f2llmv2"),
    ),
    (PreTokenizer((_QWEN_35,)), ("qwen35",)),
    (PreTokenizer((_GPT_4O,)), ("gpt-4o", "llama4", "kanana2", "minimax-m2", "talkie")),
    (PreTokenizer((_TEKKEN,), whole_words=True, adds_bos=True), ("tekken",)),
    (PreTokenizer((_SEED_CODER,)), ("seed-coder",)),
    (PreTokenizer((_BAILING,)), ("bailingmoe", "bailingmoe2", "llada-moe")),
    (PreTokenizer((_EXAONE_MOE,)), ("exaone-moe",)),
    (PreTokenizer((_JAIS_2,)), ("jais-2",)),
    (PreTokenizer((_UFAKZEKA,)), ("ufakzeka",)),
    (PreTokenizer((_KIMI_K2,)), ("kimi-k2",)),
    (PreTokenizer((_K2_HORIZON,)), ("k2-horizon",)),
    (PreTokenizer(_DEEPSEEK_LLM), ("deepseek-llm",)),
    (PreTokenizer(_DEEPSEEK_CODER), ("deepseek-coder",)),
    (PreTokenizer(_DEEPSEEK_3), ("deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4")),
    (PreTokenizer(_SPARK), ("spark2_5",)),
    (PreTokenizer(_YOUTU, whole_words=True), ("youtu",)),
    (PreTokenizer(_FALCON), ("falcon",)),
    (PreTokenizer(_DEFAULT), ("default", "")),
    (PreTokenizer((_BLOOM, r"\p{N}")), ("viking",)),
    (PreTokenizer((_BLOOM, WHOLE)), ("poro-chat", "bloom", "gpt3-finnish")),
    (PreTokenizer(_CHAMELEON, adds_bos=True), ("chameleon",)),
    (PreTokenizer(_SUPER_BPE), ("superbpe",)),
    (PreTokenizer(_AFMOE), ("afmoe",)),
    (PreTokenizer((r"[^\n]+|\n+", _QWEN_2)), ("laguna",)),
    (PreTokenizer(_MINICPM_5, whole_words=True), ("minicpm5",)),
)

PRETOKENIZERS: dict[str, PreTokenizer] = {name: family for family, names in _FAMILIES for name in names}


def pretokenizer(pre: str) -> PreTokenizer:
    """The cutting rule for the value of ``tokenizer.ggml.pre``."""
    if pre not in PRETOKENIZERS:
        raise UnsupportedVocabulary(f"the pre-tokeniser {pre!r} is not known")
    return PRETOKENIZERS[pre]
