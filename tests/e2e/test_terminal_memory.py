"""`ullage fit` and `ullage doctor` with the real server, on the small model's real file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from attrs import frozen

from ullage.cli.install_model import missing_packages
from ullage.providers.embedded import bundled_model

ULLAGE = (sys.executable, "-m", "ullage")
NOBODY = "http://127.0.0.1:9"
EMBEDDED = (
    "providers: {default: embedded, embedded: {threads: 1}, "
    f"llamacpp: {{url: '{NOBODY}'}}, ollama: {{url: '{NOBODY}'}}}}\n"
)
MIB = 2**20
PRINTED_MIB = {
    2048: {"f16": 45.00, "q8_0": 23.91, "q4_0": 12.66},
    8192: {"f16": 180.00, "q8_0": 95.62, "q4_0": 50.62},
}
"""KV caches of SmolLM2-135M as llama.cpp prints them, by context size and cache type."""

PRINTED_COMPUTE_MIB = {2048: 16.64, 8192: 22.64}
MOST_COMPUTE_MIB = 512
"""Far beyond what an upper bound for a model of this size may be."""

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(bool(missing_packages()), reason="the engine is not installed"),
]


@frozen
class Machine:
    """Settings and a store of their own, in front of the real hardware."""

    root: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        names = {"HOME": str(self.root), "XDG_CONFIG_HOME": str(self.root), "ULLAGE_STORAGE": str(self.root / "store")}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ULLAGE", "OLL"))}
        return subprocess.run(
            [*ULLAGE, *arguments], capture_output=True, text=True, env=inherited | names, timeout=90, check=False
        )

    def report(self, *arguments: str) -> dict[str, Any]:
        done = self.run(*arguments, "--json")
        assert done.stdout, done.stderr
        parsed: dict[str, Any] = json.loads(done.stdout)
        return parsed


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    root = tmp_path_factory.mktemp("machine")
    (root / "ullage").mkdir()
    (root / "ullage" / "config.yaml").write_text(EMBEDDED)
    return Machine(root)


@pytest.fixture(scope="module")
def file() -> Path:
    found = bundled_model()
    assert found is not None
    return found


@pytest.fixture(scope="module")
def fitted(machine: Machine, file: Path) -> dict[str, Any]:
    [model] = machine.report("fit", str(file))["models"]
    return dict(model)


@pytest.mark.parametrize("tokens", PRINTED_MIB)
@pytest.mark.parametrize("cache_type", ["f16", "q8_0", "q4_0"])
def test_a_files_cell_is_weights_cache_and_a_bound_of_the_compute_buffer(
    fitted: dict[str, Any], file: Path, tokens: int, cache_type: str
) -> None:
    [of_type] = [each for each in fitted["cacheTypes"] if each["cacheType"] == cache_type]
    [cell] = [each for each in of_type["sizes"] if each["tokens"] == tokens]
    compute_mib = (cell["totalBytes"] - file.stat().st_size) / MIB - PRINTED_MIB[tokens][cache_type]
    assert PRINTED_COMPUTE_MIB[tokens] - 0.01 <= compute_mib <= MOST_COMPUTE_MIB


def test_a_files_bytes_per_token_are_those_that_the_engine_allocates(fitted: dict[str, Any]) -> None:
    slopes = {each["cacheType"]: each["bytesPerToken"] for each in fitted["cacheTypes"]}
    printed = PRINTED_MIB[8192]
    assert {name: round(slope * 8192 / MIB, 2) for name, slope in slopes.items()} == pytest.approx(printed, abs=0.01)


def test_the_best_of_a_file_is_the_largest_that_the_memory_holds(fitted: dict[str, Any]) -> None:
    available = psutil.virtual_memory().available
    for each in fitted["cacheTypes"]:
        largest = max(size["totalBytes"] for size in each["sizes"] if size["fits"])
        assert each["bestTokens"] == max(size["tokens"] for size in each["sizes"] if size["fits"])
        assert largest <= available


def test_the_table_of_a_file_is_shown(machine: Machine, file: Path) -> None:
    done = machine.run("fit", str(file))
    assert done.returncode == 0, done.stderr
    assert "made for 8,192 tokens" in done.stdout
    assert "8,192 " in done.stdout


def test_the_installed_model_is_a_line_of_the_list(machine: Machine, file: Path) -> None:
    report = machine.report("fit")
    [model] = [each for each in report["models"] if each["provider"] == "embedded"]
    assert (model["model"], model["modelLimit"], model["reason"]) == (file.stem, 8192, None)
    assert [each["cacheType"] for each in model["cacheTypes"]] == ["f16", "q8_0", "q4_0"]


def test_the_servers_sizing_and_the_files_arithmetic_agree(
    machine: Machine, fitted: dict[str, Any], file: Path
) -> None:
    [model] = machine.report("fit", file.stem)["models"]
    slopes = [[each["bytesPerToken"] for each in one["cacheTypes"]] for one in (model, fitted)]
    bests = [[each["bestTokens"] for each in one["cacheTypes"]] for one in (model, fitted)]
    sums = [
        [each["sizes"][-1]["totalBytes"] + (each["computeBytes"] or 0) for each in one["cacheTypes"]]
        for one in (model, fitted)
    ]
    assert (slopes[0], bests[0], sums[0]) == (slopes[1], bests[1], sums[1])


def test_the_doctor_reads_the_hardware_and_finds_the_model(machine: Machine, file: Path) -> None:
    report = machine.report("doctor")
    memory = report["hardware"]["memory"]
    assert memory["total"] == memory["used"] + memory["available"]
    assert [model["name"] for model in report["models"]] == [file.stem]
    assert report["storage"]["folder"] == str(machine.root / "store")
    assert report["storage"]["exposed"] == []
    assert report["ok"], report["problems"]
