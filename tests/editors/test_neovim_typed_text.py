"""What a person types into a chat in a real Neovim is not lost, whatever becomes of it and of the server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from support.editing import Gate, kill_server_below, server_that_breaks, servers_below, silent_server_below
from support.every_line import harbour
from support.neovim import CHAT, IDLE, NONE_FOUND, Neovim, edited, installed, open_chat, server_there
from support.stub_servers import Answer

pytestmark = pytest.mark.skipif(not installed(), reason=NONE_FOUND)
every_neovim = pytest.mark.parametrize("nvim", installed(), ids=str)

NO_SERVER = "require('ullage').client == nil"
PASTED = "'Which caf\\233'"
"""In Latin-1, as Lua writes it."""


@every_neovim
async def test_a_question_with_bytes_that_are_no_text_is_refused_and_stays(nvim: Neovim, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(nvim, place.folder, place.environment) as editor:
        await open_chat(editor)
        await editor.lua(f"vim.api.nvim_put({{ {PASTED} }}, 'c', true, true)")
        await editor.keys("<C-s>")
        await editor.says("There are bytes in this that are no text, so it was not sent.")
        await editor.until(IDLE)
        assert await editor.lua(f"vim.fn.getline('$') == {PASTED}") is True
        await editor.keys("G$a<BS>é?<C-s>")
        await editor.shows("I heard you.")
        await editor.until(IDLE)
        assert (await editor.text())[-9:-4] == ["Which café?", "", "## Answer", "", "I heard you."]


@every_neovim
async def test_a_question_of_the_command_line_waits_while_another_is_answered(nvim: Neovim, tmp_path: Path) -> None:
    pause = asyncio.Event()
    async with harbour(tmp_path) as place, edited(nvim, place.folder, place.environment) as editor:
        place.stub.answers.append(Answer(pieces=("Granite, ", "of course."), pause=pause))
        await open_chat(editor)
        await editor.keys("iWhich stone lasts?<C-s>")
        await editor.shows("Granite,")
        await editor.keys("<C-\\><C-n>:UllageChat And why?<CR>:let b:typed = 1<CR>")
        await editor.until("vim.b.typed")
        pause.set()
        await editor.until(IDLE)
        assert (await editor.text())[-5:] == ["Granite, of course.", "", "## You", "", "And why?"]


@every_neovim
async def test_of_two_questions_that_wait_for_the_first_load_one_is_asked_and_one_kept(
    nvim: Neovim, tmp_path: Path
) -> None:
    async with harbour(tmp_path) as place, edited(nvim, place.folder, place.environment) as editor:
        await server_there(editor)
        with silent_server_below(editor.process.pid):
            await editor.keys(":UllageChat Which stone lasts?<CR>:UllageChat And why?<CR>")
            await editor.until(CHAT)
        await editor.shows("I heard you.")
        await editor.until(IDLE)
        question = ["## You", "", "Which stone lasts?", ""]
        assert (await editor.text())[-11:] == [*question, "## Answer", "", "I heard you.", "", "## You", "", "And why?"]


@every_neovim
async def test_a_server_that_is_stopped_in_mid_answer_is_not_started_again(nvim: Neovim, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(nvim, place.folder, place.environment) as editor:
        gate = Gate()
        place.stub.answers.append(Answer(gate=gate))
        await open_chat(editor)
        await editor.keys("iWhich stone lasts?<C-s>")
        await gate.is_reached()
        await editor.lua("vim.lsp.stop_client(require('ullage').client.id)")
        await editor.until(f"{NO_SERVER} and {IDLE}")
        assert (await editor.text())[-3:] == ["## You", "", "Which stone lasts?"]
        assert servers_below(editor.process.pid) == []


@every_neovim
async def test_a_server_that_is_left_alone_is_not_started_by_the_question_that_waited(
    nvim: Neovim, tmp_path: Path
) -> None:
    broken, starts = tmp_path / "broken", tmp_path / "starts"
    async with (
        harbour(tmp_path) as place,
        edited(nvim, place.folder, place.environment, command=server_that_breaks(broken, starts)) as editor,
    ):
        await open_chat(editor)
        broken.write_text("wait")
        await kill_server_below(editor.process.pid)
        await editor.until(NO_SERVER)
        await editor.keys("iWhich stone lasts?<C-s>")
        await editor.until(f"not {IDLE}")
        broken.write_text("")
        await editor.says("is left alone now")
        await editor.until(IDLE)
        assert (await editor.text())[-3:] == ["## You", "", "Which stone lasts?"]
        assert len(starts.read_text().splitlines()) == 5
