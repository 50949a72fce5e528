"""Intel cards by their kernel drivers' files, which tell the total only: xe by tile, i915 by card."""

from __future__ import annotations

from pathlib import Path

from ullage.hardware.drm import cards_of
from ullage.hardware.files import names_in, number_of
from ullage.hardware.probe import device, summed
from ullage.memory.readings import HardwareKind, MemoryReading

INTEL = "0x8086"


def find_intel(sysfs: Path) -> IntelProbe | None:
    """None where there is no Intel card with memory of its own; a processor's graphics use main memory."""
    cards = [card for card in cards_of(sysfs, INTEL) if total_bytes(card)]
    return IntelProbe(cards) if cards else None


def total_bytes(card: Path) -> int | None:
    tiles = [name for name in names_in(card / "device") if name.startswith("tile")]
    amounts = [number_of(card / "device" / tile / "physical_vram_size_bytes") for tile in tiles]
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else number_of(card / "lmem_total_bytes")


class IntelProbe:
    kind: HardwareKind = "intel"
    name = "Intel driver (total only)"

    def __init__(self, cards: list[Path]) -> None:
        self._cards = cards

    def read(self, at_ms: int) -> MemoryReading:
        devices = [device(f"Intel GPU {index}", total_bytes(card), None) for index, card in enumerate(self._cards)]
        return summed(self.kind, devices, at_ms)
