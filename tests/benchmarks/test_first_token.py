"""What stands between a person and the first token."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from pathlib import Path

import httpx
import pytest

from support.measuring import told
from support.stub_servers import Answer, LlamaCppStub
from support.ullage_server import opened, ullage, using

pytestmark = pytest.mark.bench

MOST_MS = 5.0
TURNS = 40


async def direct(http: httpx.AsyncClient, url: str, text: str) -> float:
    """Milliseconds from the request to the first piece of the answer, asked of the model server itself."""
    body = {"messages": [{"role": "user", "content": text}], "stream": True, "model": "stub-model"}
    began, first = time.perf_counter(), 0.0
    async with http.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: {") and not first:
                choices = json.loads(line[6:])["choices"]
                first = time.perf_counter() if choices and choices[0]["delta"].get("content") else 0.0
    return (first - began) * 1000


async def test_chat_adds_little_to_the_first_token(tmp_path: Path) -> None:
    async with (
        LlamaCppStub(n_ctx=100_000) as server,
        ullage(tmp_path, using(server.url)) as client,
        httpx.AsyncClient(trust_env=False, headers={"Connection": "close"}) as http,
    ):
        context_id = await opened(client)
        await client.request("context/chat", {"contextId": context_id, "text": "Warm up."})
        bare, through = [], []
        for turn in range(TURNS):
            server.answers.append(Answer(pieces=("word ",)))
            bare.append(await direct(http, server.url, f"Question {turn}"))
            params = {"contextId": context_id, "text": f"Question {turn}", "partialResultToken": turn}
            began = time.perf_counter()
            request = await client.begin("context/chat", params)
            await client.notification("$/progress")
            through.append((time.perf_counter() - began) * 1000)
            await client.answer(request)
            client.notifications.clear()
        await asyncio.sleep(0)
    added = statistics.median(through) - statistics.median(bare)
    figures = {"direct_ms": statistics.median(bare), "through_ms": statistics.median(through)}
    told("first token, added ms", added, MOST_MS, **figures)
    assert added <= MOST_MS
