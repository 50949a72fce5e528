"""Writes small GGUF files: headers for the reader's tests, and models with random weights that a real engine loads."""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY, UINT64 = 4, 5, 6, 7, 8, 9, 10
_FORMATS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    UINT32: "I",
    INT32: "i",
    FLOAT32: "f",
    BOOL: "?",
    UINT64: "Q",
    11: "q",
    12: "d",
}
_ALIGNMENT = 32


@frozen
class Typed:
    """A value whose GGUF type is said instead of guessed; for a list, the type of its items."""

    type: int
    value: Any


def header_bytes(
    metadata: Mapping[str, Any] | Sequence[tuple[str, Any]],
    tensors: Mapping[str, Sequence[int]] | None = None,
    version: int = 3,
) -> bytes:
    """The header of a file; ``tensors`` maps names to shapes (innermost first), all of 32-bit floats."""
    items = list(metadata.items()) if isinstance(metadata, Mapping) else list(metadata)
    parts = [struct.pack("<4sIQQ", b"GGUF", version, len(tensors or {}), len(items))]
    for key, value in items:
        type_, data = _value(value)
        parts += [_string(key), struct.pack("<I", type_), data]
    offset = 0
    for name, shape in (tensors or {}).items():
        parts.append(_string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset))
        offset += -(-_size(shape) // _ALIGNMENT) * _ALIGNMENT
    return b"".join(parts)


def write_gguf(path: Path, metadata: Mapping[str, Any], tensors: Mapping[str, Sequence[int]] | None = None) -> Path:
    """A whole file, its weights random but always the same."""
    head = header_bytes(metadata, tensors)
    with path.open("wb") as file:
        file.write(head + bytes(-len(head) % _ALIGNMENT))
        for name, shape in (tensors or {}).items():
            file.write(_weights(name, shape) + bytes(-_size(shape) % _ALIGNMENT))
    return path


def byte_level_vocabulary(
    words: Sequence[str], *, pre: str, special: Mapping[str, int] | None = None, missing: Sequence[int] = ()
) -> dict[str, Any]:
    """Metadata of a byte-level vocabulary: every byte but the ``missing`` ones, then ``words`` (in GPT-2's letters)
    with the merges that make each of them from the left, then ``special`` tokens with their types."""
    letters = [letter for byte, letter in enumerate(byte_letters()) if byte not in missing]
    tokens, merges = list(letters), []
    for word in words:
        for end in range(2, len(word) + 1):
            if word[:end] not in tokens:
                tokens.append(word[:end])
                merges.append(f"{word[: end - 1]} {word[end - 1]}")
    types = [1] * len(tokens) + list((special or {}).values())
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": [*tokens, *(special or {})],
        "tokenizer.ggml.token_type": Typed(INT32, types),
        "tokenizer.ggml.merges": Typed(STRING, merges),
    }


def tiny_llama(vocabulary_size: int, context_length: int = 4096) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    """Metadata and tensors of a one-layer model of the architecture ``llama``, 32 wide."""
    width, inner = 32, 32
    metadata = {
        "general.architecture": "llama",
        "llama.block_count": 1,
        "llama.context_length": context_length,
        "llama.embedding_length": width,
        "llama.feed_forward_length": inner,
        "llama.attention.head_count": 1,
        "llama.attention.head_count_kv": 1,
        "llama.rope.dimension_count": width,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
    }
    tensors: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (width, vocabulary_size),
        "output_norm.weight": (width,),
        "blk.0.attn_norm.weight": (width,),
        "blk.0.ffn_norm.weight": (width,),
        "blk.0.ffn_gate.weight": (width, inner),
        "blk.0.ffn_up.weight": (width, inner),
        "blk.0.ffn_down.weight": (inner, width),
    }
    tensors |= {f"blk.0.attn_{part}.weight": (width, width) for part in ("q", "k", "v", "output")}
    return metadata, tensors


def byte_letters() -> list[str]:
    """GPT-2's printable letter of each byte."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def _value(value: Any) -> tuple[int, bytes]:
    type_ = value.type if isinstance(value, Typed) else _type_of(value)
    value = value.value if isinstance(value, Typed) else value
    if isinstance(value, list | tuple):
        item_type = type_ if type_ != ARRAY else _type_of(value[0])
        items = [_value(Typed(item_type, item)) if item_type != ARRAY else _value(item) for item in value]
        return ARRAY, struct.pack("<IQ", item_type, len(items)) + b"".join(data for _, data in items)
    return type_, _string(value) if type_ == STRING else struct.pack("<" + _FORMATS[type_], value)


def _type_of(value: Any) -> int:
    types: list[tuple[type, int]] = [(bool, BOOL), (int, UINT32), (float, FLOAT32), (str, STRING), (bytes, STRING)]
    return next((type_ for kind, type_ in types if isinstance(value, kind)), ARRAY)


def _string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def _size(shape: Sequence[int]) -> int:
    size = 4
    for length in shape:
        size *= length
    return size


def _weights(name: str, shape: Sequence[int]) -> bytes:
    count = _size(shape) // 4
    generator = random.Random(name)
    some = [generator.gauss(0, 0.05) for _ in range(min(count, 4096))]
    data = struct.pack(f"<{len(some)}f", *some)
    return (data * (count // len(some) + 1))[: 4 * count]
