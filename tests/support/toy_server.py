"""The real server with handlers that are simple to reason about, and hooks that tell the client what they heard.

Every request of the protocol is answered with the type of params that it came with. Run as a process::

    python tests/support/toy_server.py
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from typing import Any

from attrs import field, frozen

from ullage.contexts.values import Model
from ullage.errors import ProviderUnavailable
from ullage.lsp.results import EventParams
from ullage.lsp.server import Hooks, UllageServer
from ullage.lsp.types import REQUESTS, NoParams, RequestType


@frozen
class EchoParams:
    value: dict[str, Any] = field(factory=dict)


@frozen
class SleepParams:
    seconds: float
    stubborn: bool = False


@frozen
class FailParams:
    text: str = ""
    how: str = "crash"


@frozen
class AskParams:
    timeout_s: float


TOYS = {
    "toy/echo": RequestType(EchoParams, "Answers what it was given."),
    "toy/sleep": RequestType(SleepParams, "Takes its time; a stubborn one answers although it was cancelled."),
    "toy/fail": RequestType(FailParams, "Fails in one of several ways."),
    "toy/print": RequestType(EchoParams, "Prints, also from a child process."),
    "toy/ask": RequestType(AskParams, "Asks the client for its configuration."),
    "toy/flood": RequestType(EchoParams, "Sends 200 notifications of 100 KB."),
    "toy/model": RequestType(NoParams, "Answers a value of the protocol, after an event."),
    "toy/hang": RequestType(EchoParams, "Blocks a thread for a minute."),
}

TOY_RESULTS = {"toy/model": Model}


class Toys:
    def __init__(self, server: UllageServer) -> None:
        self.server = server

    async def echo(self, params: EchoParams) -> Any:
        return params.value

    async def sleep(self, params: SleepParams) -> Any:
        try:
            await asyncio.sleep(params.seconds)
        except asyncio.CancelledError:
            if not params.stubborn:
                raise
        return "slept"

    async def fail(self, params: FailParams) -> Any:
        if params.how == "known":
            raise ProviderUnavailable("No model server answers; start one.", tried=["127.0.0.1:11434"])
        if params.how == "unencodable":
            return "\ud800"
        raise ValueError(f"/home/someone/secret.txt {params.text}")

    async def print(self, params: EchoParams) -> Any:
        print("a stray line", flush=True)
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", "print('a stray line of a child')")
        await child.wait()
        return sys.stdin.read()

    async def ask(self, params: AskParams) -> Any:
        items = {"items": [{"section": "ullage"}]}
        try:
            return await self.server.ask_client("workspace/configuration", items, params.timeout_s)
        except TimeoutError:
            return "no answer"

    async def flood(self, params: EchoParams) -> Any:
        for number in range(200):
            self.server.progress(number, "x" * 100_000)
        return None

    async def model(self, params: NoParams) -> Model:
        self.server.notify_client("context/event", EventParams("modelChanged", None, 5, {"model": "m"}))
        return Model("m", "ollama", loaded=True, context_length=4096, allocated_context=None, bytes=0)

    async def hang(self, params: EchoParams) -> Any:
        threading.Thread(target=time.sleep, args=(60,), daemon=False).start()
        return await asyncio.to_thread(time.sleep, 60)


def serve() -> int:
    handlers: dict[str, Any] = {}

    def heard(name: str) -> Any:
        async def hook(*args: Any) -> None:
            server.notify_client("toy/heard", {"hook": name, "with": [type(each).__name__ for each in args]})

        return hook

    names = ("initialized", "shutdown", "exit", "folders_changed", "folders_renamed", "configuration_changed")
    server = UllageServer(handlers, Hooks(**{name: heard(name) for name in names}), {**REQUESTS, **TOYS})

    def standing_in_for(method: str) -> Any:
        async def handler(params: Any) -> Any:
            return {"took": type(params).__name__}

        return handler

    toys = Toys(server)
    handlers.update({method: standing_in_for(method) for method in REQUESTS})
    handlers.update({method: getattr(toys, method.split("/")[1]) for method in TOYS})
    return server.serve_stdio()


if __name__ == "__main__":
    logging.basicConfig(level=os.environ.get("TOY_LOG_LEVEL", "DEBUG"), stream=sys.stderr)
    sys.exit(serve())
