"""Settings that change while the server runs, and settings that make no sense."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from support.raw_client import RawClient, RpcError
from support.stub_servers import Answer, LlamaCppStub, OllamaStub
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


def folder_of(home: Path, name: str, settings: str) -> str:
    """A workspace's folder with a file of settings; its URI."""
    folder = home / name
    folder.mkdir(parents=True)
    (folder / ".ullage.yaml").write_text(settings)
    return folder.as_uri()


async def settings_of(client: RawClient, uri: str) -> dict[str, tuple[Any, str]]:
    """Each setting's value and source, as the stats of the workspace's context list them."""
    context = await client.request("context/open", {"workspaceUri": uri})
    stats = await client.request("context/stats", {"contextId": context["id"]})
    return {each["path"]: (each["value"], each["source"]) for each in stats["settings"]}


def warnings(client: RawClient) -> list[str]:
    told = [each["params"] for each in client.notifications if each["method"] == "window/showMessage"]
    return [each["message"] for each in told if "Setting " in each["message"]]


async def test_each_folders_file_counts_for_its_own_contexts(tmp_path: Path) -> None:
    a = folder_of(tmp_path / "work", "a", "context: {compression: {target: 0.3}}")
    b = folder_of(tmp_path / "work", "b", "context: {compression: {target: 0.4}, targetSize: 9000}")
    async with ullage(tmp_path, folders=[a, b]) as client:
        in_a, in_b = await settings_of(client, a), await settings_of(client, b)
        assert in_a["context.compression.target"] == (0.3, "workspace file")
        assert in_b["context.compression.target"] == (0.4, "workspace file")
        assert in_b["context.targetSize"] == (16384, "default")
        [warning] = warnings(client)
        assert "context.targetSize" in warning
        assert "/b/.ullage.yaml" in warning


async def test_the_only_folders_file_sets_the_size_that_is_asked_for(tmp_path: Path) -> None:
    only = folder_of(tmp_path / "work", "only", "context: {targetSize: 9000, minSize: 1000}")
    async with OllamaStub() as stub, ullage(tmp_path, using(stub.url, "ollama"), folders=[only]) as client:
        assert (await settings_of(client, only))["context.targetSize"] == (9000, "workspace file")
        context = await client.request("context/open", {"workspaceUri": only})
        assert (await client.request("context/sizing", {"contextId": context["id"]}))["target"] == 9000


async def test_a_changed_file_counts_without_a_restart(tmp_path: Path) -> None:
    uri = folder_of(tmp_path / "work", "a", "context: {compression: {target: 0.3}}")
    file = tmp_path / "work" / "a" / ".ullage.yaml"
    async with ullage(tmp_path, folders=[uri]) as client:
        await settings_of(client, uri)
        file.write_text("context: {compression: {target: 0.25}}")
        await client.notify("workspace/didChangeWatchedFiles", {"changes": [{"uri": file.as_uri(), "type": 2}]})
        assert (await settings_of(client, uri))["context.compression.target"] == (0.25, "workspace file")


async def test_a_changed_file_is_noticed_where_no_client_tells_of_it(tmp_path: Path) -> None:
    uri = folder_of(tmp_path / "work", "a", "context: {compression: {target: 0.3}}")
    options = {**using(NOBODY), "memory": {"pollSeconds": 0.5}}
    async with ullage(tmp_path, options, folders=[uri]) as client:
        await settings_of(client, uri)
        (tmp_path / "work" / "a" / ".ullage.yaml").write_text("context: {targetSize: many}")
        told = await client.notification("window/showMessage")
        while "context.targetSize" not in told["message"]:
            told = await client.notification("window/showMessage")
        assert (await settings_of(client, uri))["context.compression.target"] == (0.5, "default")


async def test_a_bad_value_of_the_start_is_told_once(tmp_path: Path) -> None:
    options = {**using(NOBODY), "context": {"targetSize": "many"}}
    async with ullage(tmp_path, options, env={"ULLAGE_VRAM_BUFFER": ""}) as client:
        await change(client, context={"minSize": 300})
        await change(client, context={"minSize": 400})
        await opened(client)
        [warning] = warnings(client)
        assert "context.targetSize (editor)" in warning
        assert "ULLAGE_VRAM_BUFFER" in warning


async def test_a_cloned_repository_can_not_redirect_what_a_person_types(tmp_path: Path) -> None:
    async with LlamaCppStub() as stub, LlamaCppStub() as evil:
        uri = folder_of(tmp_path / "work", "a", f"providers: {{llamacpp: {{url: '{evil.url}'}}}}")
        async with ullage(tmp_path, {"providers": {"default": "llamacpp"}}, folders=[uri]) as client:
            await change(client, providers={"llamacpp": {"url": stub.url}})
            context = await client.request("context/open", {"workspaceUri": uri})
            await client.request("context/chat", {"contextId": context["id"], "text": "Hello"})
            assert (len(stub.sent("/v1/chat/completions")), len(evil.sent("/v1/chat/completions"))) == (1, 0)
            assert "only your own settings" in warnings(client)[0]
