"""A person's work in a real Emacs with the client that people copy: keys go in, windows and messages are read."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.editing import Gate, kill_server_below, servers_below
from support.emacs import (
    CLIENT,
    IDLE,
    NONE_FOUND,
    PATIENCE_S,
    SEND,
    STOP,
    Emacs,
    edited,
    installed,
    lisp,
    open_chat,
    server_there,
)
from support.every_line import Harbour, harbour
from support.fake_nvml import FakeNvml, Part, needs_compiler
from support.stub_servers import Answer
from support.ullage_server import ullage
from ullage.contexts.commands.lines import LINES

pytestmark = pytest.mark.skipif(not installed(), reason=NONE_FOUND)
every_emacs = pytest.mark.parametrize("emacs", installed(), ids=str)

SUPPORT = Path(__file__).parent.parent / "support"
BROKEN = [sys.executable, "-c", "raise SystemExit(1)"]
WATCHFUL = "(:context (:compression (:enabled :json-false :threshold 0.57)))"


def complaints(command: Sequence[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr.strip()


@every_emacs
def test_the_client_compiles_without_a_warning(emacs: Emacs, tmp_path: Path) -> None:
    for file in CLIENT.glob("*.el"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    strictly = "(setq byte-compile-error-on-warn t)"
    batch = [*emacs.command, "-Q", "--batch", "-L", ".", "--eval", strictly, "-f", "batch-byte-compile"]
    files = sorted(file.name for file in tmp_path.glob("*.el"))
    assert files
    done = subprocess.run(
        [*batch, *files], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")


@every_emacs
def test_the_client_is_documented_as_emacs_wants_it(emacs: Emacs) -> None:
    check = f"(dolist (file (directory-files {lisp(str(CLIENT))} t {lisp('el$')})) (checkdoc-file file))"
    batch = [*emacs.command, "-Q", "--batch", "--eval", "(require 'checkdoc)", "--eval", check]
    assert complaints(batch, CLIENT) == ""


@every_emacs
async def test_the_mode_line_follows_the_conversation_and_warns_in_colour(emacs: Emacs, tmp_path: Path) -> None:
    face = "(get-text-property 0 'face (ullage-mode-line))"
    async with (
        harbour(tmp_path) as place,
        edited(emacs, place.folder, place.environment, settings=WATCHFUL) as editor,
    ):
        await server_there(editor)
        assert " / 1,024 (51%) " in await editor.mode_line()
        assert await editor.lisp(face) is None
        place.stub.answers.append(Answer(pieces=("stone " * 50,)))
        await open_chat(editor)
        await editor.keys("Which stones are there?" + SEND)
        await editor.until(f"(eq {face} 'ullage-high)")
        assert " / 1,024 (51%) " not in await editor.mode_line()


@every_emacs
async def test_an_answer_streams_in_above_what_is_typed_meanwhile(emacs: Emacs, tmp_path: Path) -> None:
    pause = asyncio.Event()
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        place.stub.answers.append(Answer(pieces=("Granite, ", "of course."), pause=pause))
        await open_chat(editor)
        assert "The tide will tell: granite lasts." in await editor.text()
        await editor.keys("Which stone lasts?\rAnd why?" + SEND)
        half = await editor.shows("Granite,")
        assert half.endswith("You\n\nWhich stone lasts?\nAnd why?\n\nAnswer  C-c C-k stops it\n\nGranite, \n\nYou\n\n")
        await editor.keys("Then")
        await editor.shows("You\n\nThen")
        pause.set()
        await editor.until(IDLE)
        assert (await editor.text()).endswith("\n\nAnswer\n\nGranite, of course.\n\nYou\n\nThen")


@every_emacs
async def test_an_answer_that_is_stopped_keeps_what_has_come(emacs: Emacs, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        place.stub.answers.append(Answer(pieces=("Granite, ", "of course."), pause=asyncio.Event()))
        await open_chat(editor)
        await editor.keys("Which stone lasts?" + SEND)
        await editor.shows("Granite,")
        await editor.keys(STOP)
        await editor.until(IDLE)
        assert (await editor.text()).endswith("Which stone lasts?\n\nAnswer  stopped\n\nGranite,\n\nYou\n\n")


@every_emacs
async def test_a_question_that_was_stopped_before_its_answer_is_asked_again(emacs: Emacs, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        gate = Gate()
        place.stub.answers.append(Answer(gate=gate))
        await open_chat(editor)
        await editor.keys("Which stone lasts?" + SEND)
        await gate.is_reached()
        await editor.keys(STOP)
        await editor.until(IDLE)
        waiting = "Which stone lasts?\n\nYou  the last message is not answered yet; sending nothing asks again\n\n"
        assert (await editor.text()).endswith(waiting)
        place.stub.answers.append(Answer(pieces=("Granite.",)))
        await editor.keys(SEND)
        await editor.shows("Granite.")
        await editor.until(IDLE)
        assert "Which stone lasts?\n\nAnswer\n\nGranite.\n\nYou" in await editor.text()


@every_emacs
async def test_a_server_killed_in_mid_answer_comes_back_with_the_conversation(emacs: Emacs, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        place.stub.answers.append(Answer(pieces=("Granite, ", "of course."), pause=asyncio.Event()))
        await open_chat(editor)
        before = await editor.text()
        await editor.keys("Which stone lasts?" + SEND)
        await editor.shows("Granite,")
        killed = await kill_server_below(editor.pid)
        await editor.says("It is started again; what was said is kept")
        await editor.until(IDLE)
        [server] = servers_below(editor.pid)
        assert server.pid != killed
        kept = await editor.text()
        assert kept.startswith(before + "Which stone lasts?\n\n")
        place.stub.answers.append(Answer(pieces=("Granite.",)))
        await editor.keys("Again, please." + SEND)
        await editor.shows("Granite.")
        await server_there(editor)


@every_emacs
async def test_a_server_killed_while_nobody_waits_is_there_again(emacs: Emacs, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        await server_there(editor)
        killed = await kill_server_below(editor.pid)
        await editor.until(
            "(and ullage--ready (not (= killed (process-id (jsonrpc--process ullage--connection)))))".replace(
                "killed", str(killed)
            )
        )
        await server_there(editor)


@every_emacs
async def test_a_server_that_ends_at_once_is_left_alone_after_five_times(emacs: Emacs, tmp_path: Path) -> None:
    async with (
        harbour(tmp_path) as place,
        edited(emacs, place.folder, place.environment, command=BROKEN) as editor,
    ):
        said = await editor.says("is left alone now")
        assert "The server ended 5 times in a short while and is left alone now.  " in said
        assert "any command starts it again" in said
        assert "Ullage: no server" in await editor.mode_line()


@every_emacs
async def test_a_choice_is_given_up_where_the_conversation_cannot_be_opened(emacs: Emacs, tmp_path: Path) -> None:
    async with (
        harbour(tmp_path) as place,
        edited(emacs, place.folder, place.environment, command=BROKEN) as editor,
    ):
        await editor.says("is left alone now")
        await editor.command("ullage-restore")
        await editor.until("(and (null ullage--queue) (null ullage--connection) (null ullage--ends))")
        await editor.command("ullage-stop")


@every_emacs
async def test_a_start_again_that_fails_is_told(emacs: Emacs, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        await server_there(editor)
        gone = '(let ((default-directory "/nowhere/")) (ullage-stop) (ullage--start-again default-directory) t)'
        await editor.lisp(gone)
        await editor.says("Ullage: Setting current directory: No such file or directory, /nowhere/")


@every_emacs
async def test_a_missing_server_is_named_with_what_to_do(emacs: Emacs, tmp_path: Path) -> None:
    async with (
        harbour(tmp_path) as place,
        edited(emacs, place.folder, place.environment, command=["ullage-nowhere", "serve"]) as editor,
    ):
        said = await editor.says("There is no program")
        assert "ullage-nowhere" in said
        assert "install Ullage, or set" in said


@every_emacs
async def test_a_snapshot_is_chosen_from_a_list(emacs: Emacs, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        await server_there(editor)
        await editor.command("ullage-restore")
        await editor.says("No snapshot was kept of this conversation yet; M-x ullage-snapshot keeps one")
        await editor.command("ullage-snapshot\nfirst stone")
        await editor.says("Kept as")
        await editor.command("ullage-clear")
        await editor.says("Cleared:")
        await editor.command("ullage-restore")
        await editor.until('(string-prefix-p "Bring back" (or (minibuffer-prompt) ""))')
        await editor.keys("\t\r")
        assert "/ 1,024 (51%)" in await editor.says("Restored:")
        await editor.command("ullage-snapshot\nsecond stone")
        await editor.until('(= 2 (length (ullage--choices "restore")))')
        shown = await editor.lisp('(vconcat (mapcar #\'car (ullage--choices "restore")))')
        assert [each.split(": ")[1].split(" (")[0] for each in shown] == ["second stone", "first stone"]


@every_emacs
async def test_every_line_is_typed_with_completion(emacs: Emacs, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        await server_there(editor)
        assert await editor.lisp("(vconcat ullage--lines)") == [line.name for line in LINES]
        assert await editor.lisp('(vconcat (ullage--continuations "compress "))') == [
            *("compress hybrid", "compress summarize", "compress truncate")
        ]
        await editor.command("ullage-command")
        await editor.until('(string-prefix-p "Ullage:" (or (minibuffer-prompt) ""))')
        await editor.keys("esti\t\r")
        await editor.says("A compression (hybrid) would come to")
        await editor.command("ullage-command\nsnapshot two words")
        await editor.says("Kept as")
        await editor.command("ullage-command\nsnap shot")
        await editor.says("There is no line ‘snap’; ‘help’ lists them")


@every_emacs
async def test_a_line_that_was_completed_from_a_list_is_done(emacs: Emacs, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        await server_there(editor)
        is_notes = '(lambda (line) (string-search "notes in " (ullage--annotation line)))'
        await editor.lisp(f'(progn (ullage-command (seq-find {is_notes} (ullage--continuations "switch "))) t)')
        await editor.says("Now in notes")


def second_folder(place: Harbour) -> Path:
    bridge = place.root / "bridge"
    bridge.mkdir()
    (bridge / "span.md").write_text("# A bridge\n")
    return bridge


@every_emacs
async def test_each_folder_has_its_own_conversation(emacs: Emacs, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        bridge = second_folder(place)
        await server_there(editor, "(51%%)")
        await editor.visit(bridge / "span.md")
        await server_there(editor, "(0%%)")
        await open_chat(editor)
        await editor.keys("How long is it?" + SEND)
        await editor.shows("I heard you.")
        assert "granite" not in await editor.text()
        assert await editor.lisp("(buffer-name)") == "*ullage: bridge/main*"
        await editor.visit(place.folder / "plan.md")
        await server_there(editor, "(51%%)")
        assert len(servers_below(editor.pid)) == 1


@every_emacs
async def test_a_folder_is_named_in_its_own_letters(emacs: Emacs, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        bridge = second_folder(place).rename(place.root / "brücke")
        await server_there(editor, "(51%%)")
        await editor.visit(bridge / "span.md")
        await server_there(editor, "(0%%)")
        await open_chat(editor)
        assert await editor.lisp("(buffer-name)") == "*ullage: brücke/main*"
        shown = await editor.lisp('(vconcat (mapcar #\'car (ullage--choices "switch")))')
        assert any("/brücke, " in each for each in shown)


@every_emacs
async def test_a_conversation_that_another_editor_writes_can_be_taken_over(emacs: Emacs, tmp_path: Path) -> None:
    async with (
        harbour(tmp_path) as place,
        ullage(tmp_path, place.settings) as other,
        edited(emacs, place.folder, place.environment) as editor,
    ):
        context = await other.request("context/open", {"workspaceUri": place.folder.as_uri()})
        message = {"role": "user", "content": "I write here."}
        await other.request("context/append", {"contextId": context["id"], "messages": [message]})
        await open_chat(editor)
        await editor.keys("My turn." + SEND)
        await editor.until('(string-search "Take it over?" (or (minibuffer-prompt) ""))')
        await editor.keys("y")
        await editor.until("(not (minibufferp))")
        await editor.shows("I heard you.")


@needs_compiler
@every_emacs
async def test_short_memory_is_told_once(emacs: Emacs, tmp_path: Path) -> None:
    nvml = FakeNvml(tmp_path)
    nvml.says(Part("A", total=24_000 * 2**20, free=8_000 * 2**20))
    fake = {name: nvml.environment[name] for name in ("LD_LIBRARY_PATH", "FAKE_NVML_STATE")}
    settings = "(:memory (:pollSeconds 0.5))"
    async with (
        harbour(tmp_path) as place,
        edited(emacs, place.folder, {**place.environment, **fake}, settings=settings) as editor,
    ):
        await server_there(editor)
        nvml.says(Part("A", total=24_000 * 2**20, free=100 * 2**20))
        said = await editor.says("Memory is short: ")
        assert "0.1 GB of 23.4 GB is free." in said


@every_emacs
async def test_a_folder_of_another_machine_is_refused_in_words(emacs: Emacs, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        await editor.lisp('(setq default-directory "/ssh:nowhere:/home/" ullage--folder nil)')
        await editor.command("ullage-status")
        await editor.says("Conversations are kept for folders of this machine; go to a file here first")


@every_emacs
async def test_a_buffer_keeps_the_language_server_that_eglot_gave_it(emacs: Emacs, tmp_path: Path) -> None:
    language_server = [sys.executable, str(SUPPORT / "stock_server.py")]
    programs = f"(setq eglot-server-programs '((text-mode . ({' '.join(map(lisp, language_server))}))))"
    async with (
        harbour(tmp_path) as place,
        edited(
            emacs, place.folder, place.environment, arguments=["-q"], more=f"(require 'eglot nil t) {programs}"
        ) as editor,
    ):
        if not await editor.lisp("(featurep 'eglot)"):
            pytest.skip("EGLOT IS NOT TESTED: this Emacs has none. `apt-get install elpa-eglot` brings one.")
        (place.folder / "notes.txt").write_text("Stones.\n")
        await editor.visit(place.folder / "notes.txt")
        await editor.command("eglot")
        await editor.until("(and (eglot-current-server) t)")
        await server_there(editor)
        await editor.command("ullage-status")
        await editor.until('(get-buffer "*ullage*")')
        assert await editor.lisp("(and (jsonrpc-running-p (eglot-current-server)) t)") is True
        assert "stock_server" in await editor.lisp(
            "(mapconcat #'identity (process-command (jsonrpc--process (eglot-current-server))) (string 32))"
        )
