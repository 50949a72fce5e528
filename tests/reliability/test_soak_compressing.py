"""A server that opens, compresses and closes contexts all day takes no more than on its first morning."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest
from attrs import frozen

from support.raw_client import RawClient
from support.summarising_stub import SummarisingStub
from support.ullage_server import opened, ullage, using

CYCLES = int(os.environ.get("ULLAGE_CYCLES", "100"))
"""In the ordinary run; set it to 1000 for the whole day."""

CONTEXTS = 20
TURNS = 3
WORDS = "word " * 50
MOST_GROWTH_BYTES = 10 * 2**20
"""The cache of counts takes some of it, half a kilobyte for each message until it is full."""

WORKERS = min(32, (os.cpu_count() or 1) + 4)
"""Threads that Python keeps for whoever borrows one; it makes them as they are needed."""


@frozen
class Taken:
    """By the server's process."""

    resident_bytes: int
    descriptors: int
    threads: int

    @classmethod
    def by(cls, pid: int) -> Taken:
        process = psutil.Process(pid)
        return cls(process.memory_info().rss, process.num_fds(), process.num_threads())


async def cycle(client: RawClient, number: int) -> None:
    context_id = await opened(client, f"project{number % CONTEXTS}")
    contents = [f"{number}.{each} {WORDS}" for each in range(TURNS)]
    messages = [{"role": role, "content": content} for content in contents for role in ("user", "assistant")]
    own = {"contextId": context_id}
    await client.request("context/append", {**own, "messages": messages}, timeout=60)
    strategy = ("truncate", "hybrid")[number % 2]
    await client.request("context/compress", {**own, "strategy": strategy}, timeout=60)
    await client.request("context/close", own, timeout=60)
    client.notifications.clear()


@pytest.mark.timeout(3600)
async def test_contexts_that_were_compressed_and_closed_leave_nothing_behind(tmp_path: Path) -> None:
    async with SummarisingStub(n_ctx=1024) as server:
        settings = {"compression": {"enabled": False, "preserveRecent": 128}, "snapshots": {"autoCreate": False}}
        async with ullage(tmp_path, using(server.url, **settings)) as client:
            warm_up = max(CYCLES // 5, 2 * CONTEXTS)
            for number in range(warm_up):
                await cycle(client, number)
            before = Taken.by(client.process.pid)
            for number in range(warm_up, warm_up + CYCLES):
                await cycle(client, number)
            after = Taken.by(client.process.pid)
    grown = after.resident_bytes - before.resident_bytes
    sys.stderr.write(f"\n{CYCLES} cycles: {grown / 2**20:.1f} MiB more, {before} to {after}\n")
    assert grown < MOST_GROWTH_BYTES
    assert after.descriptors <= before.descriptors + 1  # a pool of connections breathes
    assert after.threads <= before.threads + WORKERS
