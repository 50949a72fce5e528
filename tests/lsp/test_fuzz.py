"""Frames mutated at random: the server stays, and every request that follows is answered."""

from __future__ import annotations

import json
import os
import random

import pytest

from support.raw_client import RawClient, frame

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUNDS = int(os.environ.get("ULLAGE_FUZZ_FRAMES", "500"))
SEEDS = [
    {"method": "context/append", "params": {"contextId": "c", "messages": [{"role": "user", "content": "hello"}]}},
    {"method": "context/chat", "params": {"contextId": "c", "text": "hi", "options": {"maxTokens": 5, "stop": ["."]}}},
    {"method": "context/messages", "params": {"contextId": "c", "limit": 5, "view": "window"}},
    {"method": "toy/echo", "params": {"value": {"deep": [{"a": [1, 2.5, None, True, "é"]}]}}},
    {"method": "workspace/executeCommand", "params": {"command": "x", "arguments": [1]}},
    {"method": "$/cancelRequest", "params": {"id": 3}},
]
PIECES = [b"", b"\r\n\r\n", b"Content-Length: 5", b"\x00", b"\xff", b'"', b"{", b"}", b"[", b"null", b"1e9", b"\\ud800"]


def mutated(choose: random.Random, number: int) -> bytes:
    """One frame with up to three changes of its bytes, sometimes under its old length."""
    message = {"jsonrpc": "2.0", "id": f"fuzz-{number}", **choose.choice(SEEDS)}
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
