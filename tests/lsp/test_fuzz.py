"""Frames mutated at random: the server stays, and every request that follows is answered."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.archiving import exported
from support.params import valid
from support.raw_client import RawClient, frame
from support.ullage_server import appended, opened, ullage
from ullage.lsp.types import REQUESTS

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUNDS = int(os.environ.get("ULLAGE_FUZZ_FRAMES", "500"))
SEEDS = [
    *({"method": method, "params": valid(kind.params)} for method, kind in REQUESTS.items()),
    {"method": "toy/echo", "params": {"value": {"deep": [{"a": [1, 2.5, None, True, "é"]}]}}},
    {"method": "workspace/executeCommand", "params": {"command": "ullage.server.size", "arguments": ["8k"]}},
    {"method": "$/cancelRequest", "params": {"id": 3}},
]
"""Every request of the protocol, and what else may come."""

PIECES = [b"", b"\r\n\r\n", b"Content-Length: 5", b"\x00", b"\xff", b'"', b"{", b"}", b"[", b"null", b"1e9", b"\\ud800"]


def mutated(choose: random.Random, number: int, seeds: Sequence[Mapping[str, Any]] = SEEDS) -> bytes:
    """One frame with up to three changes of its bytes, sometimes under its old length."""
    message = {"jsonrpc": "2.0", "id": f"fuzz-{number}", **choose.choice(seeds)}
    body = bytearray(json.dumps(message).encode())
    length = len(body)
    for _ in range(choose.randint(1, 3)):
        start = choose.randrange(len(body))
        end = min(start + choose.choice([0, 1, 1, 2, 8, 40]), len(body))
        body[start:end] = choose.choice([*PIECES, bytes([choose.randrange(256)]), bytes(body[start:end]) * 2])
        if not body:
            break
    return frame(bytes(body), length if choose.random() < 0.2 else None)


@pytest.mark.timeout(3600)
async def test_mutated_frames_neither_end_nor_confuse_the_server(shared: RawClient) -> None:
    choose = random.Random(2026)
    for number in range(ROUNDS):
        data = mutated(choose, number)
        if b'"exit"' in data or b'"shutdown"' in data:
            continue
        await shared.send_bytes(data)
        if number % 5 == 0:
            # Where the length was too long, the first of two good frames may be taken for the rest of the bad one.
            await shared.begin("context/list")
            assert await shared.request("context/list", timeout=1) == {"took": "NoParams"}, data
    ours = {id_: len(answers) for id_, answers in shared.answers.items() if type(id_) is int}  # mutated ids may meet
    assert set(ours.values()) == {1}
    assert b"could not be handled" not in shared.stderr


async def real_seeds(client: RawClient, number: int) -> list[dict[str, Any]]:
    """Requests about things that there are, in a context of its own: messages and a snapshot."""
    context_id = await opened(client, f"fuzzed-{number}")
    said = await appended(client, context_id, *(f"Message {number}." for number in range(6)))
    snapshot = await client.request("context/snapshot/create", {"contextId": context_id})
    there = {
        "contextId": context_id,
        "contextIds": [context_id],
        "messageId": said[0]["id"],
        "snapshotId": snapshot["id"],
        "line": "/context compress truncate",
        "text": json.dumps([{"role": "user", "content": "Imported."}]),
        "query": "message*",
        "before": said[3]["id"],
        "workspaceUri": "file:///home/someone/project",
    }
    seeds = []
    for method, kind in REQUESTS.items():
        params = {key: there.get(key, value) for key, value in valid(kind.params).items()}
        seeds += [{"method": method, "params": params}] * (1 if method == "context/delete" else 4)
    return seeds


@pytest.mark.timeout(3600)
async def test_mutated_requests_do_no_harm_to_a_server_with_conversations(tmp_path: Path) -> None:
    """None ends it, none is a defect of it, and what a good client does in between is done."""
    choose = random.Random(4)
    async with ullage(tmp_path) as client:
        kept, said = await opened(client, "kept"), []
        for number in range(ROUNDS):
            if number % 100 == 0:
                seeds = await real_seeds(client, number)
            data = mutated(choose, number, seeds)
            if b'"exit"' in data or b'"shutdown"' in data or kept.encode() in data:
                continue
            await client.send_bytes(data)
            if number % 25 == 0:
                await client.begin("context/list")  # may be taken for the rest of a frame whose length was too long
                said += [message["content"] for message in await appended(client, kept, f"Said {number}.")]
        await client.begin("context/list")
        there = json.loads(await exported(client, kept, "json"))["messages"]
        assert [message["content"] for message in there] == said
        ours = [len(answers) for id_, answers in client.answers.items() if type(id_) is int]
        assert set(ours) == {1}
        codes = {each["error"]["code"] for answers in client.answers.values() for each in answers if "error" in each}
        assert -32603 not in codes
        assert b"failed" not in client.stderr
