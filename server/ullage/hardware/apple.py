"""Apple's unified memory: the share of it that the graphics processor may hold.

Without ``iogpu.wired_limit_mb`` that share is what Metal gives as ``recommendedMaxWorkingSetSize``: two thirds of
memory, from 36 GB on three quarters. Available is what neither main memory nor the share has taken: free, speculative
and inactive pages by ``vm_stat``, and the share less what the accelerator says it has in use.
"""

from __future__ import annotations

import re

from ullage.hardware.commands import Run
from ullage.hardware.files import number_after
from ullage.hardware.probe import device, summed
from ullage.memory.readings import HardwareKind, MemoryReading

SYSCTL = ("/usr/sbin/sysctl", "hw.memsize", "iogpu.wired_limit_mb")
SYSCTL_OLDER = ("/usr/sbin/sysctl", "hw.memsize")  # a name that is not known makes the whole command fail
VM_STAT = ("/usr/bin/vm_stat",)
IOREG = ("/usr/sbin/ioreg", "-r", "-d", "1", "-w", "0", "-c", "IOAccelerator")
LARGER_SHARE_FROM = 36 * 2**30

_PAGE_SIZE = re.compile(r"page size of (\d{1,8}) bytes")
_IN_USE = re.compile(r'"In use system memory"\s*=\s*(\d{1,18})')


def find_apple(platform: str, architecture: str, run: Run) -> AppleProbe | None:
    """None but on Apple's own processors: the older Macs' models run in main memory."""
    if platform != "darwin" or architecture != "arm64":
        return None
    probe = AppleProbe(run)
    return probe if probe.read(0).total is not None else None


class AppleProbe:
    kind: HardwareKind = "apple"
    name = "unified memory"

    def __init__(self, run: Run) -> None:
        self._run = run

    def read(self, at_ms: int) -> MemoryReading:
        total = share_bytes(self._run(SYSCTL) or self._run(SYSCTL_OLDER))
        available = None if total is None else self._available(total)
        return summed(self.kind, [device("Apple GPU", total, available)], at_ms)

    def _available(self, share: int) -> int | None:
        free = free_bytes(self._run(VM_STAT))
        if free is None:
            return None
        in_use = _IN_USE.search(self._run(IOREG) or "")
        return min(free, share - int(in_use[1]) if in_use else share)


def free_bytes(vm_stat: str | None) -> int | None:
    """What programs can have without anything being swapped; None where the output is not ``vm_stat``'s."""
    page = _PAGE_SIZE.search(vm_stat or "")
    if vm_stat is None or page is None:
        return None
    free, inactive = number_after(vm_stat, "Pages free"), number_after(vm_stat, "Pages inactive")
    if free is None or inactive is None:
        return None
    return int(page[1]) * (free + inactive + (number_after(vm_stat, "Pages speculative") or 0))


def share_bytes(sysctl: str | None) -> int | None:
    """What the graphics processor may hold of main memory; None where the output is not ``sysctl``'s."""
    memory = number_after(sysctl or "", "hw.memsize")
    if not memory:
        return None
    limit = (number_after(sysctl or "", "iogpu.wired_limit_mb") or 0) * 2**20
    usual = memory * 3 // 4 if memory >= LARGER_SHARE_FROM else memory * 2 // 3
    return min(limit or usual, memory)
