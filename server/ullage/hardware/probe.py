"""What every kind of hardware answers, and how a reading is put together so that its figures agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from ullage.memory.readings import DeviceReading, HardwareKind, MemoryReading

MOST_BYTES = 10**18
"""What a driver tells beyond this is no amount of memory."""


class Probe(Protocol):
    """One kind of hardware. ``read`` may take long or hang, so it is called on a thread of its own (see `polling`)."""

    @property
    def kind(self) -> HardwareKind: ...

    @property
    def name(self) -> str:
        """Where the figures come from, in words for a person."""
        ...

    def read(self, at_ms: int) -> MemoryReading:
        """The memory at ``at_ms`` (milliseconds since the epoch). What can't be read is None in it."""
        ...


def device(name: str, total: int | None, available: int | None) -> DeviceReading:
    """A device's bytes. ``used`` is all that is not available, what a driver keeps for itself included, so that the
    three figures always agree; an available amount out of range is brought into it."""
    if total is None or not 0 <= total < MOST_BYTES:
        return DeviceReading(name, None, None, None)
    if available is None:
        return DeviceReading(name, total, None, None)
    available = min(max(available, 0), total)
    return DeviceReading(name, total, total - available, available)


def unreadable(name: str) -> DeviceReading:
    return DeviceReading(name, None, None, None)


def summed(
    kind: HardwareKind, devices: Sequence[DeviceReading], at_ms: int, model_loaded: int | None = None
) -> MemoryReading:
    """All devices in one reading. The sums are over the devices that answered: a lost card's memory is nobody's.
    Models hold at most what is used: weights mapped from a file are resident, but count as available."""
    answering = [entry for entry in devices if entry.total is not None]
    total, used = _sum(entry.total for entry in answering), _sum(entry.used for entry in answering)
    most_loaded = total if used is None else used
    return MemoryReading(
        kind=kind,
        total=total,
        used=used,
        available=_sum(entry.available for entry in answering),
        model_loaded=None if model_loaded is None or most_loaded is None else min(model_loaded, most_loaded),
        devices=tuple(devices),
        at=at_ms,
    )


def blank(reading: MemoryReading, at_ms: int) -> MemoryReading:
    """The same shape, nothing known."""
    return summed(reading.kind, [unreadable(entry.name) for entry in reading.devices], at_ms)


def _sum(amounts: Iterable[int | None]) -> int | None:
    """None where there is nothing to add, or one of the amounts is unknown."""
    known = 0
    empty = True
    for amount in amounts:
        if amount is None:
            return None
        known, empty = known + amount, False
    return None if empty else known
