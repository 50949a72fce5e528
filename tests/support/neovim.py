"""A real Neovim without a screen: `running` a Lua script of `tests/editors`, or `edited` as a person does."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from support.editing import PATIENCE_S
from support.ullage_server import COMMAND

SCRIPTS = Path(__file__).parent.parent / "editors"
CLIENT = Path(__file__).parent.parent.parent / "editors" / "neovim"
CHAT = "vim.b.ullage_context ~= nil"
IDLE = "vim.bo.modifiable"
NOTHING_WAITS = "vim.tbl_isempty(require('ullage').client.requests)"
NONE_FOUND = "NO EDITOR IS TESTED: there is no nvim. `apt-get install neovim` brings one."


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


@define(eq=False)
class Edited:
    """An editor that is reached through its socket: keys go in, and what Lua says of it comes out."""

    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def keys(self, keys: str) -> None:
        """Typed, in Neovim's notation: ``:Ullage status<CR>``."""
        await self._ask(keys=keys)

    async def answers(self, keys: str) -> None:
        """Typed once the editor asks a question and waits for the answer."""
        await self._ask(until_it_waits=True)
        await self.keys(keys)

    async def lua(self, expression: str) -> Any:
        return await self._ask(lua=expression)

    async def until(self, condition: str) -> None:
        """Let the editor live until this is true in Lua."""
        met = await self._ask(condition=condition, patience_ms=PATIENCE_S * 1000)
        assert met, f"{condition}\nnever held. Messages:\n{await self.messages()}"

    async def says(self, text: str) -> str:
        """Wait until the editor's messages hold this, and return them."""
        await self.until(f"vim.fn.execute('messages'):find({_lua(text)}, 1, true)")
        return await self.messages()

    async def messages(self) -> str:
        return str(await self.lua("vim.fn.execute('messages')"))

    async def text(self) -> list[str]:
        """The lines of the present buffer."""
        return list(await self.lua("vim.api.nvim_buf_get_lines(0, 0, -1, false)"))

    async def shows(self, line: str) -> list[str]:
        """Wait until the present buffer has a line that holds this, and return them all."""
        here = "table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\\n')"
        await self.until(f"({here}):find({_lua(line)}, 1, true)")
        return await self.text()

    async def screen(self) -> str:
        """What a person would see."""
        drawn = """(function()
          vim.cmd("redraw!")
          local lines = {}
          for row = 1, vim.o.lines do
            local cells = {}
            for column = 1, vim.o.columns do
              table.insert(cells, vim.fn.screenstring(row, column))
            end
            table.insert(lines, (table.concat(cells):gsub("%s+$", "")))
          end
          return table.concat(lines, "\\n")
        end)()"""
        return str(await self.lua(drawn))

    async def status_line(self) -> dict[str, Any]:
        return dict(await self.lua("vim.api.nvim_eval_statusline(vim.o.statusline, {highlights = true})"))

    async def _ask(self, **asked: Any) -> Any:
        self.writer.write(json.dumps(asked).encode() + b"\n")
        async with asyncio.timeout(PATIENCE_S + 5):
            answer = json.loads(await self.reader.readline())
        assert "failure" not in answer, answer
        return answer.get("value")


async def server_there(editor: Edited) -> None:
    await editor.until("(vim.g.ullage_status or ''):find('/', 1, true)")


async def open_chat(editor: Edited) -> None:
    await editor.keys(":UllageChat<CR>")
    await editor.until(CHAT)
    await editor.until(f"#vim.api.nvim_buf_get_lines(0, 0, -1, false) > 2 and {IDLE}")


def _lua(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _person_s_configuration(order: Mapping[str, Any]) -> str:
    """What README tells people to write."""
    return f"""
dofile({_lua(str(SCRIPTS / "socket.lua"))})
vim.opt.runtimepath:prepend({_lua(str(CLIENT))})
vim.o.statusline = "%f %= %{{%v:lua.require'ullage'.statusline()%}}"
require("ullage").setup(vim.json.decode({_lua(_lua(dict(order)))}))
"""


async def _connected(socket: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await asyncio.open_unix_connection(str(socket), limit=2**22)
            except OSError:  # not there, or not listening yet
                await asyncio.sleep(0.01)


@asynccontextmanager
async def edited(
    nvim: Neovim, folder: Path, environment: Mapping[str, str], *, command: Sequence[str] = COMMAND, **options: Any
) -> AsyncIterator[Edited]:
    """Neovim with a person's configuration and a file of ``folder`` open; ``options`` are those of `setup`."""
    root = folder.parent
    socket = root / "editor.socket"
    init = root / "init.lua"
    init.write_text(_person_s_configuration({"cmd": list(command), **options}))
    process = await asyncio.create_subprocess_exec(
        *(nvim.path, "--headless", "-i", "NONE", "-n", "-u", str(init), "plan.md"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**environment, "EDITOR_SOCKET": str(socket)},
        cwd=folder,
    )
    try:
        reader, writer = await _connected(socket)
        with closing(writer):
            yield Edited(process, reader, writer)
            writer.write(json.dumps({"keys": "<C-\\><C-n>:qall!<CR>"}).encode() + b"\n")
            await asyncio.wait_for(process.wait(), PATIENCE_S)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def running(
    nvim: Neovim, script: str, folder: Path, environment: Mapping[str, str], **order: Any
) -> AsyncIterator[Running]:
    """Neovim in ``folder`` with a file of it open; ``order`` is what the script finds in its order."""
    places = {"scripts": str(SCRIPTS), "client": str(CLIENT)}
    told = json.dumps({"server": COMMAND, **places, "patience_ms": PATIENCE_S * 1000, **order})
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
