"""What holds for every reading, whatever files, tools and drivers say."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
from hypothesis import given, settings
from hypothesis import strategies as st

from support.fake_nvml_binding import FakeBinding
from support.machines import AMD, INTEL, card, commands, machine, write
from ullage.hardware.detection import Machine, detect
from ullage.hardware.probe import blank
from ullage.hardware.system import Ram
from ullage.memory.readings import DeviceReading, MemoryReading
from ullage.memory.watermark import Watermark

amounts = st.integers(0, 2**40)
plausible = st.one_of(st.just("max"), st.integers(-(2**70), 2**70), amounts, st.floats())
contents = st.one_of(amounts, amounts, amounts, plausible, st.binary(max_size=40), st.text(max_size=20))
vendors = st.sampled_from([AMD, AMD, AMD, INTEL, INTEL, "0x10de", ""])
groups = st.sampled_from(["0::/", "0::/a/b", "4:memory:/a", "4:cpu,memory:/a/../b\n0::/", "::::\n:", "4:memory:\x00"])
outputs = st.one_of(
    st.none(),
    st.text(max_size=60),
    st.builds("hw.memsize: {}\niogpu.wired_limit_mb: {}".format, plausible, plausible),
    st.builds("(page size of {} bytes)\nPages free: {}.\nPages inactive: {}.".format, plausible, plausible, plausible),
    st.builds(
        '{{"card0": {{"VRAM Total Memory (B)": "{}", "VRAM Total Used Memory (B)": "{}"}}}}'.format, amounts, amounts
    ),
)
nvml_errors = st.builds(pynvml.NVMLError, st.sampled_from([1, 3, 4, 6, 9, 13, 15, 16, 25, 999]))
NVML_CALLS = [
    "nvmlDeviceGetCount",
    "nvmlDeviceGetHandleByIndex",
    "nvmlDeviceGetName",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlInit",
    "nvmlShutdown",
]
SUMS = ("total", "used", "available")


class Driver(FakeBinding):
    """Lists processes too."""

    processes: list[Any]

    def _answer(self, name: str, handle: Any = None, **options: Any) -> Any:
        if name.endswith("RunningProcesses_v3") and name not in self.failing:
            return self.processes
        return super()._answer(name, handle, **options)


@st.composite
def drivers(draw: st.DrawFn) -> Driver:
    driver = Driver(draw(st.dictionaries(st.sampled_from("ABC"), st.none() | st.integers(0, 200), max_size=3)))
    used = st.none() | amounts | st.just(2**64 - 1)
    driver.processes = draw(st.lists(st.builds(SimpleNamespace, pid=st.integers(0, 9), usedGpuMemory=used), max_size=4))
    return driver


@st.composite
def files(draw: st.DrawFn) -> dict[str, object]:
    """A system's folders, most of the files there, with anything in them."""
    names = ["mem_info_vram_total", "mem_info_vram_used", "mem_info_gtt_total", "mem_info_gtt_used", "product_name"]
    names += ["gpu_metrics", "tile0/physical_vram_size_bytes", "tile1/physical_vram_size_bytes"]
    found: dict[str, object] = {}
    for number in range(draw(st.integers(0, 3))):
        found |= card(number, draw(vendors), **{name: draw(contents) for name in names if draw(st.booleans())})
    for folder in draw(st.sets(st.sampled_from(["sys/fs/cgroup", "sys/fs/cgroup/a", "sys/fs/cgroup/a/b"]))):
        found |= {f"{folder}/memory.max": draw(contents), f"{folder}/memory.current": draw(contents)}
    for folder in draw(st.sets(st.sampled_from(["sys/fs/cgroup/memory", "sys/fs/cgroup/memory/a"]))):
        found |= {f"{folder}/memory.limit_in_bytes": draw(contents), f"{folder}/memory.usage_in_bytes": draw(contents)}
    found["sys/fs/cgroup/memory.stat"] = b"inactive_file " + str(draw(contents)).encode()
    found["sys/class/kfd/kfd/proc/5/vram_1"] = draw(contents)
    found["proc/self/cgroup"] = draw(groups)
    return found


