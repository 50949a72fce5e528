"""kill -9 at random moments of a stream of appends to the real server: nothing acknowledged is lost, nothing twice."""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import suppress
from pathlib import Path

import pytest

from support.raw_client import RawClient
from support.ullage_server import opened, ullage, window_of

KILLS = int(os.environ.get("ULLAGE_KILLS", "20"))
"""In the ordinary run; set it to 200 for the full campaign."""


async def append_until_killed(client: RawClient, context_id: str, first: int, acknowledged: list[str]) -> None:
    """Numbered messages, several on their way at once, until the server is no more."""
    with suppress(EOFError, ConnectionError):
        for number in range(first, first + 100_000, 4):
            pending = []
            for each in range(number, number + 4):
                message = {"role": "user", "content": f"message {each}"}
                params = {"contextId": context_id, "messages": [message]}
                pending.append((f"message {each}", await client.begin("context/append", params)))
            for text, request in pending:
                await client.answer(request)
                acknowledged.append(text)


@pytest.mark.timeout(1200)
async def test_no_acknowledged_message_is_lost_and_none_comes_twice(tmp_path: Path) -> None:
    chance = random.Random(20)
    acknowledged: list[str] = []
    begun = 0
    for _ in range(KILLS):
        async with ullage(tmp_path) as client:
            context_id = await opened(client)
            appending = asyncio.create_task(append_until_killed(client, context_id, begun, acknowledged))
            await asyncio.sleep(chance.uniform(0.0, 0.25))
            client.process.kill()
            await appending
            begun += 100_000
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        window = await everything(client, context_id)
    assert len(window) == len(set(window))
    assert set(acknowledged) <= set(window)
    numbers = [int(text.split()[1]) for text in window]
    assert numbers == sorted(numbers)
    assert len(acknowledged) > KILLS


async def everything(client: RawClient, context_id: str) -> list[str]:
    """The whole window, page by page."""
    pages: list[str] = []
    before = {}
    while True:
        params = {"contextId": context_id, "limit": 1000, **before}
        page = await client.request("context/messages", params, timeout=60)
        pages = [message["content"] for message in page["messages"]] + pages
        if not page["hasMore"]:
            return pages
        before = {"before": page["messages"][0]["id"]}


async def test_the_store_is_sound_after_kills(tmp_path: Path) -> None:
    import sqlite3

    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        appending = asyncio.create_task(append_until_killed(client, context_id, 0, []))
        await asyncio.sleep(0.2)
        client.process.kill()
        await appending
    connection = sqlite3.connect(tmp_path / "storage" / "store.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    async with ullage(tmp_path) as client:
        assert await window_of(client, context_id)
