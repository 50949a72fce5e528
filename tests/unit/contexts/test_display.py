"""The rows of a status, and their Markdown."""

from __future__ import annotations

import pytest

from support import shown_values as shown
from ullage.contexts.commands import rendering
from ullage.contexts.commands.display import context_rows, snapshot_rows, status_rows
from ullage.contexts.values import AutoCompress, CompressionRecord, ContextStatus, KvCacheState, ModelState
from ullage.memory.readings import MemoryReading
from ullage.settings import Mode, SettingValue


def text_of(label: str, value: ContextStatus) -> str:
    return next(row.text for row in status_rows(value) if row.label == label)


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("Model", "llama3"),
        ("Provider", "ollama (loaded)"),
        ("Tokens", "12,847 / 32,768 (39%)"),
        ("Answer", "1,024 tokens kept free for it"),
        ("Turns left", "about 6 until 80%"),
        ("Size", "automatic"),
        ("Memory", "unknown"),
        ("KV cache", "f16 (assumed), size 1.5 GB"),
        ("Snapshots", "2"),
        ("Compression", "on, from 80%"),
    ],
)
def test_a_row_says(label: str, text: str) -> None:
    assert text_of(label, shown.status()) == text


def test_memory_that_is_known_is_shown_in_use_and_in_all() -> None:
    assert text_of("Memory", shown.status(memory=shown.reading())) == "6.0 GB / 8.0 GB (75%), nvidia on 2 devices"


def test_memory_of_which_a_part_is_unknown_is_unknown() -> None:
    reading = MemoryReading("intel", 8 * 2**30, None, None, None, (), 1)
    assert text_of("Memory", shown.status(memory=reading)) == "unknown"


def test_a_missing_model_server_is_said() -> None:
    value = shown.status(model=ModelState(None, None, loaded=False))
    assert text_of("Provider", value) == "no model server answers"
    assert text_of("Model", value) == "none chosen yet"


def test_an_estimated_count_says_so() -> None:
    assert text_of("Tokens", shown.status(usage=shown.usage(source="tiktoken"))).endswith(", by estimate")


def test_a_cache_of_unknown_type_still_has_its_size() -> None:
    value = shown.status(kv_cache=KvCacheState(None, "measured", 2**30))
    assert text_of("KV cache", value) == "type unknown, size 1.0 GB"


def test_what_is_switched_off_says_so() -> None:
    value = shown.status(auto_size=False, auto_compress=AutoCompress(enabled=False, threshold=0.8))
    assert (text_of("Size", value), text_of("Compression", value)) == ("fixed", "off")


def test_an_unknown_window_has_no_bar() -> None:
    rows = status_rows(shown.status(usage=shown.usage(limit=None)))
    assert all(row.label for row in rows)


def test_a_calm_window_has_no_warning() -> None:
    assert all(row.label != "Warning" for row in status_rows(shown.status()))


@pytest.mark.parametrize(
    ("warning", "text"),
    [
        ("high", "high, 85% of what is usable is in use: /context compress makes room"),
        ("critical", "critical, 85% of what is usable is in use: the next answer will need room to be made"),
    ],
)
def test_a_warning_says_what_comes_or_what_to_do(warning: str, text: str) -> None:
    assert text_of("Warning", shown.status(warning=warning, usage=shown.usage(pressure=0.85))) == text


@pytest.mark.parametrize(
    ("value", "text"), [({"pirate": Mode()}, "pirate"), ({}, "none"), (None, "none"), (True, "true"), (0.8, "0.8")]
)
def test_settings_are_shown_as_people_write_them(value: object, text: str) -> None:
    settings = (SettingValue("a.path", value, "editor"),)
    assert f"| a.path | {text} | editor |" in rendering.stats(shown.stats(settings=settings))


def test_the_last_compression_is_told_in_the_statistics() -> None:
    value = shown.stats(compressions=(CompressionRecord(1, "truncate", 0.7), CompressionRecord(2, "hybrid", 0.5)))
    assert "| Compressions | 2, the last to 50% by hybrid |" in rendering.stats(value)


def test_a_context_is_a_row_of_the_list() -> None:
    context = shown.context(model=None, usage=shown.usage(5, None, messages=1), last_used_at=0)
    assert context_rows([context], now_ms=120_000) == [
        ("main", "ready", "5 tokens, window unknown", "1", "none yet", "2 minutes ago")
    ]


def test_snapshots_are_numbered() -> None:
    rows = snapshot_rows([shown.snapshot("NEWEST"), shown.snapshot("0LDEST")])
    assert [row[:2] for row in rows] == [("1", "NEWEST"), ("2", "0LDEST")]


def test_markdown_has_the_rows_below_the_name() -> None:
    lines = rendering.status(shown.status(context=shown.context(name="a_b* |"))).split("\n")
    assert lines[:4] == [r"| a_b\* \| |  |", "| --- | --- |", "| Model | llama3 |", "| Provider | ollama (loaded) |"]
