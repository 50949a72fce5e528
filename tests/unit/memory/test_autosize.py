"""When a change of memory is worth a reload."""

from __future__ import annotations

import attrs

from ullage.memory.autosize import Allocated, growth_wait_s, new_size

RESTED = 10_000.0
GIB = 2**30
A_TOKEN = 128 * 1024
BUFFER = GIB // 2


def test_a_large_step_is_taken() -> None:
    assert new_size(Allocated(16_384, RESTED), 32_768, 2048, 0) == 32_768
    assert new_size(Allocated(32_768, RESTED), 16_384, 2048, 0) == 16_384


def test_a_small_step_is_not_worth_a_reload() -> None:
    assert new_size(Allocated(16_384, RESTED), 18_000, 2048, 0) is None
    assert new_size(Allocated(2048, RESTED), 3000, 2048, 0) is None


def test_nothing_is_changed_again_soon() -> None:
    assert new_size(Allocated(16_384, 60.0), 32_768, 2048, 0) is None
    assert new_size(Allocated(16_384, 300.0), 32_768, 2048, 0) == 32_768


def test_short_memory_shrinks_sooner() -> None:
    assert new_size(Allocated(16_384, 20.0, memory_short=True), 8192, 2048, 0) == 8192
    assert new_size(Allocated(16_384, 19.0, memory_short=True), 8192, 2048, 0) is None
    assert new_size(Allocated(16_384, 60.0, memory_short=True), 32_768, 2048, 0) is None


def test_short_memory_shrinks_by_no_less_than_is_worth_a_reload() -> None:
    assert new_size(Allocated(16_384, 20.0, memory_short=True), 16_128, 2048, 0) == 14_336
    assert new_size(Allocated(4096, 20.0, memory_short=True), 3840, 2048, 0) == 3072


def test_short_memory_again_and_again_doubles_the_step() -> None:
    short = Allocated(65_536, 20.0, memory_short=True)
    sizes = [new_size(attrs.evolve(short, repeats=repeats), 65_280, 2048, 0) for repeats in range(5)]
    assert sizes == [57_344, 49_152, 32_768, 2048, 2048]


def test_growing_waits_longer_the_more_often_memory_ran_short() -> None:
    assert new_size(Allocated(16_384, 300.0, repeats=1), 32_768, 2048, 0) is None
    assert new_size(Allocated(16_384, 600.0, repeats=1), 32_768, 2048, 0) == 32_768
    assert [growth_wait_s(repeats) for repeats in (0, 2, 100)] == [300.0, 1200.0, 3600.0]


def test_a_size_that_was_refused_is_not_tried_again() -> None:
    refused = Allocated(16_384, RESTED, refused=32_768)
    assert new_size(refused, 65_536, 2048, 0) is None
    assert new_size(refused, 32_768, 2048, 0) is None
    assert new_size(refused, 32_512, 2048, 0) == 32_512
    assert new_size(refused, 8192, 2048, 0) == 8192


def test_a_rival_that_comes_and_goes_costs_a_handful_of_reloads_an_hour() -> None:
    """A card of 16 GiB on which another program holds 4 GiB during half of every 160 s, and nothing reads as missing
    once all is taken: what is free is 0 then, however much too much is in use."""
    tokens, changed_at, repeats, reloads = 77_824, -RESTED, 0, 0
    for now in range(0, 3600, 5):
        rival = 4 * GIB if now % 160 >= 80 else 0
        held = tokens * A_TOKEN
        free = max(16 * GIB - 6 * GIB - rival - held, 0)
        best = (free + held - BUFFER) // A_TOKEN // 256 * 256
        if now - changed_at >= growth_wait_s(repeats):
            repeats = 0
        short = free < BUFFER // 2
        changed = new_size(Allocated(tokens, now - changed_at, short, repeats), best, 2048, 0)
        if changed is not None:
            repeats += short
            tokens, changed_at, reloads = changed, now, reloads + 1
    assert 2 <= reloads <= 8


def test_a_size_that_nobody_changed_yet_may_be_changed() -> None:
    assert new_size(Allocated(4096, None), 32_768, 2048, 0) == 32_768


def test_bounds_are_kept_and_mended_at_once() -> None:
    assert new_size(Allocated(16_384, RESTED), 512, 2048, 0) == 2048
    assert new_size(Allocated(4096, RESTED), 100_000, 2048, 8192) == 8192
    assert new_size(Allocated(16_384, 1.0), 16_384, 2048, 16_000) == 16_000
    assert new_size(Allocated(1000, 1.0), 1000, 2048, 0) == 2048
