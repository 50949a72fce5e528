"""A conversation with the real small model in each real editor, recorded: what was typed, and what was shown.

`pytest -s tests/editors/test_sessions.py` prints it; with RECORDINGS it is also written into that folder.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from attrs import Factory, define

from support import emacs, neovim
from support.editing import kill_server_below
from support.emacs import Emacs
from support.engine import embedded, needs_engine
from support.neovim import Neovim

WINDOW = 1024
QUESTIONS = ("What is a harbour? One sentence.", "Name three stones that last in sea water.")
LONG = "Tell me a long story about a harbour, a storm and a stone wall."
pytestmark = [*needs_engine, pytest.mark.slow, pytest.mark.timeout(600)]


@define
class Recording:
    """What happened, in order."""

    name: str
    parts: list[str] = Factory(list)

    def add(self, what: str, shown: str) -> None:
        shown = re.sub(r"(\n~)+\n", "\n~\n", re.sub(r"\n{3,}", "\n\n", shown))  # less of what is empty
        self.parts.append(f">>> {what}\n{shown.strip()}\n")
        print(self.parts[-1])

    def keep(self) -> None:
        if folder := os.environ.get("RECORDINGS"):
            (Path(folder) / f"{self.name}_session.txt").write_text("\n".join(self.parts))


def a_harbour(root: Path) -> tuple[Path, Mapping[str, str]]:
    """A folder with a file, and a home whose settings ask for the embedded engine."""
    folder = root / "harbour"
    folder.mkdir()
    (folder / "plan.md").write_text("# A harbour\n\nA wall of granite, and room for twelve boats.\n")
    config = root / "config" / "ullage" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps(embedded(WINDOW, reserveOutput=160)))  # JSON is YAML
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ULLAGE", "OLL", "XDG"))}
    home = {"HOME": str(root), "XDG_CONFIG_HOME": str(root / "config"), "XDG_CACHE_HOME": str(root / "cache")}
    return folder, inherited | home | {"ULLAGE_STORAGE": str(root / "storage"), "TERM": "xterm"}


@pytest.mark.skipif(not neovim.installed(), reason=neovim.NONE_FOUND)
async def test_a_session_in_neovim(tmp_path: Path) -> None:
    nvim: Neovim = neovim.installed()[-1]
    folder, environment = a_harbour(tmp_path)
    recording = Recording("neovim")
    answered = "vim.b.ullage_context ~= nil and vim.bo.modifiable and vim.api.nvim_buf_line_count(0) > 5"
    async with neovim.edited(nvim, folder, environment) as editor:

        async def typed(keys: str, condition: str) -> None:
            await editor.keys(keys)
            await editor.until(condition)
            recording.add(keys, await editor.screen())

        await editor.lua("(function() vim.o.columns, vim.o.lines = 100, 32 end)()")
        await editor.until("(vim.g.ullage_status or ''):find('/', 1, true)")
        recording.add(f"nvim plan.md    ({nvim})", await editor.screen())
        await typed(f":UllageChat {QUESTIONS[0]}<CR>", answered)
        await typed(f"i{QUESTIONS[1]}<C-s>", f"{answered} and vim.api.nvim_buf_line_count(0) > 11")
        for line, shown in (("status", "KV cache"), ("snapshot first answers", "Kept as"), ("clear", "Cleared")):
            await editor.keys(f"<Esc>:messages clear<CR>:Ullage {line}<CR>")
            recording.add(f":Ullage {line}<CR>", await editor.says(shown))
        await editor.keys("<Esc>:messages clear<CR>:Ullage restore<CR>")
        await editor.answers("1<CR>")
        recording.add(":Ullage restore<CR>1<CR>", await editor.says("Restored"))
        await editor.keys(f"i{LONG}<C-s>")
        await editor.until("not vim.bo.modifiable and #vim.api.nvim_buf_get_lines(0, -2, -1, false)[1] > 40")
        recording.add(f"i{LONG}<C-s>    (still answering)", await editor.screen())
        await kill_server_below(editor.process.pid)
        await editor.until(f"{answered} and require('ullage').client ~= nil")
        recording.add("(the server is killed: kill -9)", await editor.screen() + "\n" + await editor.messages())
        assert QUESTIONS[0] in "\n".join(await editor.text())
        assert LONG in "\n".join(await editor.text())
    recording.keep()


@pytest.mark.skipif(not emacs.installed(), reason=emacs.NONE_FOUND)
async def test_a_session_in_emacs(tmp_path: Path) -> None:
    which: Emacs = emacs.installed()[0]
    folder, environment = a_harbour(tmp_path)
    recording = Recording("emacs")
    answered = "(and (derived-mode-p 'ullage-chat-mode) ullage--input (not ullage--answering))"
    async with emacs.edited(which, folder, environment) as editor:
        await editor.until('(string-search "/" (or (ullage-mode-line) ""))')
        recording.add(f"emacs plan.md    ({which})", await editor.windows())
        await editor.command("ullage-chat")
        await editor.until(answered)
        for question in QUESTIONS:
            await editor.keys(question + "\x03\x03")
            await editor.shows(question + "\n\nAnswer")
            await editor.until(answered)
            recording.add(f"{question} C-c C-c", await editor.windows())
        for line, shown in (("estimate", "would"), ("snapshot first answers", "Kept as"), ("clear", "Cleared")):
            await editor.command(f"ullage-command\n{line}")
            await editor.says(shown)
            recording.add(f"M-x ullage-command RET {line} RET", (await editor.windows()).splitlines()[-1])
        await editor.command("ullage-restore")
        await editor.until('(string-prefix-p "Bring back" (or (minibuffer-prompt) ""))')
        await editor.keys("\t\r")
        recording.add("M-x ullage-restore RET TAB RET", (await editor.says("Restored")).splitlines()[-1])
        await editor.keys(LONG + "\x03\x03")
        await editor.until("(and ullage--answering (> (- ullage--end (plist-get ullage--answering :start)) 60))")
        recording.add(f"{LONG} C-c C-c    (still answering)", await editor.windows())
        await kill_server_below(editor.pid)
        await editor.says("It is started again")
        await editor.until(f"(and ullage--ready {answered})")
        recording.add("(the server is killed: kill -9)", await editor.windows())
        said = await editor.text()
        assert all(each in said for each in (*QUESTIONS, LONG))
    recording.keep()
