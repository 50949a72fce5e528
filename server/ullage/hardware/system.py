"""Main memory: what the machine has, or the container that this process runs in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attrs import frozen

from ullage.hardware.cgroups import rooms
from ullage.hardware.probe import device, summed
from ullage.hardware.processes import ResidentServers
from ullage.memory.readings import HardwareKind, MemoryReading


@frozen
class Ram:
    """Bytes of main memory; None: it can't be told."""

    total: int | None
    available: int | None


def host_ram() -> Ram:
    """The whole machine's, container or not."""
    import psutil  # noqa: PLC0415  # needed with the first reading, not for starting up

    try:
        memory = psutil.virtual_memory()
    except (psutil.Error, OSError, RuntimeError, ValueError, LookupError):
        return Ram(None, None)
    return Ram(int(memory.total), int(memory.available))


@frozen
class SystemMemory:
    """Main memory as this process may use it. Folders and the host's figures can be others, for tests."""

    proc: Path = Path("/proc")
    cgroups: Path = Path("/sys/fs/cgroup")
    host: Callable[[], Ram] = host_ram

    def read(self) -> Ram:
        """The smaller of the machine's memory and of every limit that a container sets."""
        ram = self.host()
        total, available = ram.total, ram.available
        for room in rooms(self.proc, self.cgroups):
            total = room.limit if total is None else min(total, room.limit)
            if room.free is not None:
                available = room.free if available is None else min(available, room.free)
        return Ram(total, available)


class SystemProbe:
    """The fallback for machines without a graphics card that models can use."""

    kind: HardwareKind = "cpu"
    name = "system memory"

    def __init__(self, memory: SystemMemory, servers: ResidentServers) -> None:
        self._memory = memory
        self._servers = servers

    def read(self, at_ms: int) -> MemoryReading:
        ram = self._memory.read()
        devices = [device("System memory", ram.total, ram.available)]
        return summed(self.kind, devices, at_ms, self._servers.read(at_ms))
