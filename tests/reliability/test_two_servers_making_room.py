"""Two servers on one store while one of them compresses: the other reads, waits its turn, and is never cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from support.killed_changes import turn
from support.raw_client import RawClient, RpcError
from support.stub_servers import Answer
from support.summarising_stub import GOOD, SummarisingStub
from support.ullage_server import appended, opened, ullage, using, window_of

SEEN_S = 5.0
"""Within which a count of snapshots is up to date: it is believed in for two seconds."""


@define(eq=False)
class Pair:
    """``first`` writes the context and waits for a summary of it until ``gate`` is set."""

    first: RawClient
    second: RawClient
    server: SummarisingStub
    gate: asyncio.Event
    context_id: str

    @property
    def own(self) -> dict[str, str]:
        return {"contextId": self.context_id}

    async def compressing(self) -> int:
        """The first's request, once it waits for the summary."""
        request = await self.first.begin("context/compress", self.own)
        await self.summary_asked()
        return request

    async def summary_asked(self) -> None:
        async with asyncio.timeout(30):
            while not self.server.summaries:
                await self.first.request("context/status", self.own)

    async def refused(self, client: RawClient, method: str, **params: Any) -> dict[str, Any]:
        with pytest.raises(RpcError) as failure:
            await client.request(method, {**self.own, **params}, timeout=30)
        return dict(failure.value.data or {"code": failure.value.code})


@asynccontextmanager
async def pair(folder: Path, *, by_itself: bool = False) -> AsyncIterator[Pair]:
    """``by_itself``: the window fills up to where a compression begins unbidden."""
    gate = asyncio.Event()
    summary = Answer(pieces=(GOOD,), gate=gate)
    context = {"compression": {"enabled": by_itself, "preserveRecent": 128}, "snapshots": {"autoCreate": False}}
    async with SummarisingStub(n_ctx=1024, summary=summary) as server:
        options = using(server.url, **context)
        async with ullage(folder, options) as first, ullage(folder, options) as second:
            context_id = await opened(first)
            for client in (first, second):
                await client.request("context/status", {"contextId": context_id})
            await fill(first, context_id, 0.8 if by_itself else 0.6)
            yield Pair(first, second, server, gate, context_id)


async def fill(client: RawClient, context_id: str, pressure: float) -> None:
    usage: dict[str, Any] = {"pressure": 0}
    while usage["pressure"] < pressure:
        messages = turn(usage.get("messages", 0))
        reply = await client.request("context/append", {"contextId": context_id, "messages": messages})
        usage = reply["usage"]


async def test_what_is_being_compressed_can_be_read_elsewhere_and_not_written(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        await both.first.request("context/snapshot/create", both.own)
        before = await window_of(both.first, both.context_id)
        request = await both.compressing()
        for _ in range(5):
            usages = [await both.second.request("context/status", both.own) for _ in range(2)]
            listed = await both.second.request("context/list", {})
            assert [each["usage"]["messages"] for each in (*usages, *listed["contexts"])] == [len(before)] * 3
            snapshots = await both.second.request("context/snapshot/list", both.own)
            assert (len(snapshots["snapshots"]), snapshots["unreadable"]) == (1, [])
            assert await window_of(both.second, both.context_id) == before
        for method in ("context/compress", "context/clear", "context/snapshot/create"):
            data = await both.refused(both.second, method)
            assert (data["kind"], data["reason"]) == ("contextBusy", "elsewhere")
            assert data["holder"]["pid"] == both.first.process.pid
        both.gate.set()
        result = await both.first.answer(request, timeout=30)
        assert await window_of(both.second, both.context_id) == await window_of(both.first, both.context_id)
        status = await both.second.request("context/status", both.own)
        assert status["usage"]["tokens"] == result["compressedTokens"]


async def test_a_server_killed_in_mid_compression_frees_the_context_unchanged(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        before = await window_of(both.first, both.context_id)
        await both.compressing()
        both.first.process.kill()
        await both.first.process.wait()
        assert await window_of(both.second, both.context_id) == before
        both.gate.set()
        result = await both.second.request("context/compress", both.own, timeout=30)
        assert result["reducedBy"] == ["summary"]
        await both.second.request("context/undo", both.own)
        assert await window_of(both.second, both.context_id) == before


async def test_snapshots_of_the_other_server_are_seen(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        assert await counted(both.second, both.own, 0)
        made = await both.first.request("context/snapshot/create", both.own)
        listed = await both.second.request("context/snapshot/list", both.own)
        assert listed["snapshots"] == [made]
        assert await counted(both.second, both.own, 1)
        await both.second.request("context/snapshot/delete", {"snapshotId": made["id"]})
        assert (await both.first.request("context/snapshot/list", both.own))["snapshots"] == []
        assert await counted(both.first, both.own, 0)


async def counted(client: RawClient, own: dict[str, str], wanted: int) -> bool:
    """Whether the status comes to tell so many snapshots."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SEEN_S
    while loop.time() < deadline:
        if (await client.request("context/status", own))["snapshots"] == wanted:
            return True
        await asyncio.sleep(0.1)
    return False


async def test_taking_over_ends_a_compression_by_request_and_it_never_comes_back(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        before = await window_of(both.first, both.context_id)
        request = await both.compressing()
        await opened(both.second, takeOver=True)
        with pytest.raises(RpcError) as failure:
            await both.first.answer(request, timeout=30)
        assert failure.value.code == -32800
        both.gate.set()
        await appended(both.second, both.context_id, "Mine now.")
        data = await both.refused(both.first, "context/clear")
        assert data["holder"]["pid"] == both.second.process.pid
        assert await window_of(both.first, both.context_id) == [*before, "Mine now."]


@pytest.mark.parametrize("way", ["context/close", "context/delete", "folder"])
async def test_a_context_let_go_in_mid_compression_is_free_for_others(tmp_path: Path, way: str) -> None:
    async with pair(tmp_path, by_itself=True) as both:
        await both.summary_asked()
        if way == "folder":
            removed = [{"uri": "file:///home/someone/project", "name": "folder"}]
            await both.first.notify("workspace/didChangeWorkspaceFolders", {"event": {"added": [], "removed": removed}})
        else:
            await both.first.request(way, both.own)
        both.gate.set()
        context_id = await opened(both.second)
        await appended(both.second, context_id, "Free.")
        assert (await window_of(both.second, context_id))[-1] == "Free."
        await both.first.request("context/list", {})
        assert not [each for each in both.first.notifications if each.get("params", {}).get("kind") == "compressed"]
        holder = (tmp_path / "storage" / "locks" / f"{context_id}.holder").read_text()
        assert f'"pid": {both.second.process.pid}' in holder


async def test_a_compression_by_itself_ends_when_the_context_is_taken_over(tmp_path: Path) -> None:
    async with pair(tmp_path, by_itself=True) as both:
        await both.summary_asked()
        before = await window_of(both.first, both.context_id)
        await opened(both.second, takeOver=True)
        both.gate.set()
        assert await window_of(both.second, both.context_id) == before
        await both.second.request("context/close", both.own)
        await both.first.request("context/list", {})
        assert await window_of(both.first, both.context_id) == before
        assert not (tmp_path / "storage" / "locks" / f"{both.context_id}.holder").exists()