@st.composite
def machines(draw: st.DrawFn, root: Path) -> tuple[Machine, Driver]:
    driver = draw(drivers())
    tool, system = draw(outputs), draw(st.sampled_from(["linux", "darwin"]))
    told = {"sysctl": draw(outputs), "vm_stat": draw(outputs), "ioreg": draw(outputs), "rocm-smi": tool}
    ram = draw(st.builds(Ram, st.none() | amounts, st.none() | amounts))
    serving = draw(st.sampled_from([True, False, None]))
    parts: dict[str, Any] = {
        "platform": system,
        "architecture": "arm64",
        "run": commands(told),
        "find_executable": lambda name: f"/opt/{name}",
        "host_ram": lambda: ram,
        "serves_models": lambda pid: serving if pid < 10 else False,
    }
    if draw(st.integers(0, 2)) == 0:
        parts["load_nvml"] = lambda: driver
    return machine(root, **parts), driver


def check(reading: MemoryReading, at: int) -> None:
    for entry in (reading, *reading.devices):
        known = [getattr(entry, name) for name in SUMS]
        assert all(amount is None or amount >= 0 for amount in known)
        if entry.used is not None or entry.available is not None:
            assert entry.total == entry.used + entry.available
    answering = [entry for entry in reading.devices if entry.total is not None]
    for name in SUMS:
        each = [getattr(entry, name) for entry in answering]
        assert getattr(reading, name) == (None if not each or None in each else sum(each))
    most = reading.total if reading.used is None else reading.used
    assert reading.model_loaded is None or 0 <= reading.model_loaded <= most
    assert reading.at == at
    assert all(entry.name for entry in reading.devices)


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_property_01_every_reading_is_complete_and_consistent(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, data.draw(files()))
        built, driver = data.draw(machines(root))
        probe = detect(built)
        first = probe.read(10**12)
        check(first, 10**12)
        write(root, data.draw(files()))  # what another moment brings
        driver.failing = data.draw(st.dictionaries(st.sampled_from(NVML_CALLS), nvml_errors, max_size=3))
        second = probe.read(10**12 + 60_000)
        check(second, 10**12 + 60_000)
        if probe.kind != "nvidia":  # there, names may fail as well
            assert [entry.name for entry in first.devices] == [entry.name for entry in second.devices]
        nothing = blank(second, 5)
        check(nothing, 5)
        assert [entry.name for entry in nothing.devices] == [entry.name for entry in second.devices]


@st.composite
def walks(draw: st.DrawFn) -> tuple[int, list[int | None]]:
    """A threshold, and amounts of available memory that are mostly where it matters."""
    threshold = draw(st.integers(1, 2**40))
    recovered = threshold + threshold // 4
    places = [None, 0, threshold - 1, threshold, recovered - 1, recovered, recovered + 1, draw(amounts)]
    return threshold, draw(st.lists(st.sampled_from(places), max_size=40))


@settings(max_examples=300)
@given(walk=walks())
def test_property_02_low_memory_fires_exactly_on_crossing(walk: tuple[int, list[int | None]]) -> None:
    threshold, availables = walk
    mark, told = Watermark(threshold), []
    for available in availables:
        mark, fired = mark.observe(
            MemoryReading("cpu", None, None, available, None, (DeviceReading("A", None, None, None),), 0)
        )
        told.append(fired)
    seen = [(amount, fired) for amount, fired in zip(availables, told, strict=True) if amount is not None]
    assert not any(fired for amount, fired in zip(availables, told, strict=True) if amount is None)
    firings = [place for place, (_, fired) in enumerate(seen) if fired]
    for place, (amount, fired) in enumerate(seen):
        if fired:
            assert amount < threshold
        since = [earlier for earlier in firings if earlier < place]
        recovered = any(4 * above >= 5 * threshold for above, _ in seen[since[-1] : place]) if since else True
        assert fired == (amount < threshold and recovered)
