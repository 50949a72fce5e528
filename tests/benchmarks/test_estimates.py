"""What an estimate costs, as a ratio to reading the same metadata from JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from support.architectures import observations
from support.measuring import told
from ullage.memory.architecture import architecture_of
from ullage.memory.kv_cache import CacheLayout, estimate

pytestmark = pytest.mark.bench

NUMBER = 1000


def best_of(times: int, work: Callable[[], object]) -> float:
    def once() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return min(once() for _ in range(times))


def test_a_thousand_estimates_cost_twenty_readings_of_their_json() -> None:
    rows = observations()
    metadata = [rows[number % len(rows)]["metadata"] for number in range(NUMBER)]
    texts = [json.dumps(keys) for keys in metadata]
    layouts = [CacheLayout(256 * (number + 1)) for number in range(NUMBER)]

    def estimates() -> None:
        for keys, layout in zip(metadata, layouts, strict=True):
            estimate(architecture_of(keys), layout)

    reading = best_of(5, lambda: [json.loads(text) for text in texts])
    ours = best_of(5, estimates)
    told(
        "1,000 estimates / json.loads of their metadata", ours / reading, 20, ours_ms=ours * 1e3, json_ms=reading * 1e3
    )
    assert ours / reading <= 20
