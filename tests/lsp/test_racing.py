"""Making room while others speak: nothing that was acknowledged is lost, whoever comes first."""

from __future__ import annotations

import asyncio
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from support.archiving import PATIENCE_S, exported
from support.raw_client import RawClient, RpcError
from support.summarising_stub import SummarisingStub
from support.ullage_server import opened, ullage, using, window_of

ROUNDS = int(os.environ.get("ULLAGE_RACES", "200"))
MANUAL: dict[str, Any] = {
    "compression": {"enabled": False, "preserveRecent": 64},
    "snapshots": {"autoCreate": False},
}
WORDS = " ".join(f"word{number}" for number in range(10))


async def ready(client: RawClient) -> str:
    """A context whose model is known."""
    context_id = await opened(client)
    await client.request("context/status", {"contextId": context_id})
    return context_id


def spoken(number: int, turns: int) -> list[dict[str, str]]:
    """Questions and answers of one round, each with words of its own."""
    return [{"role": ("user", "assistant")[n % 2], "content": f"{number}.{n}: {WORDS}"} for n in range(turns)]


async def append(client: RawClient, context_id: str, *messages: dict[str, str]) -> int:
    return await client.begin("context/append", {"contextId": context_id, "messages": list(messages)})


async def compressed(client: RawClient, request: int) -> dict[str, Any] | None:
    """The result; None where there was nothing to gain."""
    try:
        return dict(await client.answer(request, timeout=PATIENCE_S))
    except RpcError as error:
        assert (error.code, error.data["kind"]) == (-32803, "cannotReduce")
        return None


async def all_said(client: RawClient, context_id: str) -> list[str]:
    """Summaries left out."""
    messages = json.loads(await exported(client, context_id, "json"))["messages"]
    return [message["content"] for message in messages if "summaryOf" not in message]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("strategy", ["truncate", "hybrid"])
async def test_compressing_during_appends_loses_nothing_and_never_costs_tokens(tmp_path: Path, strategy: str) -> None:
    choose, gains = random.Random(15), 0
    async with SummarisingStub(n_ctx=1024) as server, ullage(tmp_path, using(server.url, **MANUAL)) as client:
        context_id, said = await ready(client), []
        for number in range(ROUNDS):
            turns = spoken(number, choose.randint(2, 8))
            cut = choose.randint(1, len(turns))
            early = await append(client, context_id, *turns[:cut])
            await client.answer(early, timeout=PATIENCE_S)
            request = await client.begin("context/compress", {"contextId": context_id, "strategy": strategy})
            await asyncio.sleep(choose.choice([0, 0, 0.001, 0.005, 0.02]))
            late = [await append(client, context_id, message) for message in turns[cut:]]
            for each in late:
                await client.answer(each, timeout=PATIENCE_S)
            said += [message["content"] for message in turns]
            result = await compressed(client, request)
            if result is not None:
                assert result["compressedTokens"] < result["originalTokens"]
                gains += 1
            window = await window_of(client, context_id)
            newest = [message["content"] for message in turns[cut:] or turns[-1:]]
            assert window[-len(newest) :] == newest
            assert len(window) == len(set(window))
        assert await all_said(client, context_id) == said
        assert gains > ROUNDS / 4
        print(f"{strategy}: {gains} of {ROUNDS} compressions gained, {len(said):,} messages, none lost")


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_changes_of_all_kinds_at_once_lose_nothing(tmp_path: Path) -> None:
    """Compress, clear, undo, snapshot and restore in flight together with appends: each is answered, each message that
    was acknowledged is in the history once, in order."""
    choose = random.Random(16)
    async with SummarisingStub(n_ctx=1024) as server, ullage(tmp_path, using(server.url, **MANUAL)) as client:
        context_id, said = await ready(client), []
        first = await client.request("context/snapshot/create", {"contextId": context_id})
        kinds = [
            ("context/compress", {"contextId": context_id, "strategy": "truncate"}),
            ("context/compress", {"contextId": context_id}),
            ("context/clear", {"contextId": context_id}),
            ("context/undo", {"contextId": context_id}),
            ("context/snapshot/create", {"contextId": context_id}),
            ("context/snapshot/restore", {"snapshotId": first["id"]}),
            ("context/command", {"contextId": context_id, "line": "compress"}),
        ]
        for number in range(ROUNDS // 4):
            flying = []
            for message in spoken(number, 6):
                flying += [await append(client, context_id, message), await client.begin(*choose.choice(kinds))]
                said.append(message["content"])
                await asyncio.sleep(choose.choice([0, 0, 0.002]))
            for index, request in enumerate(flying):
                try:
                    await client.answer(request, timeout=PATIENCE_S)
                except RpcError as error:
                    assert index % 2, "an append never fails"
                    assert error.data["kind"] in ("cannotReduce", "nothingToUndo")
        assert await all_said(client, context_id) == said
        window = await window_of(client, context_id)
        assert len(window) == len(set(window))
