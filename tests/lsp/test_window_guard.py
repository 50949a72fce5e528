"""The window's gauge over the wire: what is told, kept and compressed as a window fills up."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

from support.raw_client import RawClient
from support.stub_servers import Answer, LlamaCppStub
from support.summarising_stub import GOOD, SummarisingStub
from support.ullage_server import appended, opened, ullage, using, window_of

LIMIT = 1024
USABLE = LIMIT - LIMIT // 4
OFF = {"compression": {"enabled": False}}


async def ready(client: RawClient) -> str:
    """A context whose model is known."""
    context_id = await opened(client)
    await client.request("context/status", {"contextId": context_id})
    return context_id


async def fill(client: RawClient, context_id: str, pressure: float, turns: int = 1) -> None:
    """Say as much as brings the window to ``pressure``, or just above. The model server takes a word, a blank, and each
    end of a message for a token."""
    for left in range(turns, 0, -1):
        tokens = math.ceil(pressure * USABLE) - (await usage_of(client, context_id))["tokens"]
        words = "w " * max(math.ceil((tokens / left - 2) / 2), 1)
        await appended(client, context_id, words, role=("assistant", "user")[left % 2])


async def usage_of(client: RawClient, context_id: str) -> dict[str, Any]:
    return dict((await client.request("context/status", {"contextId": context_id}))["usage"])


async def change(client: RawClient, server: LlamaCppStub, **context: Any) -> None:
    settings = {"settings": {"ullage": using(server.url, **context)}}
    await client.notify("workspace/didChangeConfiguration", settings)


async def triggers(client: RawClient, context_id: str) -> list[str]:
    page = await client.request("context/snapshot/list", {"contextId": context_id})
    return [each["trigger"] for each in page["snapshots"]]


def told(client: RawClient, kind: str) -> list[dict[str, Any]]:
    """The events of this kind so far."""
    events = [each["params"] for each in client.notifications if each["method"] == "context/event"]
    return [each["detail"] for each in events if each["kind"] == kind]


async def until_told(client: RawClient, kind: str) -> dict[str, Any]:
    while True:
        params = await client.notification("context/event")
        if params["kind"] == kind:
            return dict(params["detail"])


async def test_a_window_that_fills_up_is_kept_at_80_and_at_95_percent_and_nothing_leaves(tmp_path: Path) -> None:
    async with LlamaCppStub(n_ctx=LIMIT) as server, ullage(tmp_path, using(server.url, **OFF)) as client:
        context_id = await ready(client)
        for pressure, kept in ((0.75, []), (0.85, ["threshold"]), (0.9, ["threshold"])):
            await fill(client, context_id, pressure)
            assert await triggers(client, context_id) == kept
        assert told(client, "preOverflow") == []
        for pressure in (0.98, 1.3):
            await fill(client, context_id, pressure)
            assert await triggers(client, context_id) == ["threshold", "emergency"]
        [warning] = told(client, "preOverflow")
        assert warning["limit"] == LIMIT
        assert len(await window_of(client, context_id)) == 5
        status = await client.request("context/status", {"contextId": context_id})
        assert (status["warning"], status["snapshots"]) == ("critical", 2)


async def test_after_recovery_it_is_kept_and_told_again(tmp_path: Path) -> None:
    async with LlamaCppStub(n_ctx=LIMIT) as server, ullage(tmp_path, using(server.url, **OFF)) as client:
        context_id = await ready(client)
        for crossings in (1, 2):
            await fill(client, context_id, 0.85)
            await fill(client, context_id, 0.98)
            await client.request("context/clear", {"contextId": context_id})
            assert await triggers(client, context_id) == ["threshold", "emergency"] * crossings
            assert len(told(client, "preOverflow")) == crossings


async def test_changed_settings_count_from_the_next_words_on(tmp_path: Path) -> None:
    async with SummarisingStub(n_ctx=LIMIT) as server, ullage(tmp_path, using(server.url, **OFF)) as client:
        context_id = await ready(client)
        await fill(client, context_id, 0.6, turns=6)
        await change(client, server, compression={"enabled": False}, snapshots={"autoThreshold": 0.5})
        assert await triggers(client, context_id) == []
        await fill(client, context_id, 0.63)
        assert await triggers(client, context_id) == ["threshold"]
        compression = {"enabled": True, "threshold": 0.5, "target": 0.3, "preserveRecent": 64}
        await change(client, server, compression=compression, snapshots={"autoCreate": False})
        assert server.summaries == []
        await fill(client, context_id, 0.66)
        assert (await until_told(client, "compressed"))["origin"] == "guard"
        await fill(client, context_id, 0.98)
        assert await triggers(client, context_id) == ["threshold"]


async def test_a_question_at_95_percent_waits_for_the_compression_that_runs(tmp_path: Path) -> None:
    gate = asyncio.Event()
    slow = Answer(pieces=(GOOD,), gate=gate)
    async with SummarisingStub(n_ctx=LIMIT, summary=slow) as server, ullage(tmp_path, using(server.url)) as client:
        context_id = await ready(client)
        await fill(client, context_id, 0.96, turns=8)
        while not server.summaries:
            await usage_of(client, context_id)
        asked = await client.begin("context/chat", {"contextId": context_id, "text": "And now?"})
        while "And now?" not in await window_of(client, context_id):
            pass
        assert (server.asked, len(server.summaries)) == ([], 1)
        gate.set()
        answer = await client.answer(asked, timeout=20)
        assert answer["usage"]["pressure"] < 0.8
        assert (len(server.asked), len(server.summaries)) == (1, 1)
        assert "The port is 8443" in str(server.asked[0]["messages"])


async def test_a_question_below_95_percent_goes_first(tmp_path: Path) -> None:
    never = Answer(gate=asyncio.Event())
    async with SummarisingStub(n_ctx=LIMIT, summary=never) as server, ullage(tmp_path, using(server.url)) as client:
        context_id = await ready(client)
        await fill(client, context_id, 0.85, turns=8)
        while not server.summaries:
            await usage_of(client, context_id)
        answer = await client.request("context/chat", {"contextId": context_id, "text": "And now?"})
        assert (answer["message"]["content"], answer["compressed"]) == ("I heard you.", None)


async def test_what_the_guard_did_is_in_the_log_and_can_be_undone(tmp_path: Path) -> None:
    async with SummarisingStub(n_ctx=LIMIT) as server, ullage(tmp_path, using(server.url)) as client:
        context_id = await ready(client)
        await fill(client, context_id, 0.85, turns=8)
        await until_told(client, "compressed")
        page = await client.request("context/history", {"contextIds": [context_id]})
        acted = [(each["kind"], each["origin"]) for each in page["operations"] if each["origin"] != "client"]
        assert acted == [("snapshot", "guard"), ("compress", "guard")]
        await client.request("context/undo", {"contextId": context_id})
        assert len(await window_of(client, context_id)) == 8


async def test_an_import_that_fills_the_window_is_kept_and_compressed_too(tmp_path: Path) -> None:
    async with SummarisingStub(n_ctx=LIMIT) as server, ullage(tmp_path, using(server.url)) as client:
        source, target = await ready(client), await opened(client, "other")
        await fill(client, source, 0.75, turns=8)
        text = (await client.request("context/export", {"contextId": source, "format": "json"}))["text"]
        await client.request("context/status", {"contextId": target})
        await fill(client, target, 0.3)
        await client.request("context/import", {"contextId": target, "format": "json", "text": text})
        assert await triggers(client, target) == ["emergency"]
        assert (await until_told(client, "compressed"))["reducedBy"] == ["summary"]
