"""Cancelling: nothing has changed, or the change has its answer. Nothing in between."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from support.raw_client import RawClient, RpcError, frame
from support.stub_servers import LlamaCppStub
from support.summarising_stub import SummarisingStub
from support.ullage_server import appended, opened, ullage, using, window_of

MOMENTS = int(os.environ.get("ULLAGE_CANCELS", "50"))


class Slow(LlamaCppStub):
    """Counts tokens only while it is let."""

    gate: asyncio.Event | None = None

    async def handle(self, request: Any, exchange: Any) -> None:
        if request.path == "/tokenize" and self.gate is not None:
            await self.gate.wait()
        await super().handle(request, exchange)


async def cancelled(client: RawClient, method: str, params: dict[str, Any]) -> bool:
    """Whether a request that is cancelled at once says that it was."""
    request = await client.begin(method, params)
    await client.cancel(request)
    try:
        await client.answer(request, timeout=20)
    except RpcError as error:
        assert error.code == -32800
        return True
    return False


@pytest.mark.parametrize("pause", [0.0, 0.002, 0.02])
async def test_a_cancelled_append_is_kept_exactly_when_it_is_answered(tmp_path: Path, pause: float) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        kept = []
        for n in range(30):
            messages = [{"role": "user", "content": f"m{n}"}]
            request = await client.begin("context/append", {"contextId": context_id, "messages": messages})
            await asyncio.sleep(pause)
            await client.cancel(request)
            try:
                await client.answer(request)
            except RpcError as error:
                assert error.code == -32800
            else:
                kept.append(f"m{n}")
        assert await window_of(client, context_id) == kept


async def test_a_change_that_waits_for_its_count_is_answered_although_it_is_cancelled(tmp_path: Path) -> None:
    async with Slow() as server, ullage(tmp_path, using(server.url)) as client:
        context_id = await opened(client)
        await client.request("context/chat", {"contextId": context_id, "text": "Hello."})
        server.gate = asyncio.Event()
        server.requests.clear()
        messages = [{"role": "user", "content": "Slowly counted."}]
        request = await client.begin("context/append", {"contextId": context_id, "messages": messages})
        await asyncio.wait_for(server.received("/tokenize"), 10)
        await client.cancel(request)
        await asyncio.sleep(0.05)
        server.gate.set()
        assert (await client.answer(request))["messages"][0]["content"] == "Slowly counted."
        assert (await window_of(client, context_id))[-1] == "Slowly counted."


async def test_cancelled_clears_and_undos_leave_one_state_or_the_other(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        await appended(client, context_id, "one")
        window = ["one"]
        for _ in range(20):
            if not await cancelled(client, "context/clear", {"contextId": context_id}):
                window = []
            assert await window_of(client, context_id) == window
            if not window and not await cancelled(client, "context/undo", {"contextId": context_id}):
                window = ["one"]
            assert await window_of(client, context_id) == window


# Whatever changes something, cancelled at any moment


@frozen
class Place:
    client: RawClient
    context_id: str
    storage: Path

    async def ask(self, method: str, **params: Any) -> Any:
        return await self.client.request(method, {"contextId": self.context_id, **params}, timeout=20)

    async def state(self) -> dict[str, Any]:
        """All that a change can change: window and pins, history, log, snapshots, and the files of these."""
        messages = [await self.ask("context/messages", view=view, limit=1000) for view in ("window", "history")]
        operations = await self.client.request("context/history", {"contextIds": [self.context_id], "limit": 1000})
        listed = await self.ask("context/snapshot/list")
        files = sorted(path.name for path in (self.storage / "snapshots").rglob("*") if path.is_file())
        return {
            "window": [(m["id"], m.get("pinned", False)) for m in messages[0]["messages"]],
            "history": [m["id"] for m in messages[1]["messages"]],
            "operations": [(each["kind"], each["id"]) for each in operations["operations"]],
            "snapshots": [(each["id"], each["messages"]) for each in listed["snapshots"]],
            "files": files,
        }


Prepare = Callable[[Place], Awaitable[dict[str, Any]]]
Done = Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], bool]


@frozen
class Change:
    """``params`` makes a situation for the request; ``is_done`` tells by the states before and after, and the params,
    that it was carried through."""

    method: str
    params: Prepare
    is_done: Done


async def full(place: Place) -> dict[str, Any]:
    words = " ".join(f"word{number}" for number in range(12))
    said = [{"role": role, "content": f"{n}: {words}"} for n in range(6) for role in ("user", "assistant")]
    await place.ask("context/append", messages=said)
    return {}


async def oldest_message(place: Place) -> dict[str, Any]:
    await full(place)
    await place.ask("context/snapshot/create")
    return {"messageId": (await place.ask("context/messages"))["messages"][0]["id"]}


async def snapshot(place: Place) -> dict[str, Any]:
    await full(place)
    made = await place.ask("context/snapshot/create")
    await place.ask("context/clear")
    return {"snapshotId": made["id"]}


def with_(prepare: Prepare, **more: Any) -> Prepare:
    async def prepared(place: Place) -> dict[str, Any]:
        return {**await prepare(place), **more}

    return prepared


def one_more(kind: str) -> Done:
    """One operation of this kind is new in the log."""
    return lambda before, after, _: (
        after["operations"][:-1] == before["operations"] and after["operations"][-1][0] == kind
    )


def smaller(kind: str) -> Done:
    return lambda before, after, params: (
        one_more(kind)(before, after, params) and len(after["window"]) < len(before["window"])
    )


def forgotten(before: dict[str, Any], after: dict[str, Any], params: dict[str, Any]) -> bool:
    held = [count for _, count in before["snapshots"]]
    left = [count for _, count in after["snapshots"]]
    gone = {params["messageId"]}
    return set(before["history"]) - set(after["history"]) == gone and left == [*held[:-1], held[-1] - 1]


def brought_in(before: dict[str, Any], after: dict[str, Any], params: dict[str, Any]) -> bool:
    return one_more("import")(before, after, params) and len(after["history"]) == len(before["history"]) + 200


def kept(before: dict[str, Any], after: dict[str, Any], params: dict[str, Any]) -> bool:
    return one_more("snapshot")(before, after, params) and len(after["files"]) == len(before["files"]) + 1


def restored(before: dict[str, Any], after: dict[str, Any], params: dict[str, Any]) -> bool:
    return one_more("restore")(before, after, params) and len(after["window"]) == 12


def deleted(before: dict[str, Any], after: dict[str, Any], params: dict[str, Any]) -> bool:
    ids = [id_ for id_, _ in after["snapshots"]]
    return params["snapshotId"] not in ids and len(after["files"]) == len(before["files"]) - 1


IMPORTED = json.dumps([{"role": "user", "content": f"Imported {number}."} for number in range(200)])
CHANGES: dict[str, Change] = {
    "compress": Change("context/compress", with_(full, strategy="truncate"), smaller("compress")),
    "compress with a summary": Change("context/compress", with_(full, strategy="hybrid"), smaller("compress")),
    "forget": Change("context/forget", oldest_message, forgotten),
    "import": Change("context/import", with_(full, format="json", text=IMPORTED), brought_in),
    "snapshot": Change("context/snapshot/create", full, kept),
    "restore": Change("context/snapshot/restore", snapshot, restored),
    "delete a snapshot": Change("context/snapshot/delete", snapshot, deleted),
    "a line that compresses": Change("context/command", with_(full, line="compress truncate"), smaller("compress")),
    "a line that snapshots": Change("context/command", with_(full, line="snapshot"), kept),
    "a command": Change(
        "workspace/executeCommand", with_(full, command="ullage.server.clear", arguments=[]), smaller("clear")
    ),
}


async def duration_of(client: RawClient, change: Change, name: str, storage: Path) -> float:
    """What it takes when nobody cancels it, in seconds."""
    place = Place(client, await opened(client, name=name), storage)
    params = {"contextId": place.context_id, **await change.params(place)}
    before, began = await place.state(), time.perf_counter()
    await client.request(change.method, params, timeout=30)
    duration = time.perf_counter() - began
    assert change.is_done(before, await place.state(), params)
    return duration


async def broken_off(client: RawClient, method: str, params: dict[str, Any], after_s: float | None) -> bool:
    """Whether a request that is cancelled after so long says that it was; None: in the same write."""
    if after_s is None:
        request = 1_000_000 + len(client.answers)
        message = {"jsonrpc": "2.0", "id": request, "method": method, "params": params}
        cancel = {"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": request}}
        await client.send_bytes(frame(message) + frame(cancel))
    else:
        request = await client.begin(method, params)
        await asyncio.sleep(after_s)
        await client.cancel(request)
    try:
        await client.answer(request, timeout=30)
    except RpcError as error:
        assert error.code == -32800
        return True
    return False


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_cancelled_at_any_moment_is_done_or_untouched(tmp_path: Path, name: str) -> None:
    change, choose, storage = CHANGES[name], random.Random(name), tmp_path / "storage"
    manual = {"compression": {"enabled": False, "preserveRecent": 64}, "snapshots": {"autoCreate": False}}
    async with SummarisingStub(n_ctx=1024) as server, ullage(tmp_path, using(server.url, **manual)) as client:
        await duration_of(client, change, "the first", storage)
        duration, untouched = await duration_of(client, change, "measured", storage), 0
        for number in range(MOMENTS):
            place = Place(client, await opened(client, name=f"context {number}"), storage)
            params = {"contextId": place.context_id, **await change.params(place)}
            before = await place.state()
            after_s = choose.uniform(0, 1.2 * duration) if choose.random() < 0.8 else None
            if await broken_off(client, change.method, params, after_s):
                assert await place.state() == before
                untouched += 1
            else:
                assert change.is_done(before, await place.state(), params)
        print(f"{name}: {untouched} of {MOMENTS} untouched, the others done; {1000 * duration:.0f} ms when left alone")
