"""Settings that change while the server runs, and settings that make no sense."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from support.raw_client import RawClient, RpcError
from support.stub_servers import Answer, LlamaCppStub
from support.ullage_server import NOBODY, appended, opened, ullage, using


async def change(client: RawClient, **settings: Any) -> None:
    await client.notify("workspace/didChangeConfiguration", {"settings": {"ullage": settings}})


async def tokens_of(client: RawClient, context_id: str) -> int:
    return int((await client.request("context/status", {"contextId": context_id}))["usage"]["tokens"])


async def test_a_multiplier_counts_from_its_change_on(tmp_path: Path) -> None:
    async with LlamaCppStub() as stub, ullage(tmp_path, using(stub.url)) as client:
        context_id = await opened(client)
        await appended(client, context_id, "Hello there")
        before = await tokens_of(client, context_id)
        await change(client, tokens={"multipliers": {"*": 2}})
        assert await tokens_of(client, context_id) == pytest.approx(2 * before, abs=2)


async def test_a_change_of_servers_does_not_break_off_an_answer(tmp_path: Path) -> None:
    async with LlamaCppStub() as stub, LlamaCppStub() as other, ullage(tmp_path, using(stub.url)) as client:
        context_id = await opened(client)
        pause = asyncio.Event()
        stub.answers.append(Answer(pause=pause))
        chat = {"contextId": context_id, "text": "Hello", "partialResultToken": "t"}
        answering = await client.begin("context/chat", chat)
        await client.notification("$/progress")
        await change(client, providers={"llamacpp": {"url": other.url}})
        await client.request("context/status", {"contextId": context_id})
        pause.set()
        assert (await client.answer(answering))["stopReason"] == "stop"
        await client.request("context/chat", {"contextId": context_id, "text": "Again"})
        assert (len(stub.sent("/v1/chat/completions")), len(other.sent("/v1/chat/completions"))) == (1, 1)


async def test_a_changed_size_is_asked_for_from_the_next_request_on(tmp_path: Path) -> None:
    async with LlamaCppStub() as stub, ullage(tmp_path, using(stub.url)) as client:
        context_id = await opened(client)
        await client.request("context/status", {"contextId": context_id})
        asked = len(stub.sent("/props"))
        await change(client, context={"targetSize": 4096})
        await client.request("context/status", {"contextId": context_id})
        assert len(stub.sent("/props")) > asked


@pytest.mark.parametrize("model", ["~nobodyxyz/m.gguf", "no\0name.gguf", "/tmp", "/nowhere/m.gguf"])
async def test_a_model_file_that_is_none_is_told_in_a_sentence(tmp_path: Path, model: str) -> None:
    pytest.importorskip("xllamacpp")
    options = {"providers": {"default": "embedded", "embedded": {"model": model}}}
    async with ullage(tmp_path, options) as client:
        context_id = await opened(client)
        with pytest.raises(RpcError) as failure:
            await client.request("context/chat", {"contextId": context_id, "text": "Hello"})
        assert failure.value.data["kind"] == "modelUnavailable"
        assert "providers.embedded.model" in failure.value.message


async def test_a_host_that_is_no_name_is_told_in_a_sentence(tmp_path: Path) -> None:
    async with ullage(tmp_path, using("http://xn--a.:9")) as client:
        context_id = await opened(client)
        with pytest.raises(RpcError) as failure:
            await client.request("context/chat", {"contextId": context_id, "text": "Hello"})
        assert failure.value.data["kind"] == "providerUnavailable"
        assert "no valid http address" in failure.value.message


async def test_a_password_in_an_address_is_not_shown(tmp_path: Path) -> None:
    url = NOBODY.replace("//", "//someone:secret@")
    async with ullage(tmp_path, using(url)) as client:
        context_id = await opened(client)
        stats = await client.request("context/stats", {"contextId": context_id})
        assert "secret" not in str(stats)
        assert {"path": "providers.llamacpp.url", "value": NOBODY, "source": "editor"} in stats["settings"]
