"""Apple's unified memory by the output of the system's own tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.machines import GB, commands, machine
from ullage.hardware.apple import SYSCTL, AppleProbe, free_bytes, share_bytes
from ullage.hardware.detection import detect
from ullage.memory.readings import MemoryReading

VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                              131072.
Pages active:                            400000.
Pages inactive:                          196608.
Pages speculative:                        65536.
Pages throttled:                              0.
Pages wired down:                        120000.
Pages purgeable:                           4000.
"Translation faults":                  90000000.
"""
IOREG = '  | "PerformanceStatistics" = {"Alloc system memory"=9,"In use system memory"=6442450944,"Tiler"=1}'


def sysctl(memory: int, limit_mb: int = 0) -> str:
    return f"hw.memsize: {memory * GB}\niogpu.wired_limit_mb: {limit_mb}\n"


def reading(**outputs: str | None) -> MemoryReading:
    return AppleProbe(commands(outputs)).read(3)


@pytest.mark.parametrize(("memory", "share"), [(24, 16), (36, 27), (64, 48)])
def test_the_usual_share_grows_with_memory(memory: int, share: int) -> None:
    assert share_bytes(sysctl(memory)) == share * GB


def test_a_limit_that_the_person_has_set_is_the_share() -> None:
    assert share_bytes(sysctl(64, limit_mb=57_344)) == 56 * GB


def test_a_limit_above_memory_is_memory() -> None:
    assert share_bytes(sysctl(16, limit_mb=10**9)) == 16 * GB


def test_free_memory_is_what_is_had_without_swapping() -> None:
    assert free_bytes(VM_STAT) == 6 * GB  # 2 free, 3 inactive, 1 speculative


def test_available_is_what_main_memory_has_free() -> None:
    told = reading(sysctl=sysctl(64), vm_stat=VM_STAT, ioreg=IOREG)
    assert (told.kind, told.total, told.available, told.at) == ("apple", 48 * GB, 6 * GB, 3)


def test_available_is_no_more_than_the_share_has_left() -> None:
    told = reading(sysctl=sysctl(64, limit_mb=8192), vm_stat=VM_STAT, ioreg=IOREG)
    assert (told.total, told.available) == (8 * GB, 2 * GB)


@pytest.mark.parametrize("vm_stat", [None, "", "Pages free: 5.", VM_STAT.replace("inactive", "other")])
def test_without_vm_stat_the_total_is_known(vm_stat: str | None) -> None:
    told = reading(sysctl=sysctl(64), vm_stat=vm_stat)
    assert (told.total, told.used, told.available) == (48 * GB, None, None)


def test_an_older_system_does_not_know_the_limit() -> None:
    answers = {SYSCTL: None, ("/usr/sbin/sysctl", "hw.memsize"): "hw.memsize: 25769803776\n"}
    probe = AppleProbe(lambda command: answers.get(tuple(command)))
    assert probe.read(0).total == 16 * GB


def test_a_system_that_tells_nothing_is_read_as_main_memory(tmp_path: Path) -> None:
    assert detect(machine(tmp_path, platform="darwin", architecture="arm64")).kind == "cpu"
