"""How figures are put together."""

from __future__ import annotations

import pytest

from ullage.hardware.probe import blank, device, summed, unreadable
from ullage.memory.readings import DeviceReading


@pytest.mark.parametrize("total", [None, -1, 10**18, 2**64 - 1])
def test_an_amount_that_no_memory_has_is_unknown(total: int | None) -> None:
    assert device("A", total, 5) == unreadable("A")


@pytest.mark.parametrize(("available", "used"), [(-5, 100), (0, 100), (40, 60), (500, 0)])
def test_figures_agree(available: int, used: int) -> None:
    assert device("A", 100, available) == DeviceReading("A", 100, used, 100 - used)


def test_sums_are_of_the_devices_that_answer() -> None:
    reading = summed("amd", [device("A", 100, 40), unreadable("B"), device("C", 10, 10)], 0)
    assert (reading.total, reading.used, reading.available) == (110, 60, 50)


def test_one_unknown_use_makes_the_sum_of_use_unknown() -> None:
    reading = summed("amd", [device("A", 100, 40), device("B", 10, None)], 0)
    assert (reading.total, reading.used, reading.available) == (110, None, None)


def test_without_an_answer_nothing_is_known() -> None:
    for devices in ([], [unreadable("A")]):
        reading = summed("amd", devices, 0, 5)
        assert (reading.total, reading.used, reading.available, reading.model_loaded) == (None,) * 4


@pytest.mark.parametrize(("held", "expected"), [(None, None), (0, 0), (60, 60), (61, 60)])
def test_models_hold_no_more_than_is_used(held: int | None, expected: int | None) -> None:
    assert summed("cpu", [device("A", 100, 40)], 0, held).model_loaded == expected


def test_a_blank_keeps_kind_and_names() -> None:
    reading = summed("amd", [device("A", 100, 40), unreadable("B")], 5, 7)
    assert blank(reading, 9) == summed("amd", [unreadable("A"), unreadable("B")], 9)
