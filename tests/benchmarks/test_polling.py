"""What reading the hardware costs those who do not wait for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.fake_nvml import GB, FakeNvml, Part, Process, needs_compiler
from support.measuring import told

pytestmark = [pytest.mark.bench, needs_compiler]

EVERY_S = 5.0


def measured(environment: dict[str, str]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "support.polling_cost"], env=environment, check=True, capture_output=True
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def test_a_poll_costs_the_event_loop_less_than_a_millisecond(tmp_path: Path) -> None:
    nvml = FakeNvml(tmp_path)
    processes = [Process(os.getpid(), 1 * GB), Process(os.getppid(), 1 * GB, card=1)]
    nvml.says(Part("A"), Part("B"), processes=processes)
    cost = measured({**nvml.environment})
    assert cost["is_nvidia"]
    told("event loop, median of polls against a thread's round trip", cost["poll_ms"] / cost["floor_ms"], 5, **cost)
    assert cost["poll_ms"] < 1
    assert cost["poll_p99_ms"] < 1
    assert cost["gap_ms"] < 1
    assert cost["poll_ms"] < 5 * cost["floor_ms"]


@pytest.mark.parametrize("with_card", [True, False])
def test_the_monitor_takes_less_than_a_hundredth_of_a_core(tmp_path: Path, with_card: bool) -> None:
    nvml = FakeNvml(tmp_path)
    nvml.says(*([Part("A"), Part("B")] if with_card else []))
    cost = measured({**nvml.environment})
    share = cost["process_ms"] / 1000 / EVERY_S
    told(f"percent of a core, {'NVML' if with_card else 'main memory'}, every 5 s", 100 * share, 1, **cost)
    assert share < 0.01
