"""Questions to the person before a real Emacs: completed, left with C-g, or asked in the middle of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.emacs import IDLE, NONE_FOUND, SEND, Emacs, edited, installed, open_chat, server_there
from support.every_line import harbour
from support.ullage_server import ullage

pytestmark = pytest.mark.skipif(not installed(), reason=NONE_FOUND)
every_emacs = pytest.mark.parametrize("emacs", installed(), ids=str)

QUIT = "\x07"


@every_emacs
async def test_a_conversation_is_left_to_another_editor_with_c_g(emacs: Emacs, tmp_path: Path) -> None:
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
        await editor.keys(QUIT)
        await editor.until(f"(and (not (minibufferp)) {IDLE})")
        assert (await editor.text()).endswith("\n\nMy turn.")


@every_emacs
async def test_a_question_of_the_server_is_answered_in_the_middle_of_another_prompt(
    emacs: Emacs, tmp_path: Path
) -> None:
    asked = """'(:message "Memory was nearly used up." :actions [(:title "Carry on") (:title "Restore")])"""
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        await server_there(editor)
        await editor.keys("\x1bx")
        await editor.until("(minibufferp)")
        await editor.keys("ullage-sta")
        await editor.lisp("(progn (defvar answers nil) t)")
        await editor.lisp(
            f"(progn (run-at-time 0 nil #'ullage--decide {asked} (lambda (reply) (push reply answers))) t)"
        )
        await editor.until('(or answers (string-prefix-p "Memory" (or (minibuffer-prompt) "")))')
        await editor.keys("Carry on\r")
        await editor.until("answers")
        assert await editor.lisp("(plist-get (car answers) :title)") == "Carry on"
        assert await editor.lisp("(minibuffer-contents)") == "ullage-sta"
        await editor.keys(QUIT)


@every_emacs
async def test_a_line_is_completed_with_what_the_person_s_own_conversation_has(emacs: Emacs, tmp_path: Path) -> None:
    async with harbour(tmp_path) as place, edited(emacs, place.folder, place.environment) as editor:
        await server_there(editor)
        await editor.command("ullage-switch\nnotes")
        await editor.says("Now in notes")
        await open_chat(editor)
        await editor.command("ullage-snapshot\nof the notes")
        await editor.says("Kept as")
        await editor.lisp(
            "(progn (remhash ullage--entered ullage--contexts) (ullage--open ullage--entered #'ignore) t)"
        )
        await editor.until("(gethash ullage--entered ullage--contexts)")
        assert await editor.lisp("(equal ullage--context (gethash ullage--entered ullage--contexts))") is None
        await editor.command("ullage-command\nrestore \t")
        await editor.says("Restored:")
