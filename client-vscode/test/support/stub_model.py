"""The tests' model server, steered over HTTP: what is posted to ``/test`` changes how the next answers go.

``python stub_model.py`` prints its URL, and ends with its standard input. ``tests/`` has to be on the path.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from attrs import define, field

from support.stub_http import Exchange, Request
from support.stub_servers import Answer, Call
from support.summarising_stub import SummarisingStub


@define(eq=False)
class SteeredStub(SummarisingStub):
    """``{"n_ctx": 8192, "answers": [{"pieces": […], "calls": […], "held": true}], "release": true}``, all optional."""

    _released: asyncio.Event = field(factory=asyncio.Event)

    async def handle(self, request: Request, exchange: Exchange) -> None:
        if request.path != "/test":
            await super().handle(request, exchange)
            return
        if request.method == "POST":
            self._steer(request.json())
        await exchange.json({"asked": self.asked, "summaries": self.summaries, "cancelled": self.cancelled})

    def _steer(self, wanted: Mapping[str, Any]) -> None:
        self.n_ctx = wanted.get("n_ctx", self.n_ctx)
        self.n_ctx_train = 131_072
        if wanted.get("release"):
            self._released.set()
            self._released = asyncio.Event()
        for each in wanted.get("answers", ()):
            calls = tuple(Call(**call) for call in each.get("calls", ()))
            pause = self._released if each.get("held") else None
            self.answers.append(Answer(tuple(each.get("pieces", ())), calls=calls, pause=pause))


async def serve() -> None:
    async with SteeredStub() as server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
