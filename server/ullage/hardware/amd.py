"""AMD cards by the amdgpu driver's files; no ROCm is needed.

``mem_info_vram_*`` is a card's own memory. A processor's graphics (an APU) has a small part set aside there, and
takes the rest from main memory through the tables whose size ``mem_info_gtt_*`` tells. Which of the two it is stands in
``gpu_metrics``: format 1 is a card's, 2 and 3 an APU's (``kgd_pp_interface.h`` in Linux).
"""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from ullage.hardware.drm import cards_of
from ullage.hardware.files import names_in, number_of, text_of
from ullage.hardware.probe import device, summed
from ullage.hardware.processes import Serves, held_by_servers
from ullage.hardware.system import SystemMemory
from ullage.memory.readings import DeviceReading, HardwareKind, MemoryReading

AMD = "0x1002"
MOST_SET_ASIDE = 2 * 2**30
"""Where ``gpu_metrics`` can't be read, a card with no more memory of its own and a larger table is taken for an APU."""


@frozen
class AmdCard:
    folder: Path
    name: str
    is_apu: bool


def find_amd(sysfs: Path, memory: SystemMemory, serves: Serves) -> AmdProbe | None:
    """None where the amdgpu driver lists no card. Beside a card of its own memory an APU is left out: model servers
    do not spread a model over both."""
    found = [
        folder / "device"
        for folder in cards_of(sysfs, AMD)
        if number_of(folder / "device/mem_info_vram_total") is not None
    ]
    cards = [
        AmdCard(folder, text_of(folder / "product_name") or f"AMD GPU {index}", _is_apu(folder))
        for index, folder in enumerate(found)
    ]
    used = [card for card in cards if not card.is_apu] or cards
    return AmdProbe(used, sysfs, memory, serves) if used else None


class AmdProbe:
    kind: HardwareKind = "amd"
    name = "amdgpu driver"

    def __init__(self, cards: list[AmdCard], sysfs: Path, memory: SystemMemory, serves: Serves) -> None:
        self._cards = cards
        self._sysfs = sysfs
        self._memory = memory
        self._serves = serves

    def read(self, at_ms: int) -> MemoryReading:
        devices = [self._read_apu(card) if card.is_apu else _read_card(card) for card in self._cards]
        return summed(self.kind, devices, at_ms, self._model_loaded())

    def _read_apu(self, card: AmdCard) -> DeviceReading:
        """What the tables could still map is there only as far as main memory has it free."""
        own, own_free = _pair(card, "vram")
        mapped, mapped_free = _pair(card, "gtt")
        if own is None or mapped is None:
            return _read_card(card)
        if own_free is None or mapped_free is None:
            return device(card.name, own + mapped, None)
        ram = self._memory.read().available
        return device(card.name, own + mapped, own_free + (mapped_free if ram is None else min(mapped_free, ram)))

    def _model_loaded(self) -> int | None:
        """The compute driver lists its processes; a server that goes through Vulkan is not among them, so that no
        server there means that it can't be told."""
        usage = compute_usage(self._sysfs)
        return held_by_servers(usage, self._serves) or None


def compute_usage(sysfs: Path) -> dict[int, int | None]:
    """Bytes of card memory by process id, as ``/sys/class/kfd/kfd/proc`` tells them."""
    listing = sysfs / "class/kfd/kfd/proc"
    usage: dict[int, int | None] = {}
    for pid in names_in(listing):
        if pid.isascii() and pid.isdigit() and len(pid) < 10:
            parts = [number_of(listing / pid / name) for name in names_in(listing / pid) if name.startswith("vram_")]
            usage[int(pid)] = None if None in parts else sum(part for part in parts if part is not None)
    return usage


def _read_card(card: AmdCard) -> DeviceReading:
    return device(card.name, *_pair(card, "vram"))


def _pair(card: AmdCard, memory: str) -> tuple[int | None, int | None]:
    """Total and free bytes."""
    total = number_of(card.folder / f"mem_info_{memory}_total")
    used = number_of(card.folder / f"mem_info_{memory}_used")
    return total, None if total is None or used is None else max(total - used, 0)


def _is_apu(folder: Path) -> bool:
    try:
        with (folder / "gpu_metrics").open("rb") as file:
            header = file.read(3)  # size (two bytes), format, contents
    except OSError:
        header = b""
    if len(header) == 3 and header[2] in (1, 2, 3):
        return header[2] != 1
    own, mapped = number_of(folder / "mem_info_vram_total"), number_of(folder / "mem_info_gtt_total")
    return own is not None and mapped is not None and own <= MOST_SET_ASIDE and own < mapped
