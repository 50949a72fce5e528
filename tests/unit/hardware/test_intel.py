"""Intel's cards, whose drivers tell the total only."""

from __future__ import annotations

from pathlib import Path

from support.machines import GB, INTEL, card, machine, write
from ullage.hardware.detection import detect


def test_tiles_are_added_up(tmp_path: Path) -> None:
    tiles = {"tile0/physical_vram_size_bytes": 8 * GB, "tile1/physical_vram_size_bytes": 8 * GB}
    write(tmp_path, card(0, INTEL, **tiles))
    reading = detect(machine(tmp_path)).read(1)
    assert (reading.kind, reading.total, reading.used, reading.available) == ("intel", 16 * GB, None, None)
    assert [(device.name, device.total) for device in reading.devices] == [("Intel GPU 0", 16 * GB)]


def test_the_older_driver_tells_it_by_card(tmp_path: Path) -> None:
    write(tmp_path, {**card(1, INTEL), "sys/class/drm/card1/lmem_total_bytes": 6 * GB})
    assert detect(machine(tmp_path)).read(1).total == 6 * GB


def test_a_card_that_is_gone_is_unknown(tmp_path: Path) -> None:
    write(tmp_path, card(0, INTEL, **{"tile0/physical_vram_size_bytes": 8 * GB}))
    probe = detect(machine(tmp_path))
    (tmp_path / "sys/class/drm/card0/device/tile0/physical_vram_size_bytes").unlink()
    reading = probe.read(1)
    assert (reading.total, [device.total for device in reading.devices]) == (None, [None])
