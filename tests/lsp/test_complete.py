"""Histories that the client holds: made to fit, answered, not kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.raw_client import RpcError
from support.stub_http import reply
from support.stub_servers import LlamaCppStub, llamacpp_overflow
from support.ullage_server import opened, ullage, using, window_of

CHAT = "/v1/chat/completions"


def history(turns: int, result: str = "") -> list[dict[str, Any]]:
    """Turns with a tool call each where there is a result."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}]
    for n in range(turns):
        messages.append({"role": "user", "content": f"Question {n}."})
        if result:
            call = {"id": f"c{n}", "name": "look", "arguments": "{}"}
            messages.append({"role": "assistant", "content": "", "toolCalls": [call]})
            messages.append({"role": "tool", "content": result, "toolCallId": f"c{n}", "name": "look"})
        messages.append({"role": "assistant", "content": f"Answer {n}."})
    return [*messages, {"role": "user", "content": "And now?"}]


def sent(server: LlamaCppStub) -> list[dict[str, Any]]:
    return json.loads(server.sent(CHAT)[-1].body)["messages"]


async def test_what_fits_is_sent_whole_and_nothing_is_kept(tmp_path: Path) -> None:
    async with LlamaCppStub() as server, ullage(tmp_path, using(server.url)) as client:
        context_id = await opened(client)
        result = await client.request("context/complete", {"messages": history(2)})
        assert result["message"]["content"] == "I heard you."
        assert result["fitted"] is None
        assert len(sent(server)) == 6
        assert result["usage"]["tokens"] == result["timing"]["promptTokens"]
        assert await window_of(client, context_id, "history") == []


async def test_old_tool_results_are_masked_first(tmp_path: Path) -> None:
    async with LlamaCppStub(n_ctx=600) as server, ullage(tmp_path, using(server.url)) as client:
        result = await client.request("context/complete", {"messages": history(3, "word " * 80)})
        fitted = result["fitted"]
        assert fitted["masked"] > 0
        assert fitted["dropped"] == 0
        assert fitted["after"] == result["timing"]["promptTokens"] <= 450 < fitted["before"]
        assert sum("left out to make room" in m["content"] for m in sent(server)) == fitted["masked"]


async def test_then_oldest_turns_are_dropped_and_the_system_prompt_stays(tmp_path: Path) -> None:
    async with LlamaCppStub(n_ctx=160) as server, ullage(tmp_path, using(server.url)) as client:
        result = await client.request("context/complete", {"messages": history(12)})
        assert result["fitted"]["dropped"] > 0
        contents = [m["content"] for m in sent(server)]
        assert contents[0] == "Be brief."
        assert contents[-1] == "And now?"
        assert contents[1] == f"Question {result['fitted']['dropped']}."


async def test_then_the_newest_results_are_shortened(tmp_path: Path) -> None:
    async with LlamaCppStub(n_ctx=300) as server, ullage(tmp_path, using(server.url)) as client:
        messages = history(1, "word " * 400)[:-2]
        result = await client.request("context/complete", {"messages": messages})
        assert result["fitted"]["masked"] == 1
        assert "left out to make room" in sent(server)[-1]["content"]


async def test_what_can_not_fit_is_refused_with_the_figures(tmp_path: Path) -> None:
    async with LlamaCppStub(n_ctx=200) as server, ullage(tmp_path, using(server.url)) as client:
        messages = [{"role": "system", "content": "a " * 50}, {"role": "user", "content": "b " * 200}]
        tools = [{"name": "look", "description": "looks", "parameters": {"type": "object"}}]
        with pytest.raises(RpcError) as failure:
            await client.request("context/complete", {"messages": messages, "options": {"tools": tools}})
        data = failure.value.data
        assert data["kind"] == "contextOverflow"
        assert data["limit"] == 200
        assert data["needed"] > 200
        assert data["newest"] > data["system"] > 50
        assert data["tools"] > 0
        assert server.sent(CHAT) == []


async def test_without_fitting_nothing_is_left_out(tmp_path: Path) -> None:
    async with LlamaCppStub(n_ctx=160) as server, ullage(tmp_path, using(server.url)) as client:
        with pytest.raises(RpcError) as failure:
            await client.request("context/complete", {"messages": history(12), "fit": False})
        assert failure.value.data["kind"] == "contextOverflow"


async def test_a_history_without_anything_to_answer_is_refused(tmp_path: Path) -> None:
    async with LlamaCppStub() as server, ullage(tmp_path, using(server.url)) as client:
        for messages in ([], [{"role": "system", "content": "Be brief."}]):
            with pytest.raises(RpcError) as failure:
                await client.request("context/complete", {"messages": messages})
            assert (failure.value.code, failure.value.data["path"]) == (-32602, "messages")


async def test_a_server_that_keeps_refusing_is_an_overflow(tmp_path: Path) -> None:
    async with LlamaCppStub() as server, ullage(tmp_path, using(server.url)) as client:
        refusal = reply(400, json.dumps(llamacpp_overflow(5000, 4096)))
        server.fail(CHAT, refusal, refusal)
        with pytest.raises(RpcError) as failure:
            await client.request("context/complete", {"messages": history(3)})
        assert failure.value.data["kind"] == "contextOverflow"
        assert (failure.value.data["needed"], failure.value.data["limit"]) == (5000, 4096)
        assert len(server.sent(CHAT)) == 2
