"""What NVML may do that a library behind the real binding can't easily be made to; the rest is in e2e/test_nvml.py."""

from __future__ import annotations

from pathlib import Path

import pynvml
import pytest

from support.fake_nvml_binding import FUNCTION_NOT_FOUND, UNKNOWN, FakeBinding
from support.machines import machine
from ullage.hardware.nvidia import NvidiaProbe, find_nvidia


def probe(binding: FakeBinding) -> NvidiaProbe:
    return NvidiaProbe(binding, machine(Path("/nowhere")).memory(), lambda pid: False)


def test_a_driver_that_lacks_everything_but_memory_is_enough() -> None:
    missing = pynvml.NVMLError(FUNCTION_NOT_FOUND)
    reading = probe(FakeBinding({"A": 40}, {"nvmlDeviceGetName": missing, "nvmlDeviceGetUUID": missing})).read(0)
    assert [device.name for device in reading.devices] == ["NVIDIA GPU 0"]
    assert (reading.total, reading.available, reading.model_loaded) == (100, 40, None)


def test_a_name_that_is_no_text_is_replaced() -> None:
    garbage = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid")
    reading = probe(FakeBinding({"A": 40}, {"nvmlDeviceGetName": garbage})).read(0)
    assert [device.name for device in reading.devices] == ["NVIDIA GPU 0"]


@pytest.mark.parametrize("call", ["nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex", "nvmlDeviceGetMemoryInfo"])
def test_whichever_call_fails_the_card_is_unknown_and_comes_back(call: str) -> None:
    binding = FakeBinding({"A": 40})
    reader = probe(binding)
    whole = reader.read(0)
    binding.failing = {call: pynvml.NVMLError(UNKNOWN)}
    for at in (1, 2):
        reading = reader.read(at)
        assert [(device.name, device.total) for device in reading.devices] == [("A", None)]
        assert (reading.total, reading.used, reading.available, reading.model_loaded) == (None,) * 4
    binding.failing = {}
    assert reader.read(0) == whole


def test_a_card_that_was_lost_before_it_was_ever_read_is_listed() -> None:
    binding = FakeBinding({"A": 40, "B": 50}, {"nvmlDeviceGetHandleByIndex": pynvml.NVMLError(UNKNOWN)})
    reader = probe(binding)
    assert [device.name for device in reader.read(0).devices] == ["NVIDIA GPU 0", "NVIDIA GPU 1"]
    binding.failing = {}
    assert [device.name for device in reader.read(1).devices] == ["A", "B"]


def test_every_new_start_ends_the_one_before() -> None:
    binding = FakeBinding({"A": None})
    reader = probe(binding)
    for at in range(5):
        reader.read(at)
    assert binding.started == 1


def test_a_new_start_that_fails_is_tried_again() -> None:
    binding = FakeBinding({"A": None})
    reader = probe(binding)
    reader.read(0)
    binding.cards = {"A": 40}
    binding.failing = {"nvmlInit": pynvml.NVMLError(UNKNOWN)}
    assert reader.read(1).total is None
    binding.failing = {}
    assert reader.read(2).total == 100


def test_main_memory_is_counted_once_for_all_boards_without_their_own() -> None:
    binding = FakeBinding({"A": 40, "B": 40}, {"nvmlDeviceGetMemoryInfo": pynvml.NVMLError(3)})
    reading = probe(binding).read(0)
    assert reading.devices[1].total is None
    assert reading.total == reading.devices[0].total == 16 * 2**30


def test_more_free_than_there_is_can_not_be() -> None:
    reading = probe(FakeBinding({"A": 140})).read(0)
    assert (reading.total, reading.used, reading.available) == (100, 0, 100)


@pytest.mark.parametrize("error", [ImportError(), OSError(), pynvml.NVMLError(9), AttributeError()])
def test_a_binding_that_does_not_load_is_no_card(error: Exception) -> None:
    def load() -> object:
        raise error

    assert find_nvidia(load, machine(Path("/nowhere")).memory(), lambda pid: False) is None
