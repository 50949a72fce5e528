"""The real NVML binding against a library that says what a file says: what a driver does, without a card."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.fake_nvml import (
    DRIVER_NOT_LOADED,
    GB,
    LOST,
    NO_PERMISSION,
    NOT_SUPPORTED,
    FakeNvml,
    Part,
    Process,
    Reader,
    needs_compiler,
)

pytestmark = needs_compiler

UNKNOWN = {"total": None, "used": None, "available": None}


@pytest.fixture
def nvml(tmp_path: Path) -> FakeNvml:
    return FakeNvml(tmp_path)


@pytest.fixture
def reader(nvml: FakeNvml) -> Iterator[Reader]:
    with Reader(nvml.environment, time_limit_s=1.0) as reading:
        yield reading


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """Starts a process of that name, which does nothing, and tells its id."""
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str) -> int:
        link = tmp_path / name
        link.symlink_to(os.path.realpath(sys.executable))
        idling = "print(flush=True); input()"
        process = subprocess.Popen([link, "-S", "-c", idling], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        started.append(process)
        return process.pid

    yield start
    for process in started:
        process.communicate()


def figures(reading: dict[str, Any]) -> dict[str, Any]:
    return {key: reading[key] for key in ("total", "used", "available")}


def test_two_cards_are_read_each_and_in_sum(nvml: FakeNvml, reader: Reader) -> None:
    nvml.says(Part("Big", total=24 * GB, free=20 * GB), Part("Small", total=8 * GB, free=1 * GB))
    reading = reader.ask()
    assert (reading["kind"], reading["source"]) == ("nvidia", "NVML")
    assert figures(reading) == {"total": 32 * GB, "used": 11 * GB, "available": 21 * GB}
    assert reading["devices"] == [
        {"name": "Big", "total": 24 * GB, "used": 4 * GB, "available": 20 * GB},
        {"name": "Small", "total": 8 * GB, "used": 7 * GB, "available": 1 * GB},
    ]


def test_what_the_driver_keeps_for_itself_is_used(nvml: FakeNvml, reader: Reader) -> None:
    nvml.says(Part("A", total=8 * GB, free=5 * GB, reserved=1 * GB))
    assert figures(reader.ask()) == {"total": 8 * GB, "used": 3 * GB, "available": 5 * GB}


def test_readings_follow_what_other_programs_take(nvml: FakeNvml, reader: Reader) -> None:
    for free in (6 * GB, 2 * GB, 7 * GB):
        nvml.says(Part("A", free=free))
        assert reader.ask()["available"] == free


def test_an_older_driver_is_asked_in_its_own_way(tmp_path: Path, program: Callable[[str], int]) -> None:
    nvml = FakeNvml(tmp_path, old_driver=True)
    nvml.says(Part("A", total=8 * GB, free=5 * GB, reserved=1 * GB), processes=[Process(program("ollama"), 2 * GB)])
    with Reader(nvml.environment) as reader:
        reading = reader.ask()
    assert figures(reading) == {"total": 8 * GB, "used": 3 * GB, "available": 5 * GB}
    assert reading["model_loaded"] == 2 * GB


def test_slices_stand_in_place_of_their_card(nvml: FakeNvml, reader: Reader) -> None:
    nvml.says(
        Part("Whole", total=80 * GB, code=NO_PERMISSION),
        Part("Slice 1", total=10 * GB, free=9 * GB, card=0),
        Part("Slice 2", total=20 * GB, free=5 * GB, card=0),
        Part("Other", total=8 * GB, free=8 * GB),
    )
    reading = reader.ask()
    assert [device["name"] for device in reading["devices"]] == ["Slice 1", "Slice 2", "Other"]
    assert figures(reading) == {"total": 38 * GB, "used": 16 * GB, "available": 22 * GB}


def test_model_servers_memory_is_told_apart(nvml: FakeNvml, reader: Reader, program: Callable[[str], int]) -> None:
    server, game = program("llama-server"), program("game")
    cards = [Part("A", free=1 * GB), Part("B", free=1 * GB)]
    held = [Process(server, 2 * GB), Process(server, 1 * GB, card=1), Process(game, 3 * GB)]
    nvml.says(*cards, processes=held)
    assert reader.ask()["model_loaded"] == 3 * GB


def test_no_process_at_all_holds_nothing(nvml: FakeNvml, reader: Reader) -> None:
    assert reader.ask()["model_loaded"] == 0


@pytest.mark.parametrize("name", ["ollama", "game"])
def test_memory_of_a_process_that_the_driver_cannot_tell(
    nvml: FakeNvml, reader: Reader, program: Callable[[str], int], name: str
) -> None:
    nvml.says(Part("A"), processes=[Process(program(name), None)])
    assert reader.ask()["model_loaded"] == {"ollama": None, "game": 0}[name]


def test_a_process_of_another_container_may_be_a_model_server(nvml: FakeNvml, reader: Reader) -> None:
    nvml.says(Part("A"), processes=[Process(2**22 + 7, 1 * GB)])
    assert reader.ask()["model_loaded"] is None


def test_a_lost_card_is_unknown_and_read_again_when_it_is_back(nvml: FakeNvml, reader: Reader) -> None:
    whole = [Part("A", total=8 * GB, free=6 * GB), Part("B", total=24 * GB, free=20 * GB)]
    nvml.says(*whole)
    before = reader.ask()
    nvml.says(whole[0], Part("B", code=LOST))
    lost = reader.ask()
    assert lost["devices"] == [before["devices"][0], {"name": "B", **UNKNOWN}]
    assert figures(lost) == {"total": 8 * GB, "used": 2 * GB, "available": 6 * GB}
    nvml.says(*whole)
    assert figures(reader.ask()) == figures(before)
    assert nvml.shutdowns == 1  # a card that comes back is not seen without


def test_a_card_that_is_no_longer_listed_keeps_its_place(nvml: FakeNvml, reader: Reader) -> None:
    nvml.says(Part("A"), Part("B", free=1 * GB))
    reader.ask()
    nvml.says(Part("B", free=1 * GB))
    reading = reader.ask()
    assert reading["devices"][0] == {"name": "A", **UNKNOWN}
    assert (reading["devices"][1]["name"], reading["available"]) == ("B", 1 * GB)


def test_a_driver_that_is_unloaded_and_loaded_again(nvml: FakeNvml, reader: Reader) -> None:
    before = reader.ask()
    nvml.says(Part("A", code=LOST), init=DRIVER_NOT_LOADED)
    for _ in range(3):
        reading = reader.ask()
        assert (reading["kind"], figures(reading)) == ("nvidia", UNKNOWN)
        assert [device["name"] for device in reading["devices"]] == ["A"]
    nvml.says(Part("A"))
    assert figures(reader.ask()) == figures(before)


def test_a_board_without_memory_of_its_own_is_read_as_main_memory(nvml: FakeNvml, reader: Reader) -> None:
    nvml.says(Part("GB10", code=NOT_SUPPORTED))
    reading = reader.ask()
    assert reading["kind"] == "nvidia"
    assert reading["devices"][0]["name"] == "GB10"
    assert 0 < reading["available"] < reading["total"]


def test_a_driver_that_is_not_loaded_leaves_it_to_main_memory(nvml: FakeNvml, reader: Reader) -> None:
    nvml.says(init=DRIVER_NOT_LOADED)
    assert reader.ask()["kind"] == "cpu"


def test_a_driver_that_sees_no_card_leaves_it_to_main_memory(nvml: FakeNvml, reader: Reader) -> None:
    nvml.says()
    assert reader.ask()["kind"] == "cpu"


@pytest.mark.parametrize("call", ["MemoryInfo", "GetCount", "RunningProcesses"])
def test_a_call_that_hangs_costs_a_moment_once(nvml: FakeNvml, reader: Reader, call: str) -> None:
    before = reader.ask()
    nvml.says(Part("A"), hang=call)
    first = reader.ask("three")
    assert 0.9 < first["took_s"] < 1.9
    following = [reader.ask() for _ in range(20)]
    for reading in (first, *following):
        assert (reading["kind"], figures(reading)) == ("nvidia", UNKNOWN)
        assert reading["devices"] == [{"name": "A", **UNKNOWN}]
    assert sorted(reading["took_s"] for reading in following)[10] < 0.02
    assert {reading["threads"] for reading in following} == {before["threads"]}
    nvml.says(Part("A", free=3 * GB))
    assert until_known(reader)["available"] == 3 * GB


def test_a_driver_that_hangs_from_the_start(nvml: FakeNvml, reader: Reader) -> None:
    nvml.says(Part("A"), hang="Init")
    reading = reader.ask()
    assert (figures(reading), reading["devices"]) == (UNKNOWN, [])
    assert reader.ask()["took_s"] < 0.5
    nvml.says(Part("A"))
    assert until_known(reader)["kind"] == "nvidia"


def test_a_process_ends_while_its_driver_hangs(nvml: FakeNvml) -> None:
    with Reader(nvml.environment, time_limit_s=0.2) as reader:
        nvml.says(Part("A"), hang="MemoryInfo")
        reader.ask()
        began = time.monotonic()
    assert time.monotonic() - began < 5


def until_known(reader: Reader) -> dict[str, Any]:
    """The hanging call looks at the file every 10 ms; until it has returned, readings are unknown."""
    end = time.monotonic() + 10
    while (reading := reader.ask())["total"] is None:
        assert time.monotonic() < end
    return reading
