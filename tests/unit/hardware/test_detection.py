"""Which probe a machine gets."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from support.fake_nvml_binding import FakeBinding
from support.machines import AMD, INTEL, card, commands, machine, write
from ullage.hardware.detection import detect

ROCM_SMI = '{"card0": {"VRAM Total Memory (B)": "1000", "VRAM Total Used Memory (B)": "100"}}'


def broken() -> object:
    raise ZeroDivisionError


def everything(root: Path) -> dict[str, object]:
    """A machine with a card of every vendor that can be in one."""
    write(root, card(0, INTEL, **{"tile0/physical_vram_size_bytes": 500}))
    write(root, card(1, AMD, mem_info_vram_total=1000, mem_info_vram_used=100))
    return {
        "load_nvml": lambda: FakeBinding({"A": 40}),
        "find_executable": lambda name: f"/opt/{name}",
        "run": commands({"rocm-smi": ROCM_SMI}),
    }


def test_nvidia_comes_before_all_others(tmp_path: Path) -> None:
    assert detect(machine(tmp_path, **everything(tmp_path))).kind == "nvidia"


def test_amd_comes_before_intel(tmp_path: Path) -> None:
    parts = {**everything(tmp_path), "load_nvml": broken}
    probe = detect(machine(tmp_path, **parts))
    assert (probe.kind, probe.name) == ("amd", "amdgpu driver")


def test_rocm_smi_is_asked_where_the_drivers_files_are_missing(tmp_path: Path) -> None:
    parts = {"find_executable": lambda name: f"/opt/{name}", "run": commands({"rocm-smi": ROCM_SMI})}
    probe = detect(machine(tmp_path, **parts))
    assert (probe.kind, probe.name) == ("amd", "rocm-smi")


def test_a_rocm_smi_without_a_card_is_passed_over(tmp_path: Path) -> None:
    parts = {"find_executable": lambda name: f"/opt/{name}", "run": commands({"rocm-smi": "{}"})}
    assert detect(machine(tmp_path, **parts)).kind == "cpu"


def test_intel_is_found_where_nothing_else_is(tmp_path: Path) -> None:
    write(tmp_path, card(0, INTEL, **{"tile0/physical_vram_size_bytes": 500}))
    assert detect(machine(tmp_path)).kind == "intel"


def test_a_processors_own_graphics_use_main_memory(tmp_path: Path) -> None:
    write(tmp_path, card(0, INTEL))
    assert detect(machine(tmp_path)).kind == "cpu"


def test_apple_is_found_on_its_own_processors_alone(tmp_path: Path) -> None:
    run = commands({"sysctl": "hw.memsize: 17179869184\n"})
    assert detect(machine(tmp_path, platform="darwin", architecture="arm64", run=run)).kind == "apple"
    assert detect(machine(tmp_path, platform="darwin", architecture="x86_64", run=run)).kind == "cpu"


def test_main_memory_is_what_is_left(tmp_path: Path) -> None:
    probe = detect(machine(tmp_path))
    assert (probe.kind, probe.name) == ("cpu", "system memory")


def test_a_driver_that_breaks_in_the_search_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert detect(machine(tmp_path, find_executable=lambda name: 1 // 0)).kind == "cpu"
    assert "ZeroDivisionError" in caplog.text


def test_this_machine_has_one_that_can_be_read() -> None:
    reading = detect().read(5)
    assert reading.at == 5
    assert reading.total is None or reading.total > 0
