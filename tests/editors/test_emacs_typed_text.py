"""What a person types into a chat in a real Emacs is neither lost nor said twice, whatever becomes of the server."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from support.editing import kill_server_below, server_that_waits
from support.emacs import IDLE, NONE_FOUND, SEND, Emacs, edited, installed, lisp, open_chat
from support.every_line import harbour
from support.stub_servers import Answer

pytestmark = pytest.mark.skipif(not installed(), reason=NONE_FOUND)
every_emacs = pytest.mark.parametrize("emacs", installed(), ids=str)

BROKEN = [sys.executable, "-c", "raise SystemExit(1)"]


@every_emacs
async def test_what_is_typed_until_a_server_is_there_again_stays(emacs: Emacs, tmp_path: Path) -> None:
    held = tmp_path / "held"
    async with (
        harbour(tmp_path) as place,
        edited(emacs, place.folder, place.environment, command=server_that_waits(held)) as editor,
    ):
        place.stub.answers.append(Answer(pieces=("Granite, ", "of course."), pause=asyncio.Event()))
        await open_chat(editor)
        await editor.keys("Which stone lasts?" + SEND + "And")
        await editor.shows("Granite,")
        held.touch()
        await kill_server_below(editor.pid)
        await editor.says("It is started again; what was said is kept")
        await editor.keys(" then")
        await editor.shows("And then")
        held.unlink()
        await editor.until(f"(and ullage--ready {IDLE})")
        kept = await editor.text()
        assert kept.endswith("\n\nAnd then")
        assert kept.count("Which stone lasts?") == kept.count("And then") == 1


@every_emacs
async def test_what_is_typed_stays_once_where_the_conversation_cannot_be_loaded(emacs: Emacs, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        await open_chat(editor)
        await editor.keys("And then")
        await editor.shows("And then")
        await editor.lisp(f"(progn (ullage-stop) (setq ullage-server-program '({' '.join(map(lisp, BROKEN))})) t)")
        await editor.lisp('(progn (ullage-chat "Which stone lasts?") t)')
        await editor.says("is left alone now")
        await editor.until(IDLE)
        assert (await editor.text()).endswith("You\n\nWhich stone lasts?\nAnd then")


@every_emacs
async def test_a_question_that_is_asked_while_a_chat_is_loaded_again_is_answered_once(
    emacs: Emacs, tmp_path: Path
) -> None:
    held = tmp_path / "held"
    async with (
        harbour(tmp_path) as place,
        edited(emacs, place.folder, place.environment, command=server_that_waits(held)) as editor,
    ):
        await open_chat(editor)
        held.touch()
        await editor.lisp("(progn (ullage-stop) (ullage-chat) t)")
        await editor.keys("Which stone lasts?" + SEND)
        await editor.until("(and ullage--answering t)")
        held.unlink()
        await editor.shows("I heard you.")
        await editor.until(IDLE)
        assert (await editor.text()).endswith("You\n\nWhich stone lasts?\n\nAnswer\n\nI heard you.\n\nYou\n\n")
        assert len(place.stub.asked) == 1


@every_emacs
async def test_a_question_of_a_program_leaves_what_was_typed(emacs: Emacs, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        await open_chat(editor)
        await editor.keys("And then")
        await editor.shows("And then")
        await editor.lisp('(progn (ullage-chat "Which stone lasts?") t)')
        await editor.shows("I heard you.")
        await editor.until(IDLE)
        said = await editor.text()
        assert said.endswith("You\n\nWhich stone lasts?\n\nAnswer\n\nI heard you.\n\nYou\n\nAnd then")


@every_emacs
async def test_a_question_stays_where_it_was_typed_while_there_is_no_server(emacs: Emacs, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        await open_chat(editor)
        before = await editor.text()
        await editor.lisp('(progn (ullage-stop) (setq ullage-server-program (list "ullage-nowhere")) t)')
        await editor.keys("Which stone lasts?" + SEND)
        await editor.says("There is no program")
        assert await editor.text() == before + "Which stone lasts?"
        assert await editor.lisp(f"(and {IDLE} t)") is True


@every_emacs
async def test_a_question_can_be_sent_again_where_the_server_that_was_to_answer_is_gone_for_good(
    emacs: Emacs, tmp_path: Path
) -> None:
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        place.stub.answers.append(Answer(pieces=("Granite, ", "of course."), pause=asyncio.Event()))
        await open_chat(editor)
        await editor.keys("Which stone lasts?" + SEND + "And then")
        await editor.shows("Granite,")
        await editor.lisp('(progn (setq ullage-server-program (list "ullage-nowhere")) t)')
        await kill_server_below(editor.pid)
        await editor.until(IDLE)
        assert (await editor.text()).endswith("You\n\nWhich stone lasts?\nAnd then")


@every_emacs
async def test_a_question_with_bytes_that_are_no_text_is_refused_and_stays(emacs: Emacs, tmp_path: Path) -> None:
    pasted = "(string-to-multibyte (unibyte-string 233))"
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        await open_chat(editor)
        await editor.keys("Which caf")
        await editor.shows("Which caf")
        await editor.lisp(f"(progn (insert {pasted}) t)")
        await editor.keys(SEND)
        await editor.says("This holds bytes that are no text, so it was not sent.")
        await editor.until(IDLE)
        assert await editor.lisp(f'(string-suffix-p (concat "You\n\nWhich caf" {pasted}) (buffer-string))') is True
        await editor.keys("\x7f" + "é?" + SEND)
        await editor.shows("Which café?\n\nAnswer\n\nI heard you.")


@every_emacs
async def test_a_question_of_a_program_waits_in_the_room_while_another_is_answered(
    emacs: Emacs, tmp_path: Path
) -> None:
    pause = asyncio.Event()
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        place.stub.answers.append(Answer(pieces=("Granite, ", "of course."), pause=pause))
        await open_chat(editor)
        await editor.keys("Which stone lasts?" + SEND)
        await editor.shows("Granite,")
        await editor.lisp('(progn (ullage-chat "And why?") t)')
        pause.set()
        await editor.until(IDLE)
        assert (await editor.text()).endswith("Granite, of course.\n\nYou\n\nAnd why?")


@every_emacs
async def test_of_two_questions_that_wait_for_the_first_load_one_is_asked_and_one_kept(
    emacs: Emacs, tmp_path: Path
) -> None:
    held = tmp_path / "held"
    held.touch()
    async with (
        harbour(tmp_path) as place,
        edited(emacs, place.folder, place.environment, command=server_that_waits(held)) as editor,
    ):
        await editor.lisp('(progn (ullage-chat "Which stone lasts?") (ullage-chat "And why?") t)')
        held.unlink()
        await editor.shows("I heard you.")
        await editor.until(IDLE)
        assert (await editor.text()).endswith("Which stone lasts?\n\nAnswer\n\nI heard you.\n\nYou\n\nAnd why?")
