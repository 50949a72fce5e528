"""A server that was stopped, that does not begin, or that has gone: what a real Emacs says and does then."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from support.editing import Gate, kill_server_below, server_that_breaks, server_that_waits, servers_below
from support.emacs import IDLE, NONE_FOUND, SEND, Emacs, edited, installed, open_chat, server_there
from support.every_line import harbour
from support.stub_servers import Answer
from support.ullage_server import ullage

pytestmark = pytest.mark.skipif(not installed(), reason=NONE_FOUND)
every_emacs = pytest.mark.parametrize("emacs", installed(), ids=str)

STOPPED = "The server was stopped; any command starts it again"
AGAIN = "It is started again"
NO_SERVER = "(and (null ullage--connection) (null ullage--queue))"


@every_emacs
async def test_a_server_that_is_stopped_in_mid_answer_is_not_started_again(emacs: Emacs, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        gate = Gate()
        place.stub.answers.append(Answer(gate=gate))
        await open_chat(editor)
        await editor.keys("Which stone lasts?" + SEND + "And then")
        await editor.shows("And then")
        await gate.is_reached()
        await editor.command("ullage-stop")
        await editor.says(STOPPED)
        await editor.until(IDLE)
        assert (await editor.text()).endswith("You\n\nWhich stone lasts?\nAnd then")
        assert await editor.lisp(NO_SERVER) is True
        assert servers_below(editor.pid) == []
        assert AGAIN not in await editor.messages()


@every_emacs
async def test_stopping_a_server_gives_up_what_waits_for_it(emacs: Emacs, tmp_path: Path) -> None:
    held = tmp_path / "held"
    async with (
        harbour(tmp_path) as place,
        edited(emacs, place.folder, place.environment, command=server_that_waits(held)) as editor,
    ):
        await open_chat(editor)
        held.touch()
        await kill_server_below(editor.pid)
        await editor.until("(and ullage--connection (not ullage--ready))")
        await editor.keys("Which stone lasts?" + SEND)
        await editor.until("(and ullage--answering t)")
        await editor.command("ullage-stop")
        await editor.until(f"(and {NO_SERVER} {IDLE})")
        assert (await editor.text()).endswith("You\n\nWhich stone lasts?")


@every_emacs
async def test_a_server_that_is_left_alone_is_not_started_by_the_question_that_waited(
    emacs: Emacs, tmp_path: Path
) -> None:
    broken, starts = tmp_path / "broken", tmp_path / "starts"
    async with (
        harbour(tmp_path) as place,
        edited(emacs, place.folder, place.environment, command=server_that_breaks(broken, starts)) as editor,
    ):
        await open_chat(editor)
        broken.write_text("wait")
        await kill_server_below(editor.pid)
        await editor.until("(and ullage--connection (not ullage--ready))")
        await editor.keys("Which stone lasts?" + SEND)
        await editor.until("(and ullage--answering t)")
        broken.write_text("")
        await editor.says("is left alone now")
        await editor.until(IDLE)
        assert len(starts.read_text().splitlines()) == 5
        assert await editor.lisp(NO_SERVER) is True
        assert (await editor.text()).endswith("You\n\nWhich stone lasts?")


@every_emacs
async def test_the_pieces_of_a_question_that_waited_over_a_crash_are_shown(emacs: Emacs, tmp_path: Path) -> None:
    held, pause = tmp_path / "held", asyncio.Event()
    async with (
        harbour(tmp_path) as place,
        edited(emacs, place.folder, place.environment, command=server_that_waits(held)) as editor,
    ):
        place.stub.answers.append(Answer(pieces=("Granite, ", "of course."), pause=pause))
        await open_chat(editor)
        held.touch()
        await editor.command("ullage-stop")
        await editor.keys("Which stone lasts?" + SEND)
        await editor.until("(and ullage--answering t)")
        await editor.lisp("(signal-process (jsonrpc--process ullage--connection) 'kill)")
        await editor.until("(= 1 (length ullage--ends))")
        held.unlink()
        await editor.shows("Granite,")
        pause.set()
        await editor.shows("Granite, of course.")


@every_emacs
async def test_a_server_that_refuses_to_begin_is_left_and_begins_once_it_can(emacs: Emacs, tmp_path: Path) -> None:
    storage = tmp_path / "elsewhere"
    storage.write_text("no folder")
    async with (
        harbour(tmp_path) as place,
        edited(emacs, place.folder, {**place.environment, "ULLAGE_STORAGE": str(storage)}) as editor,
    ):
        refusal = "The storage folder"
        await editor.says(refusal)
        await editor.until(NO_SERVER)
        assert servers_below(editor.pid) == []
        await editor.lisp(
            "(progn (with-current-buffer (messages-buffer) (let ((inhibit-read-only t)) (erase-buffer))) t)"
        )
        await editor.command("ullage-command\nstatus")
        await editor.says(refusal)
        await editor.until(NO_SERVER)
        assert await editor.lisp("(null ullage--ends)") is True
        storage.unlink()
        await editor.command("ullage-status")
        await server_there(editor)


@every_emacs
async def test_the_first_folder_that_the_server_is_told_of_is_the_project(emacs: Emacs, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place:
        source = place.folder / "src"
        source.mkdir()
        (source / "plan.md").write_text("# A harbour\n")
        (place.folder / ".git").mkdir()
        (place.folder / ".ullage.yaml").write_text(
            "context: {compression: {enabled: false, target: 0.3, threshold: 0.5}}\n"
        )
        async with edited(emacs, source, place.environment) as editor:
            await editor.until("(eq (get-text-property 0 'face (or (ullage-mode-line) (string 32))) 'ullage-high)")
            listed = "(plist-get (ullage--wait-for :context/list nil) :contexts)"
            uris = await editor.lisp(f"(mapcar (lambda (context) (plist-get context :workspaceUri)) {listed})")
            assert set(uris) == {place.folder.as_uri()}


@every_emacs
async def test_a_conversation_that_was_erased_elsewhere_makes_room_for_the_folder_s_own(
    emacs: Emacs, tmp_path: Path
) -> None:
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        await server_there(editor, "(51%%)")
        await editor.command("ullage-stop")
        async with ullage(tmp_path, place.settings) as other:
            context = await other.request("context/open", {"workspaceUri": place.folder.as_uri()})
            await other.request("context/delete", {"contextId": context["id"]})
            assert await other.shut_down() == 0
        await editor.command("ullage-snapshot\nfirst")
        await editor.says("There is no context with this id")
        await editor.command("ullage-snapshot\nsecond")
        await editor.says("Kept as")
        await server_there(editor, "(0%%)")
