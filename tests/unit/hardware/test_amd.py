"""AMD by the driver's files, and by rocm-smi."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.machines import AMD, GB, INTEL, card, commands, machine, write
from ullage.hardware.detection import Machine, detect
from ullage.hardware.rocm_smi import ASK_EVERY_MS, devices_in

TWO_CARDS = """{"card0": {"VRAM Total Memory (B)": "8000", "VRAM Total Used Memory (B)": "3000", "Card Series": "Navi"},
 "card1": {"VRAM Total Memory (B)": "2000", "VRAM Total Used Memory (B)": "500", "Card Series": "N/A"},
 "system": {"Driver version": "6.7"}}"""


def own(total: int, used: int) -> dict[str, object]:
    return {"mem_info_vram_total": total, "mem_info_vram_used": used}


def mapped(total: int, used: int) -> dict[str, object]:
    return {"mem_info_gtt_total": total, "mem_info_gtt_used": used}


def metrics(version: int) -> dict[str, object]:
    return {"gpu_metrics": bytes([120, 0, version, 3]) + bytes(116)}


def test_cards_are_read_each_and_in_sum(tmp_path: Path) -> None:
    write(tmp_path, card(2, AMD, **own(16 * GB, 4 * GB), product_name="Radeon"))
    write(tmp_path, card(10, AMD, **own(8 * GB, 1 * GB)))
    reading = detect(machine(tmp_path)).read(7)
    assert [(device.name, device.total, device.used, device.available) for device in reading.devices] == [
        ("Radeon", 16 * GB, 4 * GB, 12 * GB),
        ("AMD GPU 1", 8 * GB, 1 * GB, 7 * GB),
    ]
    assert (reading.kind, reading.total, reading.used, reading.available) == ("amd", 24 * GB, 5 * GB, 19 * GB)
    assert reading.at == 7


def test_connectors_and_other_vendors_are_no_amd_cards(tmp_path: Path) -> None:
    write(tmp_path, card(0, INTEL, **own(1, 1)))
    write(tmp_path, card(1, AMD, **own(12 * GB, 4 * GB)))
    write(tmp_path, {"sys/class/drm/card1-DP-1/device/mem_info_vram_total": 5})
    assert detect(machine(tmp_path)).read(0).total == 12 * GB


def test_a_card_that_stops_answering_is_unknown_until_it_does(tmp_path: Path) -> None:
    files = card(0, AMD, **own(16 * GB, 4 * GB))
    write(tmp_path, files)
    probe = detect(machine(tmp_path))
    before = probe.read(0)
    total = tmp_path / "sys/class/drm/card0/device/mem_info_vram_total"
    total.unlink()
    lost = probe.read(0)
    assert (lost.total, lost.used, lost.available) == (None, None, None)
    assert [device.name for device in lost.devices] == [device.name for device in before.devices]
    write(tmp_path, files)
    assert probe.read(0) == before


def test_a_total_without_its_use_is_told(tmp_path: Path) -> None:
    write(tmp_path, card(0, AMD, mem_info_vram_total=16 * GB))
    reading = detect(machine(tmp_path)).read(0)
    assert (reading.total, reading.used, reading.available) == (16 * GB, None, None)


@pytest.mark.parametrize("version", [2, 3, None])
def test_a_processors_graphics_reach_as_far_as_main_memory_is_free(tmp_path: Path, version: int | None) -> None:
    told = metrics(version) if version else {}
    write(tmp_path, card(0, AMD, **own(512 * 2**20, 256 * 2**20), **mapped(14 * GB, 1 * GB), **told))
    reading = detect(machine(tmp_path)).read(0)
    assert reading.total == 14 * GB + 512 * 2**20
    assert reading.available == 10 * GB + 256 * 2**20  # 13 could be mapped, but 10 are free


def test_a_card_of_its_own_does_not_reach_into_main_memory(tmp_path: Path) -> None:
    write(tmp_path, card(0, AMD, **own(8 * GB, 2 * GB), **mapped(14 * GB, 1 * GB)))
    assert detect(machine(tmp_path)).read(0).available == 6 * GB


def test_the_driver_knows_better_than_the_size(tmp_path: Path) -> None:
    write(tmp_path, card(0, AMD, **own(1 * GB, 0), **mapped(14 * GB, 0), **metrics(1)))
    write(tmp_path / "other", card(0, AMD, **own(16 * GB, 0), **mapped(20 * GB, 12 * GB), **metrics(3)))
    assert detect(machine(tmp_path)).read(0).total == 1 * GB
    assert detect(machine(tmp_path / "other")).read(0).total == 36 * GB


def test_beside_a_card_the_processors_graphics_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, card(0, AMD, **own(GB // 2, 0), **mapped(14 * GB, 0), **metrics(2)))
    write(tmp_path, card(1, AMD, **own(24 * GB, 0), **mapped(14 * GB, 0), **metrics(1)))
    assert detect(machine(tmp_path)).read(0).total == 24 * GB


@pytest.mark.parametrize(("server", "expected"), [(11, 3000), (12, None)])
def test_the_compute_driver_tells_what_servers_hold(tmp_path: Path, server: int, expected: int | None) -> None:
    write(tmp_path, card(0, AMD, **own(8000, 7000)))
    processes = {"11/vram_1": 1000, "11/vram_2": 2000, "11/pasid": 5, "13/vram_1": 4000, "stats/vram_1": 9}
    write(tmp_path / "sys/class/kfd/kfd/proc", processes)
    probe = detect(machine(tmp_path, serves_models=lambda pid: pid == server))
    assert probe.read(0).model_loaded == expected


def with_tool(root: Path, outputs: list[str | None]) -> Machine:
    answers = iter(outputs)
    return machine(root, find_executable=lambda name: f"/opt/{name}", run=lambda command: next(answers))


def test_rocm_smi_tells_every_card(tmp_path: Path) -> None:
    parts = {"find_executable": lambda name: f"/opt/{name}", "run": commands({"rocm-smi": TWO_CARDS})}
    reading = detect(machine(tmp_path, **parts)).read(ASK_EVERY_MS)
    assert [device.name for device in reading.devices] == ["Navi", "AMD GPU 1"]
    assert (reading.total, reading.used, reading.available) == (10_000, 3500, 6500)


def test_rocm_smi_is_asked_seldom(tmp_path: Path) -> None:
    probe = detect(with_tool(tmp_path, [TWO_CARDS, TWO_CARDS.replace("3000", "4000")]))
    assert probe.read(ASK_EVERY_MS - 1).used == 3500
    assert probe.read(ASK_EVERY_MS).used == 4500
    assert probe.read(2 * ASK_EVERY_MS - 1).at == ASK_EVERY_MS


def test_a_rocm_smi_that_fails_leaves_the_shape(tmp_path: Path) -> None:
    probe = detect(with_tool(tmp_path, [TWO_CARDS, None, TWO_CARDS]))
    lost = probe.read(ASK_EVERY_MS)
    assert [(device.name, device.total) for device in lost.devices] == [("Navi", None), ("AMD GPU 1", None)]
    assert probe.read(ASK_EVERY_MS + 1).total == 10_000


@pytest.mark.parametrize("output", [None, "", "WARNING: no card", "[]", "null", '{"card0": 5}', '{"card0": ', "\x00"])
def test_an_answer_of_another_form_is_no_card(output: str | None) -> None:
    assert devices_in(output) == []


@pytest.mark.parametrize("amount", ["-1", "1e3", "", "9" * 40, 5, None, "１２"])
def test_an_amount_that_is_no_number_of_bytes_is_unknown(amount: object) -> None:
    import json

    [device] = devices_in(json.dumps({"card0": {"VRAM Total Memory (B)": amount}}))
    assert device.total is None
