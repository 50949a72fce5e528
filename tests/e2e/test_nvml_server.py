"""Graphics cards through the real server: what an editor is told of two cards, of one that is lost, and of trouble."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from support.architectures import plain
from support.fake_nvml import GB, LOST, FakeNvml, Part, needs_compiler
from support.raw_client import RawClient
from support.stub_servers import OllamaStub
from support.ullage_server import NOBODY, appended, opened, ullage, using

pytestmark = needs_compiler

MB = 2**20
WATERMARK_MB = 256
POLL_S = 0.5
UNKNOWN = {"total": None, "used": None, "available": None}
SMALL_REQUESTS = 200
ROUNDS = 10
LONGEST_MS = 250
"""Well below the two seconds that a driver gets."""


@pytest.fixture
def nvml(tmp_path: Path) -> FakeNvml:
    return FakeNvml(tmp_path)


@asynccontextmanager
async def watching(nvml: FakeNvml, home: Path, url: str = NOBODY, **context: Any) -> AsyncIterator[RawClient]:
    """A client whose server looks at the cards twice a second, as somebody has a context open."""
    memory = {"memory": {"pollSeconds": POLL_S, "lowWatermarkMb": WATERMARK_MB}}
    env = {name: nvml.environment[name] for name in ("LD_LIBRARY_PATH", "FAKE_NVML_STATE")}
    async with ullage(home / "home", using(url, "ollama", **context) | memory, env=env) as client:
        yield client


async def until_seen(client: RawClient, free: int) -> None:
    """Until the server's own watch has had this reading, and told what it has to tell of it; a status reads nothing."""
    end = time.monotonic() + 10
    while (await client.request("context/status"))["memory"]["available"] != free:
        assert time.monotonic() < end
        await asyncio.sleep(POLL_S / 10)


def alarms(client: RawClient) -> list[dict[str, Any]]:
    return [each["params"] for each in client.notifications if each["method"] == "context/lowMemory"]


async def latencies_ms(client: RawClient, context_id: str) -> list[float]:
    """Of small requests, one after the other, ascending."""
    took = []
    for _ in range(SMALL_REQUESTS):
        began = time.perf_counter()
        await client.request("context/messages", {"contextId": context_id})
        took.append(1000 * (time.perf_counter() - began))
    return sorted(took)


def p99(latencies: list[float]) -> float:
    return latencies[len(latencies) * 99 // 100 - 1]


async def test_both_cards_are_told(nvml: FakeNvml, tmp_path: Path) -> None:
    nvml.says(Part("Big", total=24 * GB, free=20 * GB), Part("Small", total=8 * GB, free=1 * GB))
    async with watching(nvml, tmp_path) as client:
        reading = await client.request("context/memory")
    assert (reading["kind"], reading["total"], reading["available"]) == ("nvidia", 32 * GB, 21 * GB)
    assert reading["devices"] == [
        {"name": "Big", "total": 24 * GB, "used": 4 * GB, "available": 20 * GB},
        {"name": "Small", "total": 8 * GB, "used": 7 * GB, "available": 1 * GB},
    ]


async def test_low_memory_is_told_once_and_again_only_after_recovery(nvml: FakeNvml, tmp_path: Path) -> None:
    nvml.says(Part("A", free=6 * GB))
    async with watching(nvml, tmp_path) as client:
        await opened(client)
        await until_seen(client, 6 * GB)
        for free_mb, alarmed in ((255, 1), (100, 1), (300, 1), (250, 1), (400, 1), (200, 2)):
            nvml.says(Part("A", free=free_mb * MB))
            await until_seen(client, free_mb * MB)
            assert len(alarms(client)) == alarmed, f"{free_mb} MB free"
        told = alarms(client)
    assert [alarm["threshold"] for alarm in told] == [WATERMARK_MB * MB] * 2
    assert [alarm["reading"]["available"] for alarm in told] == [255 * MB, 200 * MB]


async def test_a_lost_card_is_unknown_and_the_other_one_is_not(nvml: FakeNvml, tmp_path: Path) -> None:
    nvml.says(Part("A", total=8 * GB, free=6 * GB), Part("B", total=24 * GB, free=20 * GB))
    async with watching(nvml, tmp_path) as client:
        await client.request("context/memory")
        nvml.says(Part("A", total=8 * GB, free=6 * GB), Part("B", code=LOST))
        reading = await client.request("context/memory")
    assert reading["devices"][1] == {"name": "B", **UNKNOWN}
    assert (reading["total"], reading["available"]) == (8 * GB, 6 * GB)


async def test_a_hanging_driver_delays_nobody_else(nvml: FakeNvml, tmp_path: Path) -> None:
    """The best of several rounds each, as other programs on the machine delay answers too; and not one request waits
    for as long as the driver is waited for."""
    async with watching(nvml, tmp_path) as client:
        context_id = await opened(client)
        await appended(client, context_id, "What is a cask?")
        await client.request("context/memory")
        before = [await latencies_ms(client, context_id) for _ in range(ROUNDS)]
        nvml.says(Part("A"), hang="MemoryInfo")
        asked = await client.begin("context/memory")
        during = [await latencies_ms(client, context_id) for _ in range(ROUNDS)]
        reading = await client.answer(asked)
        again = await client.request("context/memory")
        nvml.says(Part("A"))
    usual, hanging, longest = min(map(p99, before)), min(map(p99, during)), max(each[-1] for each in during)
    print(f"small requests, p99: {usual:.2f} ms, while it hangs {hanging:.2f} ms, at most {longest:.1f} ms")
    for hung in (reading, again):
        assert (hung["kind"], hung["devices"]) == ("nvidia", [{"name": "A", **UNKNOWN}])
        assert {key: hung[key] for key in UNKNOWN} == UNKNOWN
    assert hanging <= 2 * usual
    assert longest < LONGEST_MS


async def test_a_card_of_8_gb_limits_the_size_and_the_report_says_so(nvml: FakeNvml, tmp_path: Path) -> None:
    nvml.says(Part("A", total=8 * GB, free=6 * GB))
    async with OllamaStub(context_length=131_072, info=plain()) as server:
        context = {"targetSize": 0, "kvQuantization": "q8_0"}
        async with watching(nvml, tmp_path, server.url, **context) as client:
            report = await client.request("context/sizing", {"model": server.model})
            with_f16 = await client.request("context/sizing", {"model": server.model, "cacheType": "f16"})
    assert (report["limitedBy"], report["availableBytes"], report["tokens"] % 256) == ("memory", 6 * GB, 0)
    taken = report["weightsBytes"] + report["computeBytes"] + report["reserveBytes"] + report["fixedBytes"]
    room = report["availableBytes"] - taken - report["bytesPerToken"] * report["tokens"]
    assert 0 <= room < 256 * (report["bytesPerToken"] + 4 * 512)
    assert report["explanation"] == (
        f"limited by memory: 6.0 of 8.0 GB free, {report['bytesPerToken'] / 1024:.0f} KB a token with q8_0;"
        f" f16 would give {with_f16['tokens']:,}"
    )
