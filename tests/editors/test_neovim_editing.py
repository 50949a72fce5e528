"""A person's work in a real Neovim with the client that people copy: keys go in, windows and messages are read."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from support.architectures import plain
from support.editing import Gate, kill_server_below, servers_below, silent_server_below
from support.every_line import Harbour, harbour
from support.fake_nvml import FakeNvml, Part, needs_compiler
from support.neovim import (
    CHAT,
    IDLE,
    NONE_FOUND,
    NOTHING_WAITS,
    Edited,
    Neovim,
    edited,
    installed,
    open_chat,
    server_there,
)
from support.stub_servers import Answer, OllamaStub
from support.ullage_server import ullage, using

pytestmark = pytest.mark.skipif(not installed(), reason=NONE_FOUND)
every_neovim = pytest.mark.parametrize("nvim", installed(), ids=str)

NOT_ANSWERED = "not answered yet"
REMARKS = """(function()
  local marks = vim.api.nvim_buf_get_extmarks(0, vim.api.nvim_get_namespaces().ullage, 0, -1, { details = true })
  local texts = {}
  for _, mark in ipairs(marks) do
    table.insert(texts, mark[4].virt_text and mark[4].virt_text[1][1] or "")
  end
  return table.concat(texts, ";")
end)()"""


async def remarks(editor: Edited) -> str:
    return str(await editor.lua(REMARKS.replace("\n", " ")))


@every_neovim
async def test_the_status_line_follows_the_conversation_and_warns_in_colour(nvim: Neovim, tmp_path: Path) -> None:
    watchful = {"ullage": {"context": {"compression": {"enabled": False, "threshold": 0.57}}}}
    async with (
        harbour(tmp_path) as place,
        edited(nvim, place.folder, place.environment, settings=watchful) as editor,
    ):
        await server_there(editor)
        before = await editor.status_line()
        assert before["str"].endswith(" / 1,024 (51%)")
        assert not any("Ullage" in each["group"] for each in before["highlights"])
        place.stub.answers.append(Answer(pieces=("stone " * 50,)))
        await editor.keys(":UllageChat Which stones are there?<CR>")
        await editor.until("vim.g.ullage_warning == 'high'")
        after = await editor.status_line()
        assert after["str"].endswith("%)")
        assert "UllageHigh" in [each["group"] for each in after["highlights"]]


@every_neovim
async def test_an_answer_streams_into_the_chat_below_what_was_said_before(nvim: Neovim, tmp_path: Path) -> None:
    pause = asyncio.Event()
    async with harbour(tmp_path) as place, edited(nvim, place.folder, place.environment) as editor:
        place.stub.answers.append(Answer(pieces=("Granite, ", "of course."), pause=pause))
        await open_chat(editor)
        assert "The tide will tell: granite lasts." in await editor.text()
        await editor.keys("iWhich stone lasts?<CR>And why?<C-s>")
        half = await editor.shows("Granite,")
        pause.set()
        whole = await editor.shows("Granite, of course.")
        await editor.until(IDLE)
        whole = await editor.text()
        assert half[-8:-1] == ["## You", "", "Which stone lasts?", "And why?", "", "## Answer", ""]
        assert whole[-5:] == ["Granite, of course.", "", "## You", "", ""]


@every_neovim
async def test_an_answer_that_is_stopped_keeps_what_has_come(nvim: Neovim, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(nvim, place.folder, place.environment) as editor:
        place.stub.answers.append(Answer(pieces=("Granite, ", "of course."), pause=asyncio.Event()))
        await open_chat(editor)
        await editor.keys("iWhich stone lasts?<C-s>")
        await editor.shows("Granite,")
        await editor.keys("<C-c>")
        await editor.until(IDLE)
        assert (await editor.text())[-5:] == ["Granite,", "", "## You", "", ""]
        assert "stopped" in await remarks(editor)
        assert "of course" not in "".join(await editor.text())


@every_neovim
async def test_a_question_that_was_stopped_before_its_answer_is_asked_again(nvim: Neovim, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(nvim, place.folder, place.environment) as editor:
        gate = Gate()
        place.stub.answers.append(Answer(gate=gate))
        await open_chat(editor)
        await editor.keys("iWhich stone lasts?<C-s>")
        await gate.is_reached()
        await editor.keys("<C-c>")
        await editor.until(IDLE)
        assert (await editor.text())[-6:] == ["", "Which stone lasts?", "", "## You", "", ""]
        assert NOT_ANSWERED in await remarks(editor)
        place.stub.answers.append(Answer(pieces=("Granite.",)))
        await editor.keys("<C-s>")
        await editor.shows("Granite.")
        await editor.until(IDLE)
        assert (await editor.text())[-9:] == [
            "Which stone lasts?",
            "",
            "## Answer",
            "",
            "Granite.",
            "",
            "## You",
            "",
            "",
        ]


@every_neovim
async def test_what_is_typed_while_a_chat_is_loaded_again_stays(nvim: Neovim, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(nvim, place.folder, place.environment) as editor:
        await open_chat(editor)
        with silent_server_below(editor.process.pid):
            await editor.keys(":UllageChat<CR>iWhich stone<Esc>")
            await editor.shows("Which stone")
        await editor.until(NOTHING_WAITS)
        assert (await editor.text())[-3:] == ["## You", "", "Which stone"]


@every_neovim
async def test_a_question_that_is_asked_while_a_chat_is_loaded_again_is_answered_once(
    nvim: Neovim, tmp_path: Path
) -> None:
    async with harbour(tmp_path) as place, edited(nvim, place.folder, place.environment) as editor:
        await open_chat(editor)
        with silent_server_below(editor.process.pid):
            await editor.keys(":UllageChat<CR>iWhich stone lasts?<C-s>")
            await editor.until(f"not {IDLE}")
        await editor.shows("I heard you.")
        await editor.until(IDLE)
        question = ["## You", "", "Which stone lasts?", ""]
        assert (await editor.text())[-11:] == [*question, "## Answer", "", "I heard you.", "", "## You", "", ""]
        assert len(place.stub.asked) == 1


@every_neovim
async def test_a_question_of_the_command_line_leaves_what_was_typed(nvim: Neovim, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(nvim, place.folder, place.environment) as editor:
        await open_chat(editor)
        await editor.keys("iAnd then<Esc>:UllageChat Which stone lasts?<CR>")
        await editor.shows("I heard you.")
        await editor.until(IDLE)
        question = ["## You", "", "Which stone lasts?", ""]
        text = await editor.text()
        assert text[-11:] == [*question, "## Answer", "", "I heard you.", "", "## You", "", "And then"]
        assert text.count("And then") == 1


@every_neovim
async def test_a_chat_whose_buffer_was_deleted_is_opened_anew(nvim: Neovim, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(nvim, place.folder, place.environment) as editor:
        await open_chat(editor)
        await editor.keys(":bdelete | UllageChat<CR>")
        await editor.until(CHAT)
        await editor.shows("The tide will tell: granite lasts.")
        await editor.keys("iWhich stone lasts?<C-s>")
        await editor.shows("I heard you.")
        assert "Error" not in await editor.messages()


@every_neovim
async def test_a_server_killed_in_mid_answer_comes_back_with_the_conversation(nvim: Neovim, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(nvim, place.folder, place.environment) as editor:
        place.stub.answers.append(Answer(pieces=("Granite, ", "of course."), pause=asyncio.Event()))
        await open_chat(editor)
        before = await editor.text()
        await editor.keys("iWhich stone lasts?<C-s>")
        await editor.shows("Granite,")
        killed = await kill_server_below(editor.process.pid)
        await editor.says("It is started again; what was said is kept.")
        await editor.until(IDLE)
        [server] = servers_below(editor.process.pid)
        assert server.pid != killed
        kept = await editor.text()
        assert kept[: len(before) - 3] == before[:-3]
        assert kept[len(before) - 3 : len(before)] == ["## You", "", "Which stone lasts?"]
        place.stub.answers.append(Answer(pieces=("Granite.",)))
        await editor.keys("iAgain, please.<C-s>")
        await editor.shows("Granite.")
        await server_there(editor)


@every_neovim
async def test_a_server_killed_while_nobody_waits_is_there_again(nvim: Neovim, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(nvim, place.folder, place.environment) as editor:
        await server_there(editor)
        await kill_server_below(editor.process.pid)
        await editor.until("vim.g.ullage_status == 'Ullage: no server'")
        await server_there(editor)


@every_neovim
async def test_a_server_that_ends_at_once_is_left_alone_after_five_times(nvim: Neovim, tmp_path: Path) -> None:
    broken = [sys.executable, "-c", "raise SystemExit(1)"]
    async with (
        harbour(tmp_path) as place,
        edited(nvim, place.folder, place.environment, command=broken) as editor,
    ):
        said = await editor.says("is left alone now")
        assert "The server ended 5 times in a short while and is left alone now. `ullage doctor`" in said
        assert (await editor.status_line())["str"].endswith("Ullage: no server")


@every_neovim
async def test_a_missing_server_is_named_with_what_to_do(nvim: Neovim, tmp_path: Path) -> None:
    async with (
        harbour(tmp_path) as place,
        edited(nvim, place.folder, place.environment, command=["ullage-nowhere", "serve"]) as editor,
    ):
        said = await editor.says("There is no program “ullage-nowhere”. Install Ullage, or say where it is:")
        assert said.count("There is no program") == 1


@every_neovim
async def test_a_server_that_cannot_be_run_is_said_to_be_so_each_time(nvim: Neovim, tmp_path: Path) -> None:
    program = tmp_path / "broken"
    program.write_text("#!/nowhere/python\n")
    program.chmod(0o755)
    async with (
        harbour(tmp_path) as place,
        edited(nvim, place.folder, place.environment, command=[str(program), "serve"]) as editor,
    ):
        for _ in range(2):  # at the first file newer versions of Neovim say it themselves, in words of their own
            await editor.keys(":messages clear<CR>:Ullage status<CR>")
            await editor.says("The server could not be started. Install Ullage anew;")


@every_neovim
async def test_a_snapshot_is_chosen_from_a_list(nvim: Neovim, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(nvim, place.folder, place.environment) as editor:
        await server_there(editor)
        await editor.keys(":Ullage restore<CR>")
        await editor.says("No snapshot was kept of this conversation yet; :Ullage snapshot keeps one.")
        for line, said in (("snapshot full", "Kept as"), ("clear", "Cleared:"), ("snapshot empty", "Kept as")):
            await editor.keys(f":messages clear<CR>:Ullage {line}<CR>")
            await editor.says(said)
        await editor.keys(":Ullage restore<CR>")
        await editor.answers("2<CR>")
        said = await editor.says("Restored:")
        assert "/ 1,024 (51%)" in said


@every_neovim
async def test_tab_completes_lines_and_what_follows_them(nvim: Neovim, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(nvim, place.folder, place.environment) as editor:
        await server_there(editor)
        assert await editor.lua("vim.fn.getcompletion('Ullage s', 'cmdline')") == [
            *("status", "size", "snapshot", "stats", "switch", "search")
        ]
        assert await editor.lua("vim.fn.getcompletion('Ullage compress s', 'cmdline')") == ["summarize"]
        assert sorted(await editor.lua("vim.fn.getcompletion('Ullage switch ', 'cmdline')")) == ["main", "notes"]


@every_neovim
async def test_a_line_that_is_none_is_refused_in_words(nvim: Neovim, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(nvim, place.folder, place.environment) as editor:
        await server_there(editor)
        await editor.keys(":Ullage snap shot<CR>")
        await editor.says("There is no line “snap”; :Ullage help lists them.")


def second_folder(place: Harbour) -> Path:
    bridge = place.root / "bridge"
    (bridge / ".git").mkdir(parents=True)
    (bridge / "span.md").write_text("# A bridge\n")
    (place.folder / ".git").mkdir()
    return bridge


@every_neovim
async def test_each_folder_has_its_own_conversation(nvim: Neovim, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(nvim, place.folder, place.environment) as editor:
        bridge = second_folder(place)
        await editor.keys(":edit<CR>")
        await server_there(editor)
        assert "(51%)" in await editor.lua("vim.g.ullage_status")
        await editor.keys(f":edit {bridge}/span.md<CR>")
        await editor.until("vim.g.ullage_status:find('(0%)', 1, true)")
        await editor.keys(":UllageChat How long is it?<CR>")
        await editor.shows("I heard you.")
        assert "granite" not in "".join(await editor.text())
        assert "bridge/main" in await editor.lua("vim.api.nvim_buf_get_name(0)")
        await editor.keys(f":wincmd p<CR>:edit {place.folder}/plan.md<CR>")
        await editor.until("vim.g.ullage_status:find('(51%)', 1, true)")
        assert len(servers_below(editor.process.pid)) == 1


@every_neovim
async def test_a_new_conversation_is_that_of_the_folder_it_was_asked_in(nvim: Neovim, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(nvim, place.folder, place.environment) as editor:
        bridge = second_folder(place)
        await editor.keys(":edit<CR>")
        await server_there(editor)
        with silent_server_below(editor.process.pid):
            await editor.keys(f":UllageNew sketches<CR>:edit {bridge}/span.md<CR>")
            await editor.until("vim.fn.expand('%:t') == 'span.md'")
        await editor.until(NOTHING_WAITS)
        await editor.keys(f":edit {place.folder}/plan.md<CR>")
        await editor.until("vim.fn.expand('%:t') == 'plan.md' and vim.g.ullage_status:find('(0%)', 1, true)")


@every_neovim
async def test_every_window_of_a_chat_follows_the_answer(nvim: Neovim, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(nvim, place.folder, place.environment) as editor:
        place.stub.answers.append(Answer(pieces=("One\n", "two\n", "three\n", "four.")))
        await open_chat(editor)
        await editor.keys(":split<CR>iCount.<C-s>")
        await editor.shows("four.")
        await editor.until(IDLE)
        last = "vim.api.nvim_win_get_cursor(window)[1] == vim.api.nvim_buf_line_count(0)"
        windows = "vim.fn.win_findbuf(vim.api.nvim_get_current_buf())"
        at_end = f"vim.tbl_map(function(window) return {last} end, {windows})"
        assert await editor.lua(at_end) == [True, True]


@every_neovim
async def test_a_conversation_that_another_editor_writes_is_taken_over_and_its_answer_stopped(
    nvim: Neovim, tmp_path: Path
) -> None:
    async with (
        harbour(tmp_path) as place,
        ullage(tmp_path, place.settings) as other,
        edited(nvim, place.folder, place.environment) as editor,
    ):
        context = await other.request("context/open", {"workspaceUri": place.folder.as_uri()})
        message = {"role": "user", "content": "I write here."}
        await other.request("context/append", {"contextId": context["id"], "messages": [message]})
        place.stub.answers.append(Answer(pieces=("I heard ", "you."), pause=asyncio.Event()))
        await open_chat(editor)
        await editor.keys("iMy turn.<C-s>")
        await editor.answers("1<CR>")
        await editor.shows("I heard")
        await editor.keys("<C-c>")
        await editor.until(IDLE)
        assert (await editor.text())[-5:] == ["I heard", "", "## You", "", ""]


@needs_compiler
@every_neovim
async def test_short_memory_is_told_once(nvim: Neovim, tmp_path: Path) -> None:
    nvml = FakeNvml(tmp_path)
    nvml.says(Part("A", total=24_000 * 2**20, free=8_000 * 2**20))
    async with harbour(tmp_path) as place, OllamaStub(info=plain()) as stub:
        environment = {
            **place.environment,
            **{name: nvml.environment[name] for name in ("LD_LIBRARY_PATH", "FAKE_NVML_STATE")},
        }
        settings = {"ullage": {**using(stub.url, "ollama"), "memory": {"pollSeconds": 0.5}}}
        async with edited(nvim, place.folder, environment, settings=settings) as editor:
            await server_there(editor)
            nvml.says(Part("A", total=24_000 * 2**20, free=100 * 2**20))
            said = await editor.says("Memory is short: ")
            assert "0.1 GB of 23.4 GB is free." in said
