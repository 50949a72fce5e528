"""Vocabularies made for tests, as metadata of GGUF files: of SentencePiece's kinds, and one that shows each cut."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from support.gguf_writer import FLOAT32, INT32, STRING, Typed, byte_letters

BLANK = "▁"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]

PROSE = (
    "The room left in a cask is its ullage; a conversation has one too, and nobody sees it. When it is gone, the "
    "oldest words go first, silently, and the model answers as if they had never been said. So count what is there, "
    "count what is to come, and make room before it runs out: summaries where they can be had, truncation where not."
    "\n\ndef fits(tokens, limit):\n    return tokens <= limit - 1024  # what is kept for the answer\n\n\n"
    "for number in range(12345):\n    if not fits(number, 4096):\n        print(f'{number} do not fit')\n\n"
    "naïve café, Größe, чтение, 中文测试一下，真的吗？ かなカナ 한국어 हिन्दी 😀👩\u200d👩\u200d👧 <table> <b>bold</b>\n"
    "a == b != c <= d -> e :: f(); don't, isn't, 3.14, 2,718\n"
)


def scored(
    pieces: Mapping[str, float], special: Mapping[str, tuple[int, float]] | None = None, **metadata: Any
) -> dict[str, Any]:
    """A vocabulary with scores, in Llama 2's order: ``<unk> <s> </s>``, the bytes, ``special`` (type and score), and
    ``pieces`` with their scores. Keys of ``metadata`` are short: ``add_space_prefix``."""
    special = dict(special or {})
    tokens = ["<unk>", "<s>", "</s>", *BYTES, *special]
    pieces = {piece: score for piece, score in pieces.items() if piece not in {*tokens}}
    types = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *(type_ for type_, _ in special.values())]
    scores = [0.0] * 259 + [score for _, score in special.values()] + list(pieces.values())
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [*tokens, *pieces],
        "tokenizer.ggml.scores": Typed(FLOAT32, scores),
        "tokenizer.ggml.token_type": Typed(INT32, [*types, *[NORMAL] * len(pieces)]),
        **{f"tokenizer.ggml.{key}": value for key, value in metadata.items()},
    }


def merged(
    pieces: Sequence[str], seed: int = 1, special: Mapping[str, int] | None = None, **metadata: Any
) -> dict[str, Any]:
    """A vocabulary of Gemma 4's kind: each of ``pieces`` is made by one or two merges of what is there before it."""
    source, made, merges = random.Random(seed), set[str](), list[str]()
    for piece in sorted(pieces, key=len):
        parts = ((piece[:at], piece[at:]) for at in range(1, len(piece)))
        ways = [f"{a} {b}" for a, b in parts if (len(a) == 1 or a in made) and (len(b) == 1 or b in made)]
        merges += source.sample(ways, min(len(ways), source.randint(1, 2)))
        made.add(piece)
    source.shuffle(merges)
    types = {text: (type_, 0.0) for text, type_ in (special or {}).items()}
    vocabulary = scored(dict.fromkeys(pieces, 0.0), types, **metadata)
    del vocabulary["tokenizer.ggml.scores"]
    return {
        **vocabulary,
        "tokenizer.ggml.model": metadata.get("model", "gemma4"),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.merges": Typed(STRING, merges),
    }


def pieces_of(text: str, number: int, longest: int = 8) -> list[str]:
    """The most frequent substrings, the best first: blanks only in front, newlines only among themselves."""
    text = text.replace(" ", BLANK)
    counts: Counter[str] = Counter()
    for length in range(1, longest + 1):
        counts.update(text[at : at + length] for at in range(len(text) - length + 1))
    usual = (p for p in counts if BLANK not in p.lstrip(BLANK) and ("\n" not in p or not p.strip("\n")))
    return sorted(usual, key=lambda piece: (-counts[piece] * len(piece), piece))[:number]


def ranked(pieces: Sequence[str]) -> dict[str, float]:
    """Scores as SentencePiece gives them to byte pairs: 0, -1, -2, …"""
    return {piece: -float(rank) for rank, piece in enumerate(pieces)}


def telltale(alphabet: str, *, pre: str) -> dict[str, Any]:
    """A byte-level vocabulary in which any two bytes of ``alphabet`` merge, in random order: where words are cut shows
    in the ids, which real vocabularies, without tokens across such places, do not tell."""
    letters = byte_letters()
    used = sorted({letters[byte] for byte in alphabet.encode()})
    pairs = [(a, b) for a in used for b in used]
    random.Random(1).shuffle(pairs)
    tokens = [*letters, "<s>", *(a + b for a, b in pairs)]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": Typed(STRING, tokens),
        "tokenizer.ggml.token_type": Typed(INT32, [*[NORMAL] * 256, CONTROL, *[NORMAL] * len(pairs)]),
        "tokenizer.ggml.merges": Typed(STRING, [f"{a} {b}" for a, b in pairs]),
        "tokenizer.ggml.bos_token_id": 256,
        "tokenizer.ggml.eos_token_id": 256,
    }
