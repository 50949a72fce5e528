"""When low memory is told."""

from __future__ import annotations

import pytest

from ullage.memory.readings import MemoryReading
from ullage.memory.watermark import Watermark, low_watermark_bytes
from ullage.settings import ContextSettings, MemorySettings, Settings

MB = 2**20


def reading(available: int | None) -> MemoryReading:
    return MemoryReading("cpu", 1000, None, available, None, (), 0)


def fired(threshold: int, *amounts: int | None) -> list[bool]:
    mark, told = Watermark(threshold), []
    for amount in amounts:
        mark, now = mark.observe(reading(amount))
        told.append(now)
    return told


def test_it_is_told_once_on_crossing() -> None:
    assert fired(100, 150, 100, 99, 50, 0) == [False, False, True, False, False]


def test_it_is_told_again_after_recovery_only() -> None:
    assert fired(100, 99, 110, 99, 124, 99, 125, 99) == [True, False, False, False, False, False, True]


def test_what_cannot_be_read_changes_nothing() -> None:
    assert fired(100, None, 99, None, 99, 125, None, 99) == [False, True, False, False, False, False, True]


def test_without_a_mark_memory_is_never_low() -> None:
    assert fired(0, 10, 0, 10, 0) == [False] * 4


@pytest.mark.parametrize(("buffer", "own", "expected"), [(512, 0, 256 * MB), (512, 100, 100 * MB), (0, 0, 0)])
def test_the_default_is_half_of_what_sizing_leaves_free(buffer: int, own: int, expected: int) -> None:
    settings = Settings(context=ContextSettings(vram_buffer=buffer), memory=MemorySettings(low_watermark_mb=own))
    assert low_watermark_bytes(settings) == expected
