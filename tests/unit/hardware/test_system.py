"""Main memory, and what a container leaves of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.machines import GB, machine, write
from ullage.hardware.detection import detect
from ullage.hardware.system import Ram
from ullage.memory.readings import MemoryReading

UNLIMITED = 9223372036854771712  # what version 1 says where there is no limit


def read(root: Path, **files: object) -> MemoryReading:
    write(root, files)
    return detect(machine(root)).read(0)


def figures(reading: MemoryReading) -> tuple[int | None, ...]:
    return reading.total, reading.used, reading.available


def group(path: str, limit: object, usage: object, inactive_file: int = 0) -> dict[str, object]:
    """A group of version 2."""
    at = f"sys/fs/cgroup{path}"
    stat = f"anon 5\ninactive_file {inactive_file}\nactive_file 7"
    return {f"{at}/memory.max": limit, f"{at}/memory.current": usage, f"{at}/memory.stat": stat}


def older_group(path: str, limit: int, usage: int, inactive_file: int = 0) -> dict[str, object]:
    at = f"sys/fs/cgroup/memory{path}"
    stat = f"inactive_file 1\ntotal_inactive_file {inactive_file}"
    return {f"{at}/memory.limit_in_bytes": limit, f"{at}/memory.usage_in_bytes": usage, f"{at}/memory.stat": stat}


def test_without_a_container_it_is_the_machines(tmp_path: Path) -> None:
    reading = read(tmp_path)
    assert figures(reading) == (16 * GB, 6 * GB, 10 * GB)
    assert [(device.name, device.total) for device in reading.devices] == [("System memory", 16 * GB)]


def test_a_containers_limit_holds(tmp_path: Path) -> None:
    reading = read(tmp_path, **{"proc/self/cgroup": "0::/", **group("", 4 * GB, 3 * GB)})
    assert figures(reading) == (4 * GB, 3 * GB, 1 * GB)


def test_a_limit_of_an_ancestor_holds(tmp_path: Path) -> None:
    groups = {**group("/a", 4 * GB, 3 * GB), **group("/a/b", "max", 1 * GB), **group("/a/b/c", 6 * GB, 1 * GB)}
    assert figures(read(tmp_path, **{"proc/self/cgroup": "0::/a/b/c", **groups})) == (4 * GB, 3 * GB, 1 * GB)


def test_a_limit_beside_the_chain_does_not(tmp_path: Path) -> None:
    groups = {**group("/a/b", "max", 1 * GB), **group("/a/other", 1 * GB, 1 * GB)}
    assert figures(read(tmp_path, **{"proc/self/cgroup": "0::/a/b", **groups}))[0] == 16 * GB


def test_the_machine_may_have_less_free_than_the_container_allows(tmp_path: Path) -> None:
    reading = read(tmp_path, **{"proc/self/cgroup": "0::/", **group("", 14 * GB, 1 * GB)})
    assert figures(reading) == (14 * GB, 4 * GB, 10 * GB)


def test_cached_files_that_can_be_dropped_are_free(tmp_path: Path) -> None:
    reading = read(tmp_path, **{"proc/self/cgroup": "0::/", **group("", 4 * GB, 3 * GB, inactive_file=2 * GB)})
    assert figures(reading) == (4 * GB, 1 * GB, 3 * GB)


def test_version_1_has_names_of_its_own(tmp_path: Path) -> None:
    groups = {**older_group("", UNLIMITED, 9 * GB), **older_group("/docker/x", 4 * GB, 3 * GB, inactive_file=1 * GB)}
    listing = "12:cpuset:/\n4:cpu,memory:/docker/x\n0::/"
    assert figures(read(tmp_path, **{"proc/self/cgroup": listing, **groups})) == (4 * GB, 2 * GB, 2 * GB)


def test_a_path_of_the_hosts_tree_leads_to_the_mounts_root(tmp_path: Path) -> None:
    groups = older_group("", 2 * GB, 1 * GB)
    listing = "4:memory:/kubepods/burstable/pod1"
    assert figures(read(tmp_path, **{"proc/self/cgroup": listing, **groups})) == (2 * GB, 1 * GB, 1 * GB)


def test_a_path_does_not_lead_out_of_the_tree(tmp_path: Path) -> None:
    outside = {**group("", "max", 5), "sys/fs/memory.max": 1, "sys/fs/memory.current": 1}
    assert figures(read(tmp_path, **{"proc/self/cgroup": "0::/../", **outside}))[0] == 16 * GB


@pytest.mark.parametrize("limit", ["max", "", "-1", "1.5", "text", "9" * 300, b"\xff\xfe", "0x10"])
def test_a_limit_that_is_no_number_is_none(tmp_path: Path, limit: object) -> None:
    assert figures(read(tmp_path, **{"proc/self/cgroup": "0::/", **group("", limit, 5)}))[0] == 16 * GB


def test_more_used_than_allowed_leaves_nothing(tmp_path: Path) -> None:
    reading = read(tmp_path, **{"proc/self/cgroup": "0::/", **group("", 1 * GB, 3 * GB)})
    assert figures(reading) == (1 * GB, 1 * GB, 0)


def test_a_limit_whose_use_is_unknown_still_limits(tmp_path: Path) -> None:
    reading = read(tmp_path, **{"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": 4 * GB})
    assert figures(reading) == (4 * GB, 0, 4 * GB)


def test_a_machine_that_tells_nothing_is_unknown(tmp_path: Path) -> None:
    reading = detect(machine(tmp_path, host_ram=lambda: Ram(None, None))).read(0)
    assert figures(reading) == (None, None, None)
    assert [device.name for device in reading.devices] == ["System memory"]
