"""A real Neovim without a screen, which runs a Lua script of `tests/editors` as its configuration."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from support.ullage_server import COMMAND

SCRIPTS = Path(__file__).parent.parent / "editors"
NONE_FOUND = "NO EDITOR IS TESTED: there is no nvim. `apt-get install neovim` brings one."
PATIENCE_S = 60


@frozen
class Neovim:
    """``version`` as it names itself, such as ``NVIM v0.11.4``."""

    path: str
    version: str

    def __str__(self) -> str:
        return self.version


def installed() -> list[Neovim]:
    """The system's, and one that a Python package has put beside this interpreter."""
    paths = filter(None, (shutil.which("nvim"), shutil.which("nvim", path=str(Path(sys.executable).parent))))
    found = [Neovim(path, _version(path)) for path in dict.fromkeys(paths)]
    return list({each.version: each for each in found}.values())


def _version(path: str) -> str:
    done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    return done.stdout.splitlines()[0]


@define(eq=False)
class Running:
    """An editor that runs a script. What the script reports is read in order, a name and a value each time."""

    process: asyncio.subprocess.Process
    said: bytearray = field(factory=bytearray)

    async def report(self, name: str) -> Any:
        """The value of the next report, which must have this name."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            line = await self.process.stdout.readline()
        assert line, "Neovim ended. It said:\n" + self.said.decode(errors="replace")
        reported = json.loads(line)
        assert reported["name"] == name, reported
        return reported.get("value")

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), PATIENCE_S)


@asynccontextmanager
async def running(
    nvim: Neovim, script: str, folder: Path, environment: Mapping[str, str], **order: Any
) -> AsyncIterator[Running]:
    """Neovim in ``folder`` with a file of it open; ``order`` is what the script finds in its order."""
    told = json.dumps({"server": COMMAND, "scripts": str(SCRIPTS), "patience_ms": PATIENCE_S * 1000, **order})
    process = await asyncio.create_subprocess_exec(
        *(nvim.path, "--headless", "-i", "NONE", "-n", "-u", str(SCRIPTS / script), "plan.md"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**environment, "ORDER": told},
        cwd=folder,
        limit=2**22,
    )
    editor = Running(process)
    listening = asyncio.create_task(_listen(editor))
    try:
        yield editor
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await listening
        process._transport.close()  # type: ignore[attr-defined]  # asyncio leaves the pipes to the collector


async def _listen(editor: Running) -> None:
    """What an editor without a screen shows goes to standard error."""
    assert editor.process.stderr is not None
    while chunk := await editor.process.stderr.read(65536):
        editor.said += chunk
