"""Two contexts made alike behind the real server: one is given what a person types, the other the request that it
stands for."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from attrs import frozen

from support.architectures import plain
from support.raw_client import RawClient
from support.stub_servers import OllamaStub
from support.ullage_server import opened, ullage, using

MODEL = "stub-model:latest"
TARGET = 4096
TURNS = 12
SETTINGS = {
    "targetSize": TARGET,
    "compression": {"enabled": False, "preserveRecent": 256, "strategy": "truncate"},
    "snapshots": {"autoCreate": False},
}
MODES = {"reviewer": {"systemPrompt": "Review with care."}, "poet": {"systemPrompt": "Rhyme."}}

_WORDS = " ".join(f"word{number}" for number in range(60))
_ULID = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}\b")
_SIZE = re.compile(r"[\d.]+ [KMGT]B")
_MOMENT = re.compile(r'"(exportedAt|createdAt)": ?\d+|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?|ullage:\d+')
_OTHERWISE = ("createdAt", "lastUsedAt", "at", "durationMs", "used", "available", "availableBytes", "memoryHistory")
_OTHERWISE += ("name", "priority", "text", "bytes", "snapshotBytes", "countCache")
"""Fields that are otherwise a moment later, or in the twin."""

_numbers = count()


@frozen
class Twins:
    """``lined`` is given lines, ``asked`` the requests; both hold the same conversation, and one snapshot each."""

    client: RawClient
    lined: str
    asked: str

    async def line(self, text: str) -> dict[str, Any]:
        return dict(await self.client.request("context/command", {"contextId": self.lined, "line": text}))

    async def request(self, method: str, **params: Any) -> Any:
        return await self.client.request(method, {"contextId": self.asked, **params})

    async def newest(self, context_id: str, method: str, key: str) -> str:
        """The id of the last of a page."""
        page = await self.client.request(method, {"contextId": context_id})
        return str(page[key][-1]["id"])


def conversation() -> list[dict[str, Any]]:
    """A system prompt, a pin, and more turns than a compression leaves."""
    said: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "The harbour is Delfzijl.", "pinned": True},
    ]
    for number in range(TURNS):
        said.append({"role": "user", "content": f"Question {number} about the quay: {_WORDS}"})
        said.append({"role": "assistant", "content": f"Answer {number}: {_WORDS}"})
    return said


@asynccontextmanager
async def conversing(home: Path) -> AsyncIterator[RawClient]:
    """A server with a model of 4 KiB a token, and two modes."""
    stub = OllamaStub(model=MODEL, info=plain(block_count=1), context_length=131_072)
    async with stub, ullage(home, {**using(stub.url, "ollama", **SETTINGS), "modes": MODES}) as client:
        yield client


async def twins_of(client: RawClient) -> Twins:
    number = next(_numbers)
    made = []
    for name in (f"lined-{number}", f"asked-{number}"):
        context_id = await opened(client, name=name)
        await client.request("context/append", {"contextId": context_id, "messages": conversation()})
        await client.request("context/status", {"contextId": context_id})  # the model is known from now on
        await client.request("context/snapshot/create", {"contextId": context_id, "summary": "the start"})
        made.append(context_id)
    return Twins(client, *made)


def alike(value: Any) -> Any:
    """A result without what two contexts can't have in common."""
    if isinstance(value, dict):
        return {key: type(inner).__name__ if key in _OTHERWISE else alike(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [alike(inner) for inner in value]
    return alike_text(value) if isinstance(value, str) else value


def alike_text(text: str) -> str:
    text = re.sub(r"(lined|asked)-\d+", "<name>", _ULID.sub("<id>", text))
    return _MOMENT.sub("<moment>", _SIZE.sub("<size>", text))
