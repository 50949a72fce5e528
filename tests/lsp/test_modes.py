"""Modes over the wire: from settings that may change, through the request or a line, into what the model is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from support.raw_client import RawClient, RpcError
from support.stub_servers import LlamaCppStub, OllamaStub
from support.ullage_server import appended, opened, ullage, using, workspace

MODES: dict[str, Any] = {
    "reviewer": {"systemPrompt": "Review with care."},
    "poet": {"systemPrompt": "Rhyme.", "model": "nobody-has-this"},
    "plain": {},
}


@asynccontextmanager
async def serving(home: Path, **modes: Any) -> AsyncIterator[tuple[RawClient, LlamaCppStub]]:
    async with LlamaCppStub() as server, ullage(home, {**using(server.url), "modes": modes or MODES}) as client:
        yield client, server


async def system_prompt_sent(client: RawClient, server: LlamaCppStub, context_id: str) -> str | None:
    """What the model is told in front, at the next question."""
    await client.request("context/chat", {"contextId": context_id, "text": "Well?"})
    first = server.sent("/v1/chat/completions")[-1].json()["messages"][0]
    return first["content"] if first["role"] == "system" else None


async def failure(client: RawClient, method: str, **params: Any) -> RpcError:
    with pytest.raises(RpcError) as caught:
        await client.request(method, params)
    return caught.value


async def test_a_mode_chosen_at_opening_speaks_to_the_model(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, server):
        context = await client.request("context/open", {"workspaceUri": workspace(), "mode": "reviewer"})
        assert context["mode"] == "reviewer"
        assert await system_prompt_sent(client, server, context["id"]) == "Review with care."


@pytest.mark.parametrize("way", ["request", "line", "command"])
async def test_a_mode_is_taken_on_and_let_go(tmp_path: Path, way: str) -> None:
    async with serving(tmp_path) as (client, server):
        context_id = await opened(client)

        async def choose(mode: str) -> dict[str, Any]:
            if way == "request":
                return dict(await client.request("context/update", {"contextId": context_id, "mode": mode}))
            line = f"mode {mode or 'off'}"
            if way == "line":
                return dict((await client.request("context/command", {"line": line}))["data"])
            params = {"command": "ullage.server.mode", "arguments": [mode or "off"]}
            return dict((await client.request("workspace/executeCommand", params))["data"])

        assert await system_prompt_sent(client, server, context_id) is None
        assert (await choose("reviewer"))["mode"] == "reviewer"
        assert await system_prompt_sent(client, server, context_id) == "Review with care."
        assert (await choose(""))["mode"] is None
        assert await system_prompt_sent(client, server, context_id) is None


async def test_a_mode_keeps_the_conversation_and_counts_its_prompt(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, _):
        context_id = await opened(client)
        await appended(client, context_id, "Hello.")
        before = (await client.request("context/status", {"contextId": context_id}))["usage"]
        after = (await client.request("context/update", {"contextId": context_id, "mode": "reviewer"}))["usage"]
        assert after["messages"] == before["messages"]
        assert after["tokens"] > before["tokens"]


async def test_the_persons_own_system_message_stands_beside_the_modes(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, server):
        context_id = await opened(client, mode="reviewer")
        await appended(client, context_id, "Be brief.", role="system")
        sent = await system_prompt_sent(client, server, context_id)
        assert sent is not None
        assert "Review with care." in sent
        assert "Be brief." in sent


async def test_a_mode_that_the_settings_bring_later_can_be_chosen_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, server):
        context_id = await opened(client)
        assert (await failure(client, "context/update", contextId=context_id, mode="pirate")).data == {"path": "mode"}
        settings = {**using(server.url), "modes": {"pirate": {"systemPrompt": "Arr."}}}
        await client.notify("workspace/didChangeConfiguration", {"settings": {"ullage": settings}})
        await client.request("context/update", {"contextId": context_id, "mode": "pirate"})
        assert await system_prompt_sent(client, server, context_id) == "Arr."


async def test_a_settings_change_rewrites_no_conversations_prompt_until_it_is_chosen_anew(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, server):
        context_id = await opened(client, mode="reviewer")
        settings = {**using(server.url), "modes": {"reviewer": {"systemPrompt": "Be harsh."}}}
        await client.notify("workspace/didChangeConfiguration", {"settings": {"ullage": settings}})
        assert await system_prompt_sent(client, server, context_id) == "Review with care."
        await client.request("context/command", {"line": "mode reviewer"})
        assert await system_prompt_sent(client, server, context_id) == "Be harsh."


async def test_a_context_keeps_its_mode_across_restarts_also_where_the_settings_lost_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, _):
        context_id = await opened(client, mode="reviewer")
    async with serving(tmp_path, other={}) as (client, server):
        assert await opened(client) == context_id
        status = await client.request("context/status", {"contextId": context_id})
        assert status["context"]["mode"] == "reviewer"
        assert await system_prompt_sent(client, server, context_id) == "Review with care."


async def test_each_context_has_a_mode_of_its_own(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, server):
        ids = [await opened(client, name=name, mode=mode) for name, mode in (("a", "reviewer"), ("b", "plain"))]
        assert await system_prompt_sent(client, server, ids[0]) == "Review with care."
        assert await system_prompt_sent(client, server, ids[1]) is None


async def test_a_modes_model_is_taken_where_it_is_offered(tmp_path: Path) -> None:
    async with OllamaStub(model="poet:1b") as stub:
        modes = {"poet": {"systemPrompt": "Rhyme.", "model": "poet:1b"}}
        async with ullage(tmp_path, {**using(stub.url, "ollama"), "modes": modes}) as client:
            context_id = await opened(client)
            context = await client.request("context/update", {"contextId": context_id, "mode": "poet"})
            assert (context["mode"], context["model"]) == ("poet", "poet:1b")


async def test_a_modes_model_that_nobody_has_is_said_and_nothing_changes(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, server):
        context_id = await opened(client, mode="reviewer")
        error = await failure(client, "context/update", contextId=context_id, mode="poet")
        assert (error.code, error.data["kind"]) == (-32803, "modelUnavailable")
        assert await system_prompt_sent(client, server, context_id) == "Review with care."


async def test_an_unknown_mode_at_opening_makes_no_context(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, _):
        error = await failure(client, "context/open", workspaceUri=workspace(), mode="pirate")
        assert (error.code, error.data) == (-32602, {"path": "mode"})
        assert "there are: plain, poet, reviewer" in error.message
        assert (await client.request("context/list"))["contexts"] == []


async def test_a_modes_prompt_outlives_clear_compress_and_restore(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, server):
        context_id = await opened(client, mode="reviewer")
        words = " ".join(f"word{number}" for number in range(200))
        said = [{"role": role, "content": words} for _ in range(6) for role in ("user", "assistant")]
        await client.request("context/append", {"contextId": context_id, "messages": said})
        snapshot = await client.request("context/snapshot/create", {"contextId": context_id})
        for method, params in (
            ("context/compress", {"contextId": context_id, "strategy": "truncate"}),
            ("context/clear", {"contextId": context_id}),
            ("context/snapshot/restore", {"snapshotId": snapshot["id"]}),
            ("context/undo", {"contextId": context_id}),
        ):
            await client.request(method, params)
            assert await system_prompt_sent(client, server, context_id) == "Review with care."


async def test_a_snapshot_restored_elsewhere_brings_no_mode_along(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, server):
        context_id = await opened(client, mode="reviewer")
        await appended(client, context_id, "Hello.")
        snapshot = await client.request("context/snapshot/create", {"contextId": context_id})
        other = await opened(client, "elsewhere")
        params = {"snapshotId": snapshot["id"], "contextId": other}
        restored = await client.request("context/snapshot/restore", params)
        assert restored["context"]["mode"] is None
        assert await system_prompt_sent(client, server, other) is None
