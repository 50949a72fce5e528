"""A GGUF file as `context/estimateMemory` wants it: the keys of its architecture, and the size of its weights.

The header is read where it lies, by offsets, and none of the weights with it. What is decoded is bounded by the bytes
that are really there, see `GgufHeader`; a list far longer than a model has layers is refused.
"""

from __future__ import annotations

import re
from array import array
from pathlib import Path
from typing import TypeAlias

from attrs import frozen

from ullage.tokens.gguf import GgufError, GgufHeader, Scalar

Value: TypeAlias = Scalar | list[int] | list[float]

GENERAL = ("general.architecture", "general.file_type", "general.parameter_count", "general.size_label")
LONGEST_LIST = 65_536
PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
"""How llama.cpp names the files of a model that is split; the first one has the metadata."""

MOST_PARTS = 10_000


@frozen
class ModelFile:
    """``name`` is without the ending. ``weights_bytes`` is the size of the file, of all its parts where it is split: a
    little more than the weights."""

    name: str
    file_name: str
    metadata: dict[str, Value]
    weights_bytes: int
    context_length: int | None


def read_model_file(path: Path) -> ModelFile:
    """Raises GgufError, with a sentence for a person."""
    with GgufHeader(path) as header:
        architecture = header.text("general.architecture")
        if architecture is None:
            raise GgufError(
                f"{path.name} names no architecture: it is no language model, or not the first of its parts."
            )
        metadata = {key: value for key in _wanted(header, architecture) if (value := _value(header, key)) is not None}
        if (tokens := _vocabulary_size(header)) is not None:
            metadata.setdefault(f"{architecture}.vocab_size", tokens)
        limit = header.integer(f"{architecture}.context_length")
        size = header.file_size
    limit = limit if limit and limit > 0 else None
    return ModelFile(path.stem, path.name, metadata, _size_with_parts(path, size), limit)


def _wanted(header: GgufHeader, architecture: str) -> list[str]:
    return [key for key in header.keys() if key in GENERAL or key.startswith(f"{architecture}.")]  # noqa: SIM118  # no dict


def _vocabulary_size(header: GgufHeader) -> int | None:
    """The number of tokens: engines take it where the key for it is missing, and the compute buffer depends on it."""
    tokens = header.strings("tokenizer.ggml.tokens")
    return len(tokens) if tokens else None


def _value(header: GgufHeader, key: str) -> Value | None:
    """A single value or a list of numbers; None for lists of anything else, which say nothing of sizes."""
    try:
        return header.value(key)
    except GgufError:
        numbers = _numbers(header, key)
    if numbers is None:
        return None
    if len(numbers) > LONGEST_LIST:
        raise GgufError(f"{header.name}: {key} has {len(numbers):,} entries, which is more than any model has layers.")
    return numbers.tolist()


def _numbers(header: GgufHeader, key: str) -> array[int] | array[float] | None:
    try:
        return header.numbers(key)
    except GgufError:
        return None


def _size_with_parts(path: Path, size: int) -> int:
    split = PART.fullmatch(path.name)
    if split is None:
        return size
    count = int(split["count"])
    if not 1 <= count <= MOST_PARTS:
        raise GgufError(f"{path.name} claims to be one of {count:,} parts, which is more than any model has.")
    return sum(
        _part_size(path.with_name(f"{split['stem']}-{n:05}-of-{count:05}{path.suffix}")) for n in range(1, count + 1)
    )


def _part_size(part: Path) -> int:
    try:
        return part.stat().st_size
    except OSError as error:
        raise GgufError(f"{part.name} is missing: download every part of the model into one folder.") from error
