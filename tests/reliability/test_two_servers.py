"""Two servers on one store: one writes a context, the other reads it, and it changes hands without loss."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from support.raw_client import RpcError
from support.stub_servers import Answer, LlamaCppStub
from support.ullage_server import appended, opened, ullage, using, window_of


async def test_the_second_writer_is_told_who_holds_the_context(tmp_path: Path) -> None:
    async with ullage(tmp_path) as first, ullage(tmp_path) as second:
        context_id = await opened(first)
        await appended(first, context_id, "mine")
        with pytest.raises(RpcError) as failure:
            await appended(second, await opened(second), "yours")
        data = failure.value.data
        assert (data["kind"], data["reason"]) == ("contextBusy", "elsewhere")
        assert data["holder"]["pid"] == first.process.pid
        assert data["holder"]["client"] == "a test"


async def test_reading_needs_no_lock_and_sees_what_the_other_writes(tmp_path: Path) -> None:
    async with ullage(tmp_path) as first, ullage(tmp_path) as second:
        context_id = await opened(first)
        await appended(first, context_id, "one")
        assert await window_of(second, await opened(second)) == ["one"]
        await appended(first, context_id, "two")
        assert await window_of(second, context_id) == ["one", "two"]
        usage = (await second.request("context/status", {"contextId": context_id}))["usage"]
        assert usage == (await first.request("context/status", {"contextId": context_id}))["usage"]


async def test_a_killed_holder_frees_the_context_at_once(tmp_path: Path) -> None:
    async with ullage(tmp_path) as second:
        async with ullage(tmp_path) as first:
            context_id = await opened(first)
            await appended(first, context_id, "one")
            first.process.kill()
            await first.process.wait()
        await appended(second, context_id, "two")
        assert await window_of(second, context_id) == ["one", "two"]


async def test_a_context_that_is_asked_for_is_handed_over_within_a_second(tmp_path: Path) -> None:
    async with ullage(tmp_path) as first, ullage(tmp_path) as second:
        context_id = await opened(first)
        await appended(first, context_id, "one")
        loop = asyncio.get_running_loop()
        began = loop.time()
        await opened(second, takeOver=True)
        assert loop.time() - began < 1.5
        await appended(second, context_id, "two")
        with pytest.raises(RpcError) as failure:
            await appended(first, context_id, "three")
        assert failure.value.data["reason"] == "elsewhere"
        assert await window_of(first, context_id) == ["one", "two"]


async def test_handing_over_in_mid_answer_keeps_what_has_come(tmp_path: Path) -> None:
    async with LlamaCppStub() as server:
        options = using(server.url)
        async with ullage(tmp_path, options) as first, ullage(tmp_path, options) as second:
            server.answers.append(Answer(pieces=("Half ", "of it."), pause=asyncio.Event()))
            context_id = await opened(first)
            params = {"contextId": context_id, "text": "Hello.", "partialResultToken": 1}
            request = await first.begin("context/chat", params)
            await first.notification("$/progress")
            await opened(second, takeOver=True)
            assert (await first.answer(request))["stopReason"] == "cancelled"
            assert await window_of(second, context_id) == ["Hello.", "Half "]
            await second.request("context/chat", {"contextId": context_id, "text": "Go on."})
            assert await window_of(second, context_id) == ["Hello.", "Half ", "Go on.", "I heard you."]


async def test_a_closed_context_is_free_for_others(tmp_path: Path) -> None:
    async with ullage(tmp_path) as first, ullage(tmp_path) as second:
        context_id = await opened(first)
        await appended(first, context_id, "one")
        await first.request("context/close", {"contextId": context_id})
        await appended(second, await opened(second), "two")
        assert await window_of(second, context_id) == ["one", "two"]


async def test_a_damaged_store_is_set_aside_and_told(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        await appended(client, await opened(client), "one")
        await client.shut_down()
    database = tmp_path / "storage" / "store.db"
    database.write_bytes(b"This is no database. " * 1000)
    async with ullage(tmp_path) as client:
        event = await client.notification("context/event")
        assert event["kind"] == "storeDamaged"
        assert event["detail"]["file"].startswith("store.db.broken")
        assert "damaged" in (await client.notification("window/showMessage"))["message"]
        await appended(client, await opened(client), "two")
    assert len(list((tmp_path / "storage").glob("store.db.broken-*"))) == 1
