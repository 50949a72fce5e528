"""What tests of real editors share: the server's process below an editor's, and a model server that is held back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from attrs import define, field

from support.ullage_server import COMMAND

PATIENCE_S = 30


def server_that_waits(held: Path) -> list[str]:
    """A server that does not begin while a file is there; a process that is stopped is none any more to Emacs."""
    return ["/bin/sh", "-c", 'while [ -e "$0" ]; do sleep 0.05; done; exec "$@"', str(held), *COMMAND]


def server_that_breaks(broken: Path, starts: Path) -> list[str]:
    """A server that leaves a line in ``starts`` each time; while ``broken`` is there, it ends once that is empty."""
    wait = 'while [ -s "$0" ]; do sleep 0.05; done; [ -e "$0" ] && exit 1'
    return ["/bin/sh", "-c", f'echo >>"$1"; {wait}; shift; exec "$@"', str(broken), str(starts), *COMMAND]


def servers_below(pid: int) -> list[psutil.Process]:
    found = psutil.Process(pid).children(recursive=True)
    return [each for each in found if "ullage" in " ".join(_command_of(each)) and "serve" in _command_of(each)]


def _command_of(process: psutil.Process) -> list[str]:
    """Nothing where it has ended meanwhile, also where nobody has buried it yet."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


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
