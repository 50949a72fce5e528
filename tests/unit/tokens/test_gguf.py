"""The header reader: what it reads, and what it refuses."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from support.gguf_writer import ARRAY, FLOAT32, STRING, UINT32, Typed, header_bytes, write_gguf
from ullage.tokens.gguf import GgufError, GgufHeader

METADATA = {
    "general.architecture": "llama",
    "llama.block_count": 3,
    "llama.rope.freq_base": 0.5,
    "tokenizer.ggml.add_bos_token": True,
    "tokenizer.ggml.tokens": ["a", "", "é"],
    "llama.attention.head_count_kv": [4, 2, 4],
    "llama.flags": [True, False],
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def write_bytes(data: bytes) -> Path:
        file = tmp_path / "model.gguf"
        file.write_bytes(data)
        return file

    return write_bytes


@pytest.mark.parametrize("version", [2, 3])
def test_every_kind_of_value_is_read(write: Callable[[bytes], Path], version: int) -> None:
    data = header_bytes(METADATA, {"a.weight": (2, 3)}, version)
    with GgufHeader(write(data)) as header:
        assert (header.version, header.tensor_count, header.file_size) == (version, 1, len(data))
        assert header.text("general.architecture") == "llama"
        assert header.integer("llama.block_count") == 3
        assert header.value("llama.rope.freq_base") == 0.5
        assert header.boolean("tokenizer.ggml.add_bos_token") is True
        assert header.strings("tokenizer.ggml.tokens") == [b"a", b"", "é".encode()]
        assert list(header.numbers("llama.attention.head_count_kv") or ()) == [4, 2, 4]
        assert list(header.numbers("llama.flags") or ()) == [1, 0]
        assert list(header.keys()) == list(METADATA)


def test_a_key_that_is_not_there_is_none(write: Callable[[bytes], Path]) -> None:
    with GgufHeader(write(header_bytes({}))) as header:
        assert "x" not in header
        assert [header.value("x"), header.text("x"), header.strings("x"), header.numbers("x")] == [None] * 4


@pytest.mark.parametrize(
    ("method", "key"),
    [
        ("text", "llama.block_count"),
        ("integer", "tokenizer.ggml.add_bos_token"),
        ("boolean", "llama.block_count"),
        ("value", "tokenizer.ggml.tokens"),
        ("strings", "general.architecture"),
        ("strings", "llama.flags"),
        ("numbers", "tokenizer.ggml.tokens"),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_key(write: Callable[[bytes], Path], method: str, key: str) -> None:
    with GgufHeader(write(header_bytes(METADATA))) as header, pytest.raises(GgufError, match=key):
        getattr(header, method)(key)


def test_every_truncation_is_told_from_a_whole_file(write: Callable[[bytes], Path]) -> None:
    data = header_bytes(METADATA)
    for length in range(len(data)):
        with pytest.raises(GgufError):
            GgufHeader(write(data[:length]))


def test_a_truncated_list_is_refused_by_its_key(write: Callable[[bytes], Path]) -> None:
    with pytest.raises(GgufError, match=r"tokenizer\.ggml\.tokens"):
        GgufHeader(write(header_bytes({"tokenizer.ggml.tokens": ["a"] * 9})[:-4]))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (struct.pack("<4sIQQ", b"GGML", 3, 0, 0), "not a GGUF file"),
        (struct.pack("<4sIQQ", b"GGUF", 1, 0, 0), "version 1"),
        (struct.pack(">4sIQQ", b"GGUF", 3, 0, 0), "little-endian"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 0, 2**63), "more than any model"),
    ],
)
def test_a_file_of_another_kind_is_refused(write: Callable[[bytes], Path], head: bytes, message: str) -> None:
    with pytest.raises(GgufError, match=message):
        GgufHeader(write(head))


@pytest.mark.parametrize("item_type", [UINT32, FLOAT32, STRING, ARRAY, 0])
def test_an_absurd_count_is_refused_without_reserving_for_it(write: Callable[[bytes], Path], item_type: int) -> None:
    data = header_bytes({"k": ["a"]})
    at = len(data) - len(struct.pack("<IQ", 0, 0)) - len(struct.pack("<Q", 1)) - 1
    for count in (2**20, 2**40, 2**64 - 1):
        with pytest.raises(GgufError, match="'k'"):
            GgufHeader(write(data[:at] + struct.pack("<IQ", item_type, count) + data[at + 12 :]))


def test_an_absurd_length_is_refused(write: Callable[[bytes], Path]) -> None:
    data = header_bytes({"k": "text"})
    with pytest.raises(GgufError, match="'k'"):
        GgufHeader(write(data[:-12] + struct.pack("<Q", 2**64 - 1) + data[-4:]))


def test_lists_within_lists_are_read_over_but_not_for_ever(write: Callable[[bytes], Path]) -> None:
    nested: list[object] = [1]
    for _ in range(4):
        nested = [nested, nested]
    with GgufHeader(write(header_bytes([("n", nested), ("after", 7)]))) as header:
        assert header.integer("after") == 7
    for _ in range(8):
        nested = [nested]
    with pytest.raises(GgufError, match="'n'"):
        GgufHeader(write(header_bytes({"n": nested})))


def test_a_key_that_is_there_twice_is_refused(write: Callable[[bytes], Path]) -> None:
    with pytest.raises(GgufError, match="twice"):
        GgufHeader(write(header_bytes([("k", 1), ("k", 2)])))


def test_an_unknown_type_is_refused(write: Callable[[bytes], Path]) -> None:
    data = header_bytes({"k": 1})
    with pytest.raises(GgufError, match="unknown type 77"):
        GgufHeader(write(data[:-8] + struct.pack("<I", 77) + data[-4:]))


def test_text_that_is_not_utf_8_is_refused_when_asked_for(write: Callable[[bytes], Path]) -> None:
    with GgufHeader(write(header_bytes({"k": b"\xff"}))) as header, pytest.raises(GgufError, match="UTF-8"):
        header.text("k")


def test_an_empty_a_missing_and_an_unreadable_file_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty.gguf").touch()
    for name in ("empty.gguf", "missing.gguf", "."):
        with pytest.raises(GgufError, match=(tmp_path / name).name):
            GgufHeader(tmp_path / name)


def test_the_digest_tells_values_and_absence_apart(tmp_path: Path) -> None:
    digests = set()
    for number, metadata in enumerate(({"k": "a"}, {"k": "b"}, {}, {"k": ["a"]}, {"k": Typed(UINT32, 1)})):
        with GgufHeader(write_gguf(tmp_path / f"{number}.gguf", metadata)) as header:
            digests.add(header.digest(["k"]))
    assert len(digests) == 5
