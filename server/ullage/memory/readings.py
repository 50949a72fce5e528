"""What the hardware says of its memory, as values. What could not be read is ``None``: never 0, never an exception."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

HardwareKind = Literal["nvidia", "amd", "apple", "intel", "cpu"]


@frozen
class DeviceReading:
    """One device's memory in bytes; None: it can't be told."""

    name: str
    total: int | None
    used: int | None
    available: int | None


@frozen
class MemoryReading:
    """All devices in sum, in bytes; ``model_loaded`` is what processes of model servers hold of it. ``at`` is in
    milliseconds since the epoch."""

    kind: HardwareKind
    total: int | None
    used: int | None
    available: int | None
    model_loaded: int | None
    devices: tuple[DeviceReading, ...]
    at: int
