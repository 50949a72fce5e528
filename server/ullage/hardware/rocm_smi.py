"""AMD cards by ``rocm-smi --json``, where the driver's files can't be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ullage.hardware.commands import Run
from ullage.hardware.files import number_in
from ullage.hardware.probe import blank, device, summed
from ullage.memory.readings import DeviceReading, HardwareKind, MemoryReading

ARGUMENTS = ("--showmeminfo", "vram", "--showproductname", "--json")
ASK_EVERY_MS = 30_000
"""The tool is a program of its own that takes up to a second of processor time: its last answer serves in between."""

_NAMES = ("Card Series", "Card series", "Card Model", "Card model")
_TOTAL, _USED = "VRAM Total Memory (B)", "VRAM Total Used Memory (B)"


def find_rocm_smi(executable: str | None, run: Run, at_ms: int = 0) -> RocmSmiProbe | None:
    """None where there is no such tool or it tells of no card."""
    if executable is None:
        return None
    probe = RocmSmiProbe(executable, run)
    return probe if probe.read(at_ms).total is not None else None


class RocmSmiProbe:
    kind: HardwareKind = "amd"
    name = "rocm-smi"

    def __init__(self, executable: str, run: Run) -> None:
        self._command = (executable, *ARGUMENTS)
        self._run = run
        self._last: MemoryReading | None = None

    def read(self, at_ms: int) -> MemoryReading:
        """A reading up to `ASK_EVERY_MS` old, as its ``at`` says."""
        last = self._last
        if last is not None and last.total is not None and 0 <= at_ms - last.at < ASK_EVERY_MS:
            return last
        devices = devices_in(self._run(self._command))
        if devices or last is None:
            self._last = summed(self.kind, devices, at_ms)
        else:
            self._last = blank(last, at_ms)
        return self._last


def devices_in(output: str | None) -> list[DeviceReading]:
    """The cards of the tool's answer; none where it is not what it should be."""
    try:
        answer = orjson.loads(output or "{}")
    except orjson.JSONDecodeError:
        return []
    if not isinstance(answer, dict):
        return []
    cards = [(key, value) for key, value in answer.items() if key.startswith("card") and isinstance(value, dict)]
    return [_device(f"AMD GPU {index}", card) for index, (_, card) in enumerate(cards)]


def _device(name: str, card: Mapping[str, Any]) -> DeviceReading:
    told = next((card[key] for key in _NAMES if isinstance(card.get(key), str) and card[key] not in ("", "N/A")), name)
    total, used = _bytes(card.get(_TOTAL)), _bytes(card.get(_USED))
    return device(told, total, None if total is None or used is None else total - used)


def _bytes(value: object) -> int | None:
    """The tool writes numbers as text."""
    return number_in(value.strip()) if isinstance(value, str) else None
