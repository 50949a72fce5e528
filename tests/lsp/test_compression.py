"""Making room over the wire: by request and by itself, with every kind of summary that a model may give."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from support.raw_client import RawClient, RpcError
from support.stub_servers import Answer, LlamaCppStub
from support.summarising_stub import GOOD, SummarisingStub
from support.ullage_server import opened, ullage, using, window_of

LIMIT = 1024
USABLE = LIMIT - LIMIT // 4
"""The limit less the room for an answer, which on a small window is a quarter."""

WORDS = " ".join(f"word{n}" for n in range(15))


def turn(number: int) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": f"Question {number}: {WORDS}"},
        {"role": "assistant", "content": f"Answer {number}: {WORDS}"},
    ]


async def append(client: RawClient, context_id: str, *messages: dict[str, Any]) -> dict[str, Any]:
    reply = await client.request("context/append", {"contextId": context_id, "messages": list(messages)})
    return dict(reply)


async def talk(client: RawClient, context_id: str, turns: int) -> dict[str, Any]:
    usage: dict[str, Any] = {}
    for number in range(turns):
        usage = (await append(client, context_id, *turn(number)))["usage"]
    return usage


async def fill(client: RawClient, context_id: str) -> int:
    """Turn by turn up to the threshold; how many turns that took."""
    for number in range(100):
        if (await append(client, context_id, *turn(number)))["usage"]["pressure"] >= 0.8:
            return number + 1
    raise AssertionError("the window never fills")


async def usage_of(client: RawClient, context_id: str) -> dict[str, Any]:
    return dict((await client.request("context/status", {"contextId": context_id}))["usage"])


async def event(client: RawClient, kind: str) -> dict[str, Any]:
    """The next event of this kind; others are passed over."""
    while True:
        params = await client.notification("context/event")
        if params["kind"] == kind:
            return dict(params)


def manual(server: LlamaCppStub, **context: Any) -> dict[str, Any]:
    """Settings under which nothing is compressed unbidden."""
    return using(server.url, compression={"enabled": False}, **context)


async def compress(client: RawClient, context_id: str, **more: Any) -> dict[str, Any]:
    return dict(await client.request("context/compress", {"contextId": context_id, **more}, timeout=20))


async def ready(client: RawClient) -> str:
    """A context whose model is known."""
    context_id = await opened(client)
    await client.request("context/status", {"contextId": context_id})
    return context_id


async def test_truncating_keeps_system_prompt_pins_and_the_newest(tmp_path: Path) -> None:
    async with LlamaCppStub(n_ctx=LIMIT) as server, ullage(tmp_path, manual(server)) as client:
        context_id = await ready(client)
        await append(client, context_id, {"role": "system", "content": "Be brief."})
        await append(client, context_id, {"role": "user", "content": "Port 8443, always.", "pinned": True})
        before = await talk(client, context_id, 8)
        result = await compress(client, context_id, strategy="truncate")
        window = await window_of(client, context_id)
        assert window[:2] == ["Be brief.", "Port 8443, always."]
        assert window[-1].startswith("Answer 7")
        assert not any(text.startswith("Question 0") for text in window)
        assert result["originalTokens"] == before["tokens"]
        assert result["compressedTokens"] == (await usage_of(client, context_id))["tokens"]
        assert result["ratio"] == pytest.approx(result["compressedTokens"] / result["originalTokens"], abs=1e-3)
        assert result["summary"] is None
        assert result["reducedBy"] == ["truncation"]
        assert len(await window_of(client, context_id, "history")) == 18
        told = await event(client, "compressed")
        assert told["detail"]["operationId"] == result["operationId"]


async def test_a_hybrid_compression_puts_a_summary_in_place_of_what_leaves(tmp_path: Path) -> None:
    async with SummarisingStub(n_ctx=LIMIT) as server, ullage(tmp_path, manual(server)) as client:
        context_id = await ready(client)
        await append(client, context_id, {"role": "system", "content": "Be brief."})
        await talk(client, context_id, 8)
        result = await compress(client, context_id)
        assert (result["strategy"], result["reducedBy"]) == ("hybrid", ["summary"])
        assert "The port is 8443" in result["summary"]["content"]
        history = await client.request("context/messages", {"contextId": context_id, "view": "history"})
        gone = [m["id"] for m in history["messages"] if m["content"].startswith(("Question 0", "Answer 0"))]
        assert set(gone) <= set(result["summary"]["summaryOf"])
        window = await window_of(client, context_id)
        assert window[0] == "Be brief."
        assert window[1] == result["summary"]["content"]
        assert result["compressedTokens"] == (await usage_of(client, context_id))["tokens"]
        [request] = server.summaries
        assert result["summary"]["tokens"] <= LIMIT // 8
        assert request["max_tokens"] <= LIMIT // 8 * 3 // 2  # the same in JSON is longer


async def test_an_earlier_summary_is_folded_in_and_not_kept_beside(tmp_path: Path) -> None:
    async with SummarisingStub(n_ctx=LIMIT) as server, ullage(tmp_path, manual(server)) as client:
        context_id = await ready(client)
        await talk(client, context_id, 8)
        first = await compress(client, context_id)
        await talk(client, context_id, 5)
        second = await compress(client, context_id)
        summaries = [text for text in await window_of(client, context_id) if text.startswith("## Goal")]
        assert len(summaries) == 1
        assert set(first["summary"]["summaryOf"]) < set(second["summary"]["summaryOf"])
        assert first["summary"]["content"] in str(server.summaries[-1]["messages"][-1]["content"])


@pytest.mark.parametrize(
    "summary",
    [
        "",
        "I'm sorry, but I can't summarise this conversation.",
        "It was a nice talk about many things, and everybody was happy in the end.",
        '{"goal": ["a", {"b": 1}], "rules": 3}',
        GOOD.replace('"The port is 8443"', ", ".join(f'"{number}: {WORDS}"' for number in range(60))),
        500,
        404,
        Answer(pieces=(GOOD[:40],), cut="abrupt"),
        Answer(pieces=()),
        Answer(pieces=("",), reasoning="Let me think about this. " * 50),
    ],
    ids=["nothing", "refusal", "prose", "shape", "too long", "500", "404", "cut off", "no text", "reasoning only"],
)
async def test_where_no_good_summary_is_to_be_had_the_oldest_turns_leave(
    tmp_path: Path, summary: str | Answer | int
) -> None:
    async with SummarisingStub(n_ctx=LIMIT, summary=summary) as server, ullage(tmp_path, manual(server)) as client:
        context_id = await ready(client)
        await talk(client, context_id, 8)
        result = await compress(client, context_id)
        assert result["reducedBy"] == ["truncation"]
        assert result["summary"] is None
        assert server.summaries
        assert result["compressedTokens"] < result["originalTokens"]


async def test_a_summary_that_never_comes_can_be_cancelled_with_nothing_changed(tmp_path: Path) -> None:
    never = Answer(gate=asyncio.Event())
    async with SummarisingStub(n_ctx=LIMIT, summary=never) as server, ullage(tmp_path, manual(server)) as client:
        context_id = await ready(client)
        await talk(client, context_id, 8)
        before = await window_of(client, context_id)
        request = await client.begin("context/compress", {"contextId": context_id})
        while not server.summaries:
            await client.request("context/status", {"contextId": context_id})
        await client.cancel(request)
        with pytest.raises(RpcError) as failure:
            await client.answer(request)
        assert failure.value.code == -32800
        assert await window_of(client, context_id) == before


async def test_what_is_said_during_a_summary_stays_at_the_end(tmp_path: Path) -> None:
    gate = asyncio.Event()
    slow = Answer(pieces=(GOOD,), gate=gate)
    async with SummarisingStub(n_ctx=LIMIT, summary=slow) as server, ullage(tmp_path, manual(server)) as client:
        context_id = await ready(client)
        await talk(client, context_id, 8)
        request = await client.begin("context/compress", {"contextId": context_id})
        while not server.summaries:
            await client.request("context/status", {"contextId": context_id})
        await append(client, context_id, {"role": "user", "content": "And one more thing."})
        gate.set()
        result = await client.answer(request)
        assert result["reducedBy"] == ["summary"]
        assert (await window_of(client, context_id))[-1] == "And one more thing."
        assert result["compressedTokens"] == (await usage_of(client, context_id))["tokens"]


async def test_the_status_says_while_room_is_being_made(tmp_path: Path) -> None:
    gate = asyncio.Event()
    slow = Answer(pieces=(GOOD,), gate=gate)
    async with SummarisingStub(n_ctx=LIMIT, summary=slow) as server, ullage(tmp_path, manual(server)) as client:
        context_id = await ready(client)
        await talk(client, context_id, 8)
        request = await client.begin("context/compress", {"contextId": context_id})
        while not (await client.notification("context/statusChanged"))["compressing"]:
            pass
        gate.set()
        await client.answer(request)
        while (await client.notification("context/statusChanged"))["compressing"]:
            pass
        assert (await client.request("context/status", {"contextId": context_id}))["compressing"] is False


async def test_a_window_that_was_cleared_meanwhile_stays_cleared(tmp_path: Path) -> None:
    gate = asyncio.Event()
    slow = Answer(pieces=(GOOD,), gate=gate)
    async with SummarisingStub(n_ctx=LIMIT, summary=slow) as server, ullage(tmp_path, manual(server)) as client:
        context_id = await ready(client)
        await talk(client, context_id, 8)
        request = await client.begin("context/compress", {"contextId": context_id})
        while not server.summaries:
            await client.request("context/status", {"contextId": context_id})
        await client.request("context/clear", {"contextId": context_id})
        gate.set()
        with pytest.raises(RpcError) as failure:
            await client.answer(request)
        assert failure.value.data["kind"] == "cannotReduce"
        assert await window_of(client, context_id) == []


async def test_undo_brings_the_window_back_as_it_was(tmp_path: Path) -> None:
    async with SummarisingStub(n_ctx=LIMIT) as server, ullage(tmp_path, manual(server)) as client:
        context_id = await ready(client)
        await append(client, context_id, {"role": "system", "content": "Be brief."})
        await append(client, context_id, {"role": "user", "content": "Port 8443, always.", "pinned": True})
        await talk(client, context_id, 8)
        window, usage = await window_of(client, context_id), await usage_of(client, context_id)
        result = await compress(client, context_id)
        undone = await client.request("context/undo", {"contextId": context_id})
        assert undone["undone"]["id"] == result["operationId"]
        assert await window_of(client, context_id) == window
        assert (await usage_of(client, context_id))["tokens"] == usage["tokens"]


@pytest.mark.parametrize("strategy", ["truncate", "hybrid", "summarize"])
async def test_an_estimate_changes_nothing_and_foretells_what_comes(tmp_path: Path, strategy: str) -> None:
    async with SummarisingStub(n_ctx=LIMIT) as server, ullage(tmp_path, manual(server)) as client:
        context_id = await ready(client)
        await talk(client, context_id, 8)
        before = await window_of(client, context_id)
        params = {"contextId": context_id, "strategy": strategy}
        estimate = await client.request("context/estimateCompression", params)
        assert await window_of(client, context_id) == before
        assert server.summaries == []
        assert estimate["needsModel"] == (strategy != "truncate")
        result = await compress(client, context_id, strategy=strategy)
        assert estimate["originalTokens"] == result["originalTokens"]
        assert estimate["removed"] == result["removed"]
        if strategy == "truncate":
            assert estimate["compressedTokens"] == pytest.approx(result["compressedTokens"], rel=0.1)
        else:
            assert estimate["compressedTokens"] >= result["compressedTokens"]


async def test_nothing_to_compress_is_said_and_changes_nothing(tmp_path: Path) -> None:
    async with LlamaCppStub(n_ctx=LIMIT) as server, ullage(tmp_path, manual(server)) as client:
        context_id = await ready(client)
        await append(client, context_id, *turn(0))
        with pytest.raises(RpcError) as failure:
            await compress(client, context_id)
        assert failure.value.data["kind"] == "cannotReduce"
        assert len(await window_of(client, context_id)) == 2


async def test_a_system_prompt_larger_than_the_window_is_told_with_what_to_change(tmp_path: Path) -> None:
    async with LlamaCppStub(n_ctx=LIMIT) as server, ullage(tmp_path, manual(server)) as client:
        context_id = await ready(client)
        await append(client, context_id, {"role": "system", "content": "rule " * LIMIT}, *turn(0))
        with pytest.raises(RpcError) as failure:
            await compress(client, context_id, strategy="truncate")
        assert failure.value.data["kind"] == "cannotReduce"
        assert "system prompt" in failure.value.message


async def test_tool_results_are_masked_before_anything_leaves(tmp_path: Path) -> None:
    """The window is compressed by itself, and masking old results is enough for that."""
    async with SummarisingStub(n_ctx=LIMIT) as server, ullage(tmp_path, using(server.url)) as client:
        context_id = await ready(client)
        call = {"id": "c1", "name": "read_file", "arguments": '{"path": "a.txt"}'}
        await append(client, context_id, {"role": "user", "content": "Read a.txt."})
        await append(client, context_id, {"role": "assistant", "content": "", "toolCalls": [call]})
        long = "line " * 190
        result = {"role": "tool", "content": long, "toolCallId": "c1", "name": "read_file"}
        await append(client, context_id, result, {"role": "assistant", "content": "Read."})
        for number in range(4):
            await append(client, context_id, *turn(number))
        told = await event(client, "compressed")
        assert told["detail"]["reducedBy"] == ["toolResults"]
        assert server.summaries == []
        assert long in await window_of(client, context_id)
        await client.request("context/chat", {"contextId": context_id, "text": "Go on."})
        sent = [m["content"] for m in server.asked[-1]["messages"] if m["role"] == "tool"]
        assert len(sent) == 1
        assert "left out to make room" in sent[0]


async def test_property_23_compression_begins_by_itself_at_the_threshold(tmp_path: Path) -> None:
    async with (
        SummarisingStub(n_ctx=LIMIT) as server,
        ullage(tmp_path, using(server.url, compression={"preserveRecent": 128})) as client,
    ):
        context_id = await ready(client)
        pressure, number = 0.0, 0
        while True:
            usage = (await append(client, context_id, *turn(number)))["usage"]
            if usage["pressure"] >= 0.8:
                break
            pressure, number = usage["pressure"], number + 1
            assert server.summaries == []
        assert pressure < 0.8
        told = await event(client, "compressed")
        assert told["detail"]["reducedBy"] == ["summary"]
        after = await usage_of(client, context_id)
        assert after["tokens"] <= 0.5 * USABLE
        assert after["tokens"] == told["detail"]["compressedTokens"]


async def test_a_question_goes_before_a_summary_that_runs(tmp_path: Path) -> None:
    never = Answer(gate=asyncio.Event())
    async with SummarisingStub(n_ctx=LIMIT, summary=never) as server, ullage(tmp_path, using(server.url)) as client:
        context_id = await ready(client)
        await fill(client, context_id)
        while not server.summaries:
            await client.request("context/status", {"contextId": context_id})
        answer = await client.request("context/chat", {"contextId": context_id, "text": "Quick?"})
        assert answer["message"]["content"] == "I heard you."
        assert answer["compressed"] is None


async def test_a_request_that_would_not_fit_waits_for_room_and_is_answered(tmp_path: Path) -> None:
    async with SummarisingStub(n_ctx=LIMIT) as server, ullage(tmp_path, using(server.url)) as client:
        context_id = await ready(client)
        await append(client, context_id, *(m for n in range(11) for m in turn(n)))
        answer = await client.request("context/chat", {"contextId": context_id, "text": "And now?"}, timeout=20)
        assert answer["usage"]["tokens"] <= USABLE
        assert answer["stopReason"] == "stop"
        assert "And now?" in str(server.asked[-1]["messages"])
        assert len(await window_of(client, context_id, "history")) >= 24


async def test_after_an_undo_compression_waits_for_new_growth(tmp_path: Path) -> None:
    async with SummarisingStub(n_ctx=LIMIT) as server, ullage(tmp_path, using(server.url)) as client:
        context_id = await ready(client)
        await fill(client, context_id)
        await event(client, "compressed")
        await client.request("context/undo", {"contextId": context_id})
        asked = len(server.summaries)
        await append(client, context_id, {"role": "user", "content": "Hm."})
        await client.request("context/status", {"contextId": context_id})
        assert len(server.summaries) == asked
        await append(client, context_id, *turn(99))
        await event(client, "compressed")
        assert len(server.summaries) > asked


async def test_progress_of_a_requested_compression_is_told(tmp_path: Path) -> None:
    async with SummarisingStub(n_ctx=LIMIT) as server, ullage(tmp_path, manual(server)) as client:
        context_id = await ready(client)
        await talk(client, context_id, 8)
        await compress(client, context_id, workDoneToken="work")
        told = [each["params"] for each in client.notifications if each["method"] == "$/progress"]
        assert [each["token"] for each in told] == ["work", "work"]
        assert [each["value"]["kind"] for each in told] == ["begin", "end"]


async def test_background_work_is_shown_and_can_be_cancelled(tmp_path: Path) -> None:
    never = Answer(gate=asyncio.Event())
    shows = {"window": {"workDoneProgress": True}}
    async with (
        SummarisingStub(n_ctx=LIMIT, summary=never) as server,
        ullage(tmp_path, using(server.url), capabilities=shows) as client,
    ):
        context_id = await ready(client)
        turns = await fill(client, context_id)
        request = await client.server_request("window/workDoneProgress/create")
        await client.reply(request, None)
        begun = await client.notification("$/progress")
        assert (begun["token"], begun["value"]["cancellable"]) == (request["params"]["token"], True)
        await client.notify("window/workDoneProgress/cancel", {"token": begun["token"]})
        assert (await client.notification("$/progress"))["value"]["kind"] == "end"
        assert len(await window_of(client, context_id)) == 2 * turns
