"""Every line of `/context`, as a person types it in real editors and in the terminal, on the same conversation.

`pytest -s` prints what each shows.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pexpect
import pytest

from support import emacs, neovim
from support.emacs import Emacs, lisp
from support.every_line import ENOUGH_S, STEPS, Harbour, Step, conversation, flowing, harbour
from support.neovim import Neovim, running
from ullage.contexts.commands.lines import EXECUTABLE, EXECUTED_AS, LINES

PROMPT = r"(?:^|\n)(?:\x1b\[\?2004h)?> $"
_STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_DEBRIS = re.compile(r"\\[^\s]|\*\*|`/|\| ---")
"""What Markdown leaves behind where it is not read as such."""

by_step = pytest.mark.parametrize("number", range(len(STEPS)), ids=lambda i: f"{STEPS[i].name}-{STEPS[i].argument}")


@pytest.fixture(scope="module", params=[*neovim.installed(), *emacs.installed(), "terminal"], ids=str)
def shown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each step has shown."""
    root = tmp_path_factory.mktemp("harbour")
    place = request.param
    if isinstance(place, Neovim):
        shown = asyncio.run(_in_neovim(place, root))
    elif isinstance(place, Emacs):
        shown = asyncio.run(_in_emacs(place, root))
    else:
        shown = asyncio.run(_in_terminal(root))
    for step, text in zip(STEPS, shown, strict=True):
        print(f"--- {place}: {step.line}\n{text}")
    return shown


async def _in_neovim(nvim: Neovim, root: Path) -> list[str]:
    lines = [{"name": step.name, "argument": step.argument} for step in STEPS]
    async with (
        harbour(root) as place,
        running(nvim, "every_command.lua", place.folder, place.environment, lines=lines) as editor,
    ):
        offered = await editor.report("offered")
        assert [EXECUTED_AS + name for name in offered] == list(EXECUTABLE)
        assert await editor.report("completed") == ["status", "stats"]
        shown = [await editor.report(step.name) for step in STEPS]
        assert await editor.ended() == 0
    return [text.strip() for text in shown]


async def _in_emacs(which: Emacs, root: Path) -> list[str]:
    async with harbour(root) as place, emacs.edited(which, place.folder, place.environment) as editor:
        await editor.until("ullage--ready")
        return [await _line_in_emacs(editor, step) for step in STEPS]


async def _line_in_emacs(editor: emacs.Edited, step: Step) -> str:
    """What one line has shown: a window of its own, or the last lines of the messages."""
    await editor.lisp('(progn (when (get-buffer "*ullage*") (kill-buffer "*ullage*")) t)')
    before = await editor.messages()
    await editor.lisp("(setq line-is-done nil)")
    await editor.lisp(
        f"(progn (ullage--run {lisp(step.name)} {lisp(step.argument)} (lambda () (setq line-is-done t))) t)"
    )
    await editor.until("line-is-done")
    window = await editor.lisp('(and (get-buffer "*ullage*") (with-current-buffer "*ullage*" (buffer-string)))')
    return str(window or (await editor.messages())[len(before) :]).strip()


async def _in_terminal(root: Path) -> list[str]:
    async with harbour(root) as place:
        return await asyncio.to_thread(_typed, place, STEPS)


def _typed(place: Harbour, steps: Sequence[Step]) -> list[str]:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "ullage", "chat"],
        env=place.environment,
        cwd=str(place.folder),
        encoding="utf-8",
        timeout=ENOUGH_S,
        dimensions=(50, 160),
    )
    try:
        child.expect(PROMPT)
        return [_answer(child, step) for step in steps]
    finally:
        child.close(force=True)


def _answer(child: pexpect.spawn[str], step: Step) -> str:
    child.sendline(step.line)
    child.expect(PROMPT)
    echo, _, answer = _STEERING.sub("", child.before or "").replace("\r", "").partition("\n")
    assert step.line in echo
    return "\n".join(line.rstrip() for line in answer.strip("\n").split("\n"))


def test_real_editors_are_there() -> None:
    missing = [each.NONE_FOUND for each in (neovim, emacs) if not each.installed()]
    if missing:
        pytest.skip(" ".join(missing))


def test_every_line_is_typed() -> None:
    assert {step.name for step in STEPS} == {line.name for line in LINES}


@by_step
def test_a_line_shows_what_it_did(shown: list[str], number: int) -> None:
    for pattern in STEPS[number].shows:
        assert re.search(pattern, flowing(shown[number])), f"{pattern}\n{shown[number]}"


def test_an_export_is_shown_as_it_is_to_be_copied(shown: list[str]) -> None:
    [text] = [text for step, text in zip(STEPS, shown, strict=True) if step.name == "export"]
    marks = [line for line in text.split("\n") if "<!-- ullage" in line][1:]  # before the first are an editor's words
    assert len(marks) > len(conversation())
    assert all(line.startswith("<!--") and line.endswith("-->") for line in marks)


@by_step
def test_no_markup_is_shown(shown: list[str], number: int) -> None:
    assert not _DEBRIS.search(shown[number]), shown[number]
