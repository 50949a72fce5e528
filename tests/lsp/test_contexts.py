"""Contexts: made, found again, renamed, moved, switched between, closed, erased."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from support.raw_client import RpcError
from support.ullage_server import appended, opened, ullage, window_of, workspace

UNKNOWN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


async def test_a_workspace_has_one_context_however_its_uri_is_spelt(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        first = await opened(client)
        for spelling in ("FILE:///home/someone/project/", "file:///home/some%6Fne/project"):
            assert (await client.request("context/open", {"workspaceUri": spelling}))["id"] == first


async def test_drive_letters_are_one_whatever_their_case(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        ids = [
            (await client.request("context/open", {"workspaceUri": uri}))["id"]
            for uri in ("file:///C:/code", "file:///c%3A/code/", "file:///c:/code")
        ]
        assert len(set(ids)) == 1


async def test_a_context_survives_a_restart_with_its_id(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        first = await opened(client)
        await appended(client, first, "Remember me.")
        assert await client.shut_down() == 0
    async with ullage(tmp_path) as client:
        assert await opened(client) == first
        assert await window_of(client, first) == ["Remember me."]


async def test_every_workspace_folder_has_its_main_context(tmp_path: Path) -> None:
    async with ullage(tmp_path, folders=[workspace("one"), workspace("two")]) as client:
        names = await _workspaces(client)
        assert names == {workspace("one"): "active", workspace("two"): "ready"}


async def test_folders_come_and_go_with_their_contexts(tmp_path: Path) -> None:
    async with ullage(tmp_path, folders=[workspace("one")]) as client:
        event = {
            "added": [{"uri": workspace("two"), "name": "two"}],
            "removed": [{"uri": workspace("one"), "name": "one"}],
        }
        await client.notify("workspace/didChangeWorkspaceFolders", {"event": event})
        assert set(await _workspaces(client)) == {workspace("one"), workspace("two")}


async def test_a_context_keeps_its_id_when_the_folder_joins_a_multi_root_workspace(tmp_path: Path) -> None:
    async with ullage(tmp_path, folders=[workspace("one")]) as client:
        alone = await opened(client, "one")
    async with ullage(tmp_path, folders=[workspace("zero"), workspace("one")]) as client:
        assert await opened(client, "one") == alone


async def test_a_context_moves_with_its_renamed_folder(tmp_path: Path) -> None:
    async with ullage(tmp_path, folders=[workspace("old")]) as client:
        before = await opened(client, "old")
        nested = await opened(client, "old/inner")
        files = [{"oldUri": workspace("old"), "newUri": workspace("new")}]
        await client.notify("workspace/didRenameFiles", {"files": files})
        assert await opened(client, "new") == before
        assert await opened(client, "new/inner") == nested


async def test_update_renames_and_moves(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        params = {"contextId": context_id, "name": "review", "workspaceUri": workspace("elsewhere")}
        context = await client.request("context/update", params)
        assert (context["name"], context["workspaceUri"]) == ("review", workspace("elsewhere"))
        assert await opened(client, "elsewhere", name="review") == context_id


async def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        await opened(client)
        other = await opened(client, name="other")
        with pytest.raises(RpcError, match="already") as failure:
            await client.request("context/update", {"contextId": other, "name": "main"})
        assert (failure.value.code, failure.value.data["path"]) == (-32602, "name")


async def test_a_system_prompt_is_part_of_the_window(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        before = (await client.request("context/status"))["usage"]["tokens"]
        prompt = "You are a careful reviewer of Python code."
        context = await client.request("context/update", {"contextId": context_id, "systemPrompt": prompt})
        assert context["usage"]["tokens"] > before
        context = await client.request("context/update", {"contextId": context_id, "systemPrompt": ""})
        assert context["usage"]["tokens"] == before


async def test_a_mode_brings_its_system_prompt(tmp_path: Path) -> None:
    options = {"modes": {"reviewer": {"systemPrompt": "Review with care."}}}
    async with ullage(tmp_path, options) as client:
        context = await client.request("context/open", {"workspaceUri": workspace(), "mode": "reviewer"})
        assert context["mode"] == "reviewer"
        assert context["usage"]["tokens"] > 0
        with pytest.raises(RpcError) as failure:
            await client.request("context/update", {"contextId": context["id"], "mode": "poet"})
        assert (failure.value.code, failure.value.data["path"]) == (-32602, "mode")


async def test_switching_tells_what_was_active_before(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        first = await opened(client)
        second = await opened(client, name="second")
        result = await client.request("context/switch", {"contextId": first})
        assert result["previousContextId"] == second
        assert result["context"]["priority"] == "active"
        assert result["restoredFrom"] == "memory"
        assert (await client.request("context/status"))["context"]["id"] == first


async def test_a_context_from_an_earlier_life_is_restored_from_the_store(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        first = await opened(client)
    async with ullage(tmp_path) as client:
        result = await client.request("context/switch", {"contextId": first})
        assert result["restoredFrom"] == "store"


async def test_a_closed_context_rests_and_comes_back_whole(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        await appended(client, context_id, "Sleep well.")
        assert (await client.request("context/close", {"contextId": context_id}))["priority"] == "dormant"
        with pytest.raises(RpcError):
            await client.request("context/status")
        assert (await client.request("context/switch", {"contextId": context_id}))["context"]["priority"] == "active"
        assert await window_of(client, context_id) == ["Sleep well."]


async def test_an_erased_context_is_gone_from_the_disk(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        await appended(client, context_id, "xyzzy-secret-word")
        assert await client.request("context/delete", {"contextId": context_id}) is None
        assert (await client.request("context/list"))["contexts"] == []
        with pytest.raises(RpcError) as failure:
            await client.request("context/messages", {"contextId": context_id})
        assert failure.value.data["kind"] == "unknownContext"
        stored = b"".join(path.read_bytes() for path in (tmp_path / "storage").rglob("*") if path.is_file())
        assert b"xyzzy-secret-word" not in stored


@pytest.mark.parametrize("context_id", [UNKNOWN, "", "../../etc/passwd", "CON", "x" * 10_000, "a\0b"])
async def test_an_unknown_id_is_unknown_whatever_it_looks_like(tmp_path: Path, context_id: str) -> None:
    async with ullage(tmp_path) as client:
        for method in ("context/status", "context/close", "context/delete", "context/clear"):
            with pytest.raises(RpcError) as failure:
                await client.request(method, {"contextId": context_id})
            assert (failure.value.code, failure.value.data["kind"]) == (-32803, "unknownContext")


@pytest.mark.parametrize("uri", ["", "project", "/home/someone", "file:", "file:///a%00b", "http://["])
async def test_a_workspace_that_is_no_uri_is_refused(tmp_path: Path, uri: str) -> None:
    async with ullage(tmp_path) as client:
        with pytest.raises(RpcError) as failure:
            await client.request("context/open", {"workspaceUri": uri})
        assert (failure.value.code, failure.value.data["path"]) == (-32602, "workspaceUri")


async def _workspaces(client) -> dict[str, str]:
    listed = (await client.request("context/list"))["contexts"]
    return {context["workspaceUri"]: context["priority"] for context in listed}


async def test_appends_that_race_with_closing_are_kept_or_refused_but_never_lost(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        begun: dict[str, int] = {}
        for n in range(40):
            messages = [{"role": "user", "content": f"m{n}"}]
            begun[f"m{n}"] = await client.begin("context/append", {"contextId": context_id, "messages": messages})
            if n % 5 == 4:
                closing = await client.begin("context/close", {"contextId": context_id})
        for request in begun.values():
            await client.answer(request)
        await client.answer(closing)
        await client.request("context/switch", {"contextId": context_id})
        assert await window_of(client, context_id) == list(begun)


async def test_closing_a_context_that_another_process_writes_closes_it_here_only(tmp_path: Path) -> None:
    async with ullage(tmp_path) as first, ullage(tmp_path) as second:
        context_id = await opened(first)
        await appended(first, context_id, "one")
        await opened(second)
        closed = await second.request("context/close", {"contextId": context_id})
        assert closed["priority"] == "dormant"
        assert (await first.request("context/status"))["context"]["priority"] == "active"


async def test_whoever_stops_being_active_is_told_so(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        first = await opened(client)
        second = await opened(client, name="second")
        await client.request("context/switch", {"contextId": first})
        last: dict[str, str] = {}
        while last != {first: "active", second: "ready"}:
            context = (await client.notification("context/statusChanged"))["context"]
            last[context["id"]] = context["priority"]


async def test_looking_at_a_closed_context_does_not_open_it(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        await appended(client, context_id, "one")
        await client.request("context/close", {"contextId": context_id})
        await asyncio.sleep(0.3)
        await client.request("context/list")
        result = await client.request("context/switch", {"contextId": context_id})
        assert result["restoredFrom"] == "store"


async def test_nothing_is_left_of_an_erased_context(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        await appended(client, context_id, "one")
        deleting = await client.begin("context/delete", {"contextId": context_id})
        messages = [{"role": "user", "content": "too late"}]
        appending = [
            await client.begin("context/append", {"contextId": context_id, "messages": messages}) for _ in range(5)
        ]
        await client.answer(deleting)
        for request in appending:
            with pytest.raises(RpcError):
                await client.answer(request)
        assert not [path for path in (tmp_path / "storage").rglob(f"{context_id}*") if path.is_file()]


async def test_contexts_that_another_window_writes_stay_and_the_person_is_told(tmp_path: Path) -> None:
    async with ullage(tmp_path) as first, ullage(tmp_path) as second:
        context_id = await opened(first, "old")
        await appended(first, context_id, "one")
        files = [{"oldUri": workspace("old"), "newUri": workspace("new")}]
        await second.notify("workspace/didRenameFiles", {"files": files})
        assert "stayed with its old name" in (await second.notification("window/showMessage"))["message"]
        assert await opened(second, "old") == context_id
