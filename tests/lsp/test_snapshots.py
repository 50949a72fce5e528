"""Snapshots over the wire: made, listed, put back here and elsewhere, erased, damaged, and cleared away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.raw_client import RawClient, RpcError
from support.stub_servers import Answer, LlamaCppStub
from support.ullage_server import appended, opened, ullage, using, window_of

LIMIT = 1024
USABLE = LIMIT - LIMIT // 4
NOWHERE = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
"""An id that nothing bears."""


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[RawClient]:
    async with ullage(tmp_path) as made:
        yield made


def folder_of(home: Path, context_id: str) -> Path:
    return home / "storage" / "snapshots" / context_id


async def kept(client: RawClient, context_id: str, **more: Any) -> dict[str, Any]:
    """A snapshot of the window as it is."""
    return dict(await client.request("context/snapshot/create", {"contextId": context_id, **more}))


async def listed(client: RawClient, context_id: str | None = None) -> dict[str, Any]:
    params = {} if context_id is None else {"contextId": context_id}
    return dict(await client.request("context/snapshot/list", params))


async def restored(client: RawClient, snapshot_id: str, **more: Any) -> dict[str, Any]:
    return dict(await client.request("context/snapshot/restore", {"snapshotId": snapshot_id, **more}))


async def refused(client: RawClient, method: str, **params: Any) -> str:
    """The kind of the error that a request ends in."""
    with pytest.raises(RpcError) as failure:
        await client.request(method, params)
    assert failure.value.code == -32803
    assert len(failure.value.message.split()) > 3
    return str(failure.value.data["kind"])


async def event(client: RawClient, kind: str) -> dict[str, Any]:
    """The next event of this kind; others are passed over."""
    while True:
        params = await client.notification("context/event")
        if params["kind"] == kind:
            return dict(params)


async def usage_of(client: RawClient, context_id: str) -> dict[str, Any]:
    return dict((await client.request("context/status", {"contextId": context_id}))["usage"])


async def fill(client: RawClient, context_id: str, pressure: float) -> None:
    """Say as much as brings the window to ``pressure``. The model server takes a word and a blank for a token each."""
    tokens = round(pressure * USABLE) - (await usage_of(client, context_id))["tokens"]
    turns = max(tokens // 60, 1)
    for n in range(turns):
        await appended(client, context_id, "w " * (tokens // turns // 2), role=("user", "assistant")[n % 2])


def damage(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


class TestMakingAndListing:
    async def test_it_tells_what_the_window_was(self, client: RawClient) -> None:
        context_id = await opened(client)
        await appended(client, context_id, "How deep is the harbour?", "And the fairway?")
        info = await kept(client, context_id)
        usage = await usage_of(client, context_id)
        assert (info["contextId"], info["messages"], info["tokens"]) == (context_id, 2, usage["tokens"])
        assert (info["summary"], info["trigger"]) == ("And the fairway?", "manual")
        assert info["metadata"] == {"model": None, "contextSize": 0, "compressionRatio": 1.0}
        assert (await event(client, "snapshotCreated"))["detail"]["snapshotId"] == info["id"]
        assert (await listed(client, context_id)) == {"snapshots": [info], "unreadable": []}

    async def test_count_and_size_are_shown_right_at_once(self, client: RawClient) -> None:
        context_id = await opened(client)
        size = 0
        for count in (1, 2, 3):
            await appended(client, context_id, "word " * count)
            size += (await kept(client, context_id))["bytes"]
            stats = await client.request("context/stats", {"contextId": context_id})
            assert (stats["snapshots"], stats["snapshotBytes"]) == (count, size)
            assert (await client.request("context/status", {"contextId": context_id}))["snapshots"] == count
        for each in (await listed(client))["snapshots"]:
            await client.request("context/snapshot/delete", {"snapshotId": each["id"]})
            size -= each["bytes"]
            stats = await client.request("context/stats", {"contextId": context_id})
            assert stats["snapshotBytes"] == size
        assert stats["snapshots"] == 0

    async def test_each_context_lists_its_own_and_all_are_listed_together(self, client: RawClient) -> None:
        contexts = [await opened(client, name) for name in ("one", "two")]
        made = [(await kept(client, context_id, summary="Kept"))["id"] for context_id in (*contexts, contexts[0])]
        ids = [[each["id"] for each in (await listed(client, one))["snapshots"]] for one in (*contexts, None)]
        assert ids == [[made[0], made[2]], [made[1]], made]

    async def test_they_are_there_after_a_restart(self, tmp_path: Path) -> None:
        async with ullage(tmp_path) as first:
            context_id = await opened(first)
            await appended(first, context_id, "Hello")
            info = await kept(first, context_id)
        async with ullage(tmp_path) as second:
            assert (await listed(second))["snapshots"] == [info]
            await restored(second, info["id"])
            assert await window_of(second, context_id) == ["Hello"]

    async def test_where_they_are_switched_off_none_is_made(self, tmp_path: Path) -> None:
        async with ullage(tmp_path, {"context": {"snapshots": {"enabled": False}}}) as client:
            context_id = await opened(client)
            assert await refused(client, "context/snapshot/create", contextId=context_id) == "notSupported"
            assert await listed(client) == {"snapshots": [], "unreadable": []}


class TestRestoring:
    async def test_the_window_is_as_it_was_and_the_history_keeps_everything(self, client: RawClient) -> None:
        context_id = await opened(client)
        await appended(client, context_id, "One", "Two")
        usage = await usage_of(client, context_id)
        info = await kept(client, context_id)
        await appended(client, context_id, "Three")
        answer = await restored(client, info["id"])
        assert (answer["context"]["id"], answer["usage"]) == (context_id, usage)
        assert await window_of(client, context_id) == ["One", "Two"]
        assert await window_of(client, context_id, "history") == ["One", "Two", "Three"]
        assert (await event(client, "restored"))["detail"]["snapshotId"] == info["id"]

    async def test_undo_takes_it_back(self, client: RawClient) -> None:
        context_id = await opened(client)
        await appended(client, context_id, "One")
        info = await kept(client, context_id)
        await client.request("context/clear", {"contextId": context_id})
        await appended(client, context_id, "Two")
        await restored(client, info["id"])
        undone = await client.request("context/undo", {"contextId": context_id})
        assert undone["undone"]["kind"] == "restore"
        assert await window_of(client, context_id) == ["Two"]

    async def test_into_another_context_its_words_come_under_new_ids(self, client: RawClient) -> None:
        source, target = await opened(client, "one"), await opened(client, "two")
        said = await appended(client, source, "One", "Two")
        await appended(client, target, "Mine")
        info = await kept(client, source)
        answer = await restored(client, info["id"], contextId=target)
        assert answer["context"]["id"] == target
        page = await client.request("context/messages", {"contextId": target})
        assert [each["content"] for each in page["messages"]] == ["One", "Two"]
        assert not {each["id"] for each in page["messages"]} & {each["id"] for each in said}
        assert await window_of(client, source) == ["One", "Two"]
        await client.request("context/undo", {"contextId": target})
        assert await window_of(client, target) == ["Mine"]

    async def test_during_an_answer_the_answer_comes_and_is_kept(self, tmp_path: Path) -> None:
        pause = asyncio.Event()
        async with LlamaCppStub(n_ctx=LIMIT) as server, ullage(tmp_path, using(server.url)) as client:
            context_id = await opened(client)
            await appended(client, context_id, "One")
            info = await kept(client, context_id)
            server.answers.append(Answer(pause=pause))
            chat = {"contextId": context_id, "text": "And now?", "partialResultToken": "t"}
            answering = await client.begin("context/chat", chat)
            await client.notification("$/progress")
            await restored(client, info["id"])
            assert await window_of(client, context_id) == ["One"]
            pause.set()
            assert (await client.answer(answering))["message"]["content"] == "I heard you."
            assert await window_of(client, context_id) == ["One"]
            assert await window_of(client, context_id, "history") == ["One", "And now?", "I heard you."]
            await client.request("context/undo", {"contextId": context_id})
            assert (await window_of(client, context_id))[:2] == ["One", "And now?"]

    async def test_one_that_is_larger_than_the_window_is_made_to_fit_by_the_next_question(self, tmp_path: Path) -> None:
        async with LlamaCppStub(n_ctx=4 * LIMIT) as server, ullage(tmp_path, using(server.url)) as client:
            context_id = await opened(client)
            await client.request("context/status", {"contextId": context_id})
            for n in range(20):
                await appended(client, context_id, f"Turn {n}: " + "w " * 40, role=("user", "assistant")[n % 2])
            info = await kept(client, context_id)
        async with (
            LlamaCppStub(n_ctx=LIMIT) as server,
            ullage(tmp_path, using(server.url, compression={"strategy": "truncate"})) as client,
        ):
            await client.request("context/status", {"contextId": context_id})
            await client.request("context/clear", {"contextId": context_id})
            assert (await restored(client, info["id"]))["usage"]["pressure"] > 1
            answer = await client.request("context/chat", {"contextId": context_id, "text": "And now?"}, timeout=20)
            assert answer["compressed"]["removed"] > 0
            assert answer["usage"]["pressure"] <= 1
            assert len(await window_of(client, context_id, "history")) == 22


class TestErasing:
    async def test_a_deleted_one_is_gone_for_good(self, client: RawClient, tmp_path: Path) -> None:
        context_id = await opened(client)
        first, second = await kept(client, context_id), await kept(client, context_id)
        assert await client.request("context/snapshot/delete", {"snapshotId": first["id"]}) is None
        assert [each["id"] for each in (await listed(client))["snapshots"]] == [second["id"]]
        assert [path.name for path in folder_of(tmp_path, context_id).iterdir()] == [f"{second['id']}.json"]
        assert await refused(client, "context/snapshot/restore", snapshotId=first["id"]) == "unknownSnapshot"

    async def test_those_of_a_deleted_context_are_gone_from_the_disk(self, client: RawClient, tmp_path: Path) -> None:
        context_id = await opened(client)
        info, damaged = await kept(client, context_id), await kept(client, context_id)
        damage(folder_of(tmp_path, context_id) / f"{damaged['id']}.json")
        await listed(client)
        await client.request("context/delete", {"contextId": context_id})
        assert not folder_of(tmp_path, context_id).exists()
        assert await listed(client) == {"snapshots": [], "unreadable": []}
        assert await refused(client, "context/snapshot/restore", snapshotId=info["id"]) == "unknownSnapshot"

    async def test_a_forgotten_message_is_in_none(self, client: RawClient) -> None:
        context_id = await opened(client)
        secret, _ = await appended(client, context_id, "The gate code is 4711", "And the fairway?")
        infos = [await kept(client, context_id), await kept(client, context_id, summary="The gate code is 4711")]
        await client.request("context/forget", {"contextId": context_id, "messageId": secret["id"]})
        page = await listed(client, context_id)
        assert [each["messages"] for each in page["snapshots"]] == [1, 1]
        assert "4711" not in str(page)
        for info in infos:
            await restored(client, info["id"])
            assert await window_of(client, context_id) == ["And the fairway?"]
        assert await window_of(client, context_id, "history") == ["And the fairway?"]

    async def test_the_newest_automatic_ones_stay_and_every_manual_one(self, tmp_path: Path) -> None:
        settings = {"compression": {"enabled": False}, "snapshots": {"maxCount": 2}}
        async with LlamaCppStub(n_ctx=LIMIT) as server, ullage(tmp_path, using(server.url, **settings)) as client:
            context_id = await opened(client)
            automatic = []
            for _ in range(4):
                await kept(client, context_id, summary="By hand")
                await fill(client, context_id, 0.85)
                automatic.append((await listed(client))["snapshots"][-1]["id"])
                await client.request("context/clear", {"contextId": context_id})
            snapshots = (await listed(client))["snapshots"]
            assert [each["id"] for each in snapshots if each["trigger"] == "threshold"] == automatic[-2:]
            assert len([each for each in snapshots if each["trigger"] == "manual"]) == 4


class TestReading:
    async def test_its_messages_are_those_of_the_window_at_that_time(self, client: RawClient) -> None:
        context_id = await opened(client)
        [pinned, _] = await appended(client, context_id, "Keep this", "and this")
        params = {"contextId": context_id, "messageId": pinned["id"], "pinned": True}
        await client.request("context/pin", params)
        info = await kept(client, context_id)
        before = await client.request("context/messages", {"contextId": context_id})
        await client.request("context/clear", {"contextId": context_id})
        page = await client.request("context/snapshot/messages", {"snapshotId": info["id"]})
        assert page == before
        assert [message.get("pinned", False) for message in page["messages"]] == [True, False]

    async def test_only_the_newest_are_read_of_a_long_one(self, client: RawClient) -> None:
        context_id = await opened(client)
        await appended(client, context_id, "first", "second", "third")
        info = await kept(client, context_id)
        page = await client.request("context/snapshot/messages", {"snapshotId": info["id"], "limit": 2})
        assert [message["content"] for message in page["messages"]] == ["second", "third"]
        assert page["hasMore"] is True

    async def test_a_damaged_one_is_told(self, client: RawClient, tmp_path: Path) -> None:
        context_id = await opened(client)
        info = await kept(client, context_id)
        damage(folder_of(tmp_path, context_id) / f"{info['id']}.json")
        assert await refused(client, "context/snapshot/messages", snapshotId=info["id"]) == "corruptSnapshot"


class TestDamage:
    async def test_a_whole_one_is_said_to_be(self, client: RawClient) -> None:
        info = await kept(client, await opened(client))
        verdict = await client.request("context/snapshot/verify", {"snapshotId": info["id"]})
        assert verdict == {"ok": True, "reason": None}

    async def test_a_damaged_one_is_told_with_its_reason(self, client: RawClient, tmp_path: Path) -> None:
        context_id = await opened(client)
        info = await kept(client, context_id)
        damage(folder_of(tmp_path, context_id) / f"{info['id']}.json")
        verdict = await client.request("context/snapshot/verify", {"snapshotId": info["id"]})
        assert verdict["ok"] is False
        assert "damaged" in verdict["reason"]

    async def test_a_damaged_one_is_listed_apart_and_others_are_still_there(
        self, client: RawClient, tmp_path: Path
    ) -> None:
        context_id = await opened(client)
        infos = [await kept(client, context_id) for _ in range(3)]
        damage(folder_of(tmp_path, context_id) / f"{infos[1]['id']}.json")
        for _ in range(2):
            page = await listed(client, context_id)
            assert page["snapshots"] == [infos[0], infos[2]]
            [unreadable] = page["unreadable"]
            assert unreadable["file"] == f"snapshots/{context_id}/{infos[1]['id']}.json.broken"
            assert len(unreadable["reason"].split()) > 3
        status = await client.request("context/status", {"contextId": context_id})
        assert status["snapshots"] == 2

    async def test_restoring_a_damaged_one_changes_nothing(self, client: RawClient, tmp_path: Path) -> None:
        context_id = await opened(client)
        await appended(client, context_id, "One")
        info = await kept(client, context_id)
        await appended(client, context_id, "Two")
        damage(folder_of(tmp_path, context_id) / f"{info['id']}.json")
        for _ in range(2):
            assert await refused(client, "context/snapshot/restore", snapshotId=info["id"]) == "corruptSnapshot"
        assert await window_of(client, context_id) == ["One", "Two"]
        await client.request("context/snapshot/delete", {"snapshotId": info["id"]})
        assert await listed(client) == {"snapshots": [], "unreadable": []}


class TestWrongIds:
    @pytest.mark.parametrize("request_", ["restore", "delete", "verify", "messages"])
    @pytest.mark.parametrize("snapshot_id", [NOWHERE, "", "../../etc/passwd", "no id", NOWHERE.lower()])
    async def test_an_unknown_snapshot_is_told(self, client: RawClient, request_: str, snapshot_id: str) -> None:
        kind = await refused(client, f"context/snapshot/{request_}", snapshotId=snapshot_id)
        assert kind == "unknownSnapshot"

    @pytest.mark.parametrize("context_id", [NOWHERE, "../..", ""])
    async def test_an_unknown_context_is_told(self, client: RawClient, context_id: str) -> None:
        info = await kept(client, await opened(client))
        asked = [("create", {}), ("list", {}), ("restore", {"snapshotId": info["id"]})]
        for request, params in asked:
            method = f"context/snapshot/{request}"
            assert await refused(client, method, contextId=context_id, **params) == "unknownContext", request

    async def test_a_summary_that_says_nothing_is_refused_by_its_path(self, client: RawClient) -> None:
        with pytest.raises(RpcError) as failure:
            await kept(client, await opened(client), summary="  ")
        assert (failure.value.code, failure.value.data["path"]) == (-32602, "summary")
