"""Somebody else writes to the database for a while: requests wait, the server does not."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.raw_client import RpcError
from support.ullage_server import appended, opened, ullage, window_of, workspace


@contextmanager
def write_lock(tmp_path: Path) -> Iterator[None]:
    connection = sqlite3.connect(tmp_path / "storage" / "store.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


async def test_a_locked_database_does_not_stop_the_loop(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        for n in range(30):
            await appended(client, context_id, f"m{n}")
        with write_lock(tmp_path):
            messages = [{"role": "user", "content": "waits"}]
            waiting = await client.begin("context/append", {"contextId": context_id, "messages": messages})
            for _ in range(10):
                with pytest.raises(RpcError):
                    await client.request("context/nothing", timeout=1)
        await client.answer(waiting)
        assert (await window_of(client, context_id))[-1] == "waits"


async def test_a_folder_that_leaves_during_a_commit_loses_nothing(tmp_path: Path) -> None:
    async with ullage(tmp_path, folders=[workspace()]) as client:
        context_id = await opened(client)
        for n in range(3):
            await appended(client, context_id, f"m{n}")
        with write_lock(tmp_path):
            messages = [{"role": "user", "content": "late"}]
            appending = await client.begin("context/append", {"contextId": context_id, "messages": messages})
            await asyncio.sleep(0.1)
            event = {"added": [], "removed": [{"uri": workspace(), "name": "folder"}]}
            await client.notify("workspace/didChangeWorkspaceFolders", {"event": event})
            await asyncio.sleep(0.2)
        await client.answer(appending)
        await appended(client, context_id, "later")
        assert await window_of(client, context_id) == ["m0", "m1", "m2", "late", "later"]


async def test_shutting_down_does_not_wait_for_a_locked_database(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        await appended(client, context_id, "one")
        with write_lock(tmp_path):
            messages = [{"role": "user", "content": "never"}]
            await client.begin("context/append", {"contextId": context_id, "messages": messages})
            await asyncio.sleep(0.1)
            assert await client.shut_down(timeout=2.5) == 0
