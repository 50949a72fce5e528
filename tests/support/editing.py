"""What tests of real editors share: the server's process below an editor's, and a model server that is held back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from attrs import define, field

PATIENCE_S = 30


def servers_below(pid: int) -> list[psutil.Process]:
    found = psutil.Process(pid).children(recursive=True)
    return [each for each in found if "ullage" in " ".join(each.cmdline()) and "serve" in each.cmdline()]


async def kill_server_below(pid: int) -> int:
    """Kill the one server as a crash would, and return its id once it is gone."""
    [server] = servers_below(pid)
    server.kill()
    await asyncio.to_thread(psutil.wait_procs, [server], PATIENCE_S)
    return server.pid


@contextmanager
def silent_server_below(pid: int) -> Iterator[None]:
    """The one server reads and answers nothing meanwhile; what it is asked waits."""
    [server] = servers_below(pid)
    server.suspend()
    try:
        yield
    finally:
        server.resume()


@define(eq=False)
class Gate(asyncio.Event):
    """Holds an answer back, and tells when somebody waits for it."""

    reached: asyncio.Event = field(factory=asyncio.Event)

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    async def wait(self) -> bool:  # type: ignore[override]  # asyncio says that it is always True
        self.reached.set()
        return await super().wait()

    async def is_reached(self) -> None:
        await asyncio.wait_for(self.reached.wait(), PATIENCE_S)
