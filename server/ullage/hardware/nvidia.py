"""NVIDIA cards through NVML, the library that comes with their driver.

Nothing is taken for granted of it: older drivers lack functions, cards are lost and come back, boards with unified
memory have none of their own to tell, and a slice (MIG) stands in place of the card that it is cut from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from attrs import Factory, define, frozen

from ullage.hardware.probe import device, summed, unreadable
from ullage.hardware.processes import Serves, held_by_servers
from ullage.hardware.system import SystemMemory
from ullage.memory.readings import DeviceReading, HardwareKind, MemoryReading

MOST_CARDS = 64
MOST_SLICES = 16
NOT_TOLD = 2**64 - 1


def load_nvml() -> Any:
    """The binding, initialised. Raises what importing it or NVML raises; without a driver that is NVMLError."""
    import pynvml  # noqa: PLC0415  # thousands of lines that only machines with this vendor's driver need

    pynvml.nvmlInit()
    return pynvml


def find_nvidia(load: Callable[[], Any], memory: SystemMemory, serves: Serves) -> NvidiaProbe | None:
    """None where the driver is missing or sees no card."""
    try:
        nvml = load()
    except Exception:  # a broken driver fails in ways of its own; none of them is ours to report
        return None
    with suppress(nvml.NVMLError):
        if nvml.nvmlDeviceGetCount() > 0:
            return NvidiaProbe(nvml, memory, serves)
    return None


@frozen
class _Card:
    """``key`` tells it from others, also when their numbers change."""

    key: str
    devices: tuple[DeviceReading, ...]


@define
class _Usage:
    """Bytes by process id over all cards; ``is_told`` once a driver has listed processes at all."""

    by_pid: dict[int, int | None] = Factory(dict)
    is_told: bool = False

    def add(self, pid: int, amount: int | None) -> None:
        before = self.by_pid.get(pid, 0)
        self.by_pid[pid] = None if before is None or amount is None else before + amount


class NvidiaProbe:
    """``nvml`` is the binding's module, initialised. After a failure it is initialised anew before the next reading:
    a card that comes back is not seen otherwise."""

    kind: HardwareKind = "nvidia"
    name = "NVML"

    def __init__(self, nvml: Any, memory: SystemMemory, serves: Serves) -> None:
        self._nvml = nvml
        self._memory = memory
        self._serves = serves
        self._names: dict[str, tuple[str, ...]] = {}
        self._keys: dict[int, str] = {}
        self._is_stale = False
        self._ram_is_counted = False

    def read(self, at_ms: int) -> MemoryReading:
        self._ram_is_counted = False
        usage = _Usage()
        readings = {card.key: card.devices for card in self._cards(usage)}
        keys = dict.fromkeys((*self._names, *readings))  # known cards keep their places
        devices = [entry for key in keys for entry in readings.get(key) or self._lost(key)]
        held = held_by_servers(usage.by_pid, self._serves) if usage.is_told else None
        return summed(self.kind, devices, at_ms, held)

    def _cards(self, usage: _Usage) -> Iterator[_Card]:
        """The cards that the driver lists, lost ones included where they are still counted."""
        try:
            self._start_anew()
            count = min(self._nvml.nvmlDeviceGetCount(), MOST_CARDS)
        except self._nvml.NVMLError:
            self._is_stale = True
            return
        for index in range(count):
            try:
                yield self._card(index, usage)
            except self._nvml.NVMLError:
                self._is_stale = True
                key = self._keys.get(index, f"card {index}")
                if key not in self._names:
                    yield _Card(key, (unreadable(f"NVIDIA GPU {index}"),))

    def _start_anew(self) -> None:
        if self._is_stale:
            with suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()
            self._nvml.nvmlInit()
            self._is_stale = False

    def _card(self, index: int, usage: _Usage) -> _Card:
        """Raises NVMLError where the card as a whole does not answer."""
        handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
        key = self._key(handle, index)
        parts = self._slices(handle) or [handle]
        devices = tuple(self._device(part, f"NVIDIA GPU {index}") for part in parts)
        for part, entry in zip(parts, devices, strict=True):
            if entry.total is not None:
                self._add_processes(part, usage)
        self._keys[index] = key
        self._names[key] = tuple(entry.name for entry in devices)
        return _Card(key, devices)

    def _key(self, handle: Any, index: int) -> str:
        try:
            return str(self._nvml.nvmlDeviceGetUUID(handle))
        except (self._nvml.NVMLError_FunctionNotFound, self._nvml.NVMLError_NotSupported, ValueError):
            return f"card {index}"

    def _slices(self, handle: Any) -> list[Any]:
        """The card's slices; none where it is whole."""
        nvml = self._nvml
        found = []
        with suppress(nvml.NVMLError_FunctionNotFound, nvml.NVMLError_NotSupported, nvml.NVMLError_NoPermission):
            if nvml.nvmlDeviceGetMigMode(handle)[0]:
                for index in range(min(nvml.nvmlDeviceGetMaxMigDeviceCount(handle), MOST_SLICES)):
                    with suppress(nvml.NVMLError_NotFound, nvml.NVMLError_InvalidArgument):
                        found.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index))
        return found

    def _device(self, handle: Any, usual_name: str) -> DeviceReading:
        name = usual_name
        with suppress(self._nvml.NVMLError, ValueError):
            name = str(self._nvml.nvmlDeviceGetName(handle)) or usual_name
        try:
            memory = self._memory_info(handle)
        except self._nvml.NVMLError_NotSupported:
            return self._unified(name)
        except self._nvml.NVMLError_NoPermission:
            return unreadable(name)
        except self._nvml.NVMLError:
            self._is_stale = True
            return unreadable(name)
        return device(name, int(memory.total), int(memory.free))

    def _memory_info(self, handle: Any) -> Any:
        """The second version tells the driver's own share apart from what is used; drivers before 510 lack it."""
        nvml = self._nvml
        try:
            return nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
        except (nvml.NVMLError_FunctionNotFound, nvml.NVMLError_ArgumentVersionMismatch):
            return nvml.nvmlDeviceGetMemoryInfo(handle)

    def _unified(self, name: str) -> DeviceReading:
        """Main memory in place of the card's own, for one card only: it is there once."""
        if self._ram_is_counted:
            return unreadable(name)
        self._ram_is_counted = True
        ram = self._memory.read()
        return device(name, ram.total, ram.available)

    def _add_processes(self, handle: Any, usage: _Usage) -> None:
        """A process that computes and draws stands in both lists with the same amount."""
        amounts: dict[int, int | None] = {}
        for purpose in ("Compute", "Graphics"):
            for process in self._processes(handle, purpose, usage):
                amount = process.usedGpuMemory
                amounts[int(process.pid)] = None if amount in (None, NOT_TOLD) else int(amount)
        for pid, amount in amounts.items():
            usage.add(pid, amount)

    def _processes(self, handle: Any, purpose: str, usage: _Usage) -> list[Any]:
        """Those that compute, or draw (Vulkan servers are among these); none where the driver does not tell."""
        nvml = self._nvml
        for version in ("_v3", "_v2"):
            with suppress(nvml.NVMLError):
                listed: list[Any] = getattr(nvml, f"nvmlDeviceGet{purpose}RunningProcesses{version}")(handle)
                usage.is_told = True
                return listed
        return []

    def _lost(self, key: str) -> tuple[DeviceReading, ...]:
        return tuple(map(unreadable, self._names[key]))
