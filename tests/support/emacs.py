"""A real Emacs in a terminal of its own, with the client that people copy: keys go in, and Lisp says what is there."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pexpect
from attrs import define, field, frozen

from support.editing import PATIENCE_S
from support.ullage_server import COMMAND

SCRIPTS = Path(__file__).parent.parent / "editors"
CLIENT = Path(__file__).parent.parent.parent / "editors" / "emacs"
NONE_FOUND = "EMACS IS NOT TESTED: there is no emacs. `apt-get install emacs-nox elpa-eglot` brings one."
SEND, STOP = "\x03\x03", "\x03\x0b"
IDLE = "(and ullage--input (not ullage--answering))"


@frozen
class Emacs:
    """``version`` as it names itself, such as ``GNU Emacs 28.2``; ``command`` starts it."""

    command: tuple[str, ...]
    version: str

    def __str__(self) -> str:
        return self.version


def installed() -> list[Emacs]:
    """The system's, and the one that EMACS names, where these are there."""
    paths = [path for path in (shutil.which("emacs"), shutil.which(os.environ.get("EMACS", ""))) if path]
    found = [Emacs((path,), _version(path)) for path in dict.fromkeys(paths)]
    return list({each.version: each for each in found}.values())


def _version(path: str) -> str:
    done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    return done.stdout.splitlines()[0]


def lisp(text: str) -> str:
    """A string as Lisp reads it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@define(eq=False)
class Edited:
    """An editor before which a person sits."""

    terminal: pexpect.spawn[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    screen: bytearray = field(factory=bytearray)

    @property
    def pid(self) -> int:
        return int(self.terminal.pid)

    async def keys(self, keys: str) -> None:
        """Typed, as the terminal sends them: ``\\r`` is RET, ``\\x1bx`` is M-x."""
        await asyncio.to_thread(self.terminal.send, keys.encode())

    async def command(self, line: str) -> None:
        """M-x, with what is typed at its prompts: lines, RET after each."""
        await self.keys("\x1bx")
        await self.until("(minibufferp)")
        await self.keys(line.replace("\n", "\r") + "\r")

    async def visit(self, file: Path) -> None:
        await self.lisp(f"(progn (find-file {lisp(str(file))}) t)")

    async def lisp(self, expression: str) -> Any:
        return await self._ask(lisp=expression)

    async def until(self, condition: str) -> None:
        """Let the editor live until this is true in Lisp."""
        met = await self._ask(condition=condition, patience=PATIENCE_S)
        assert met, f"{condition}\nnever held. Messages:\n{await self.messages()}\nBuffer:\n{await self.text()}"

    async def says(self, text: str) -> str:
        """Wait until the messages hold this, and return them."""
        held = f"(string-search {lisp(text)} (with-current-buffer {lisp('*Messages*')} (buffer-string)))"
        await self.until(held)
        return await self.messages()

    async def messages(self) -> str:
        return str(await self.lisp('(with-current-buffer "*Messages*" (buffer-string))'))

    async def text(self) -> str:
        """The present buffer's."""
        return str(await self.lisp("(buffer-substring-no-properties (point-min) (point-max))"))

    async def shows(self, text: str) -> str:
        """Wait until the present buffer holds this, and return all of it."""
        await self.until(f"(string-search {lisp(text)} (buffer-string))")
        return await self.text()

    async def windows(self) -> str:
        """What a person would see: each window with its mode line, and the line at the bottom."""
        drawn = """(progn
          (redisplay t)
          (concat
           (mapconcat
            (lambda (window)
              (with-current-buffer (window-buffer window)
                (concat (buffer-substring-no-properties (window-start window) (window-end window t)) "\n"
                        (substring-no-properties (format-mode-line mode-line-format nil window)))))
            (window-list nil 'no-minibuffer (frame-first-window)) "\n")
           "\n" (or (current-message) "")))"""
        return str(await self.lisp(drawn))

    async def mode_line(self) -> str:
        return str(await self.lisp("(substring-no-properties (format-mode-line mode-line-format))"))

    async def _ask(self, **asked: Any) -> Any:
        self.writer.write(json.dumps(asked).encode() + b"\n")
        async with asyncio.timeout(PATIENCE_S + 5):
            answer = json.loads(await self.reader.readline())
        assert "failure" not in answer, answer
        return answer.get("value")


async def server_there(editor: Edited, status: str = "/ 1,024") -> None:
    await editor.until(f"(string-search {lisp(status)} (or (ullage-mode-line) {lisp('')}))")


async def open_chat(editor: Edited) -> None:
    await editor.command("ullage-chat")
    await editor.until(f"(and (derived-mode-p 'ullage-chat-mode) {IDLE})")


def _person_s_configuration(command: Sequence[str], settings: str) -> str:
    """What README tells people to write."""
    return f"""
(load {lisp(str(SCRIPTS / "socket.el"))} nil t)
(setq inhibit-startup-screen t ring-bell-function #'ignore)
(add-to-list 'load-path {lisp(str(CLIENT))})
(require 'ullage)
(setq ullage-server-program '({" ".join(map(lisp, command))})
      ullage-settings '{settings})
(ullage-mode)
"""


@asynccontextmanager
async def edited(
    emacs: Emacs,
    folder: Path,
    environment: Mapping[str, str],
    *,
    command: Sequence[str] = COMMAND,
    settings: str = "nil",
    more: str = "",
    arguments: Sequence[str] = ("-Q",),
) -> AsyncIterator[Edited]:
    """Emacs with a person's configuration, and ``more`` of it, and a file of ``folder`` open."""
    root = folder.parent
    socket, init = root / "editor.socket", root / "init.el"
    init.write_text(_person_s_configuration(command, settings) + more)
    terminal = pexpect.spawn(
        emacs.command[0],
        [*emacs.command[1:], "-nw", *arguments, "-l", str(init), "plan.md"],
        env={**environment, "EDITOR_SOCKET": str(socket), "TERM": "xterm", "LANG": "C.UTF-8"},
        cwd=str(folder),
        dimensions=(40, 120),
    )
    screen = bytearray()
    loop = asyncio.get_running_loop()
    loop.add_reader(terminal.fileno(), _drain, terminal.fileno(), screen)
    try:
        reader, writer = await _connected(socket, screen)
        with closing(writer):
            yield Edited(terminal, reader, writer, screen)
    finally:
        loop.remove_reader(terminal.fileno())
        await asyncio.to_thread(terminal.close, force=True)


def _drain(terminal: int, screen: bytearray) -> None:
    """A terminal that nobody reads stops whoever writes to it."""
    try:
        screen += os.read(terminal, 65536)
    except OSError:  # the editor is gone
        asyncio.get_running_loop().remove_reader(terminal)


async def _connected(socket: Path, screen: bytearray) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    return await asyncio.open_unix_connection(str(socket), limit=2**22)
                except OSError:  # not there yet
                    await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError("Emacs did not start. Its screen:\n" + screen.decode(errors="replace")) from None
