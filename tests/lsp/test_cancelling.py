"""Cancelling: nothing has changed, or the change has its answer. Nothing in between."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from support.raw_client import RawClient, RpcError
from support.stub_servers import LlamaCppStub
from support.ullage_server import appended, opened, ullage, using, window_of


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
