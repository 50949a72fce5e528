"""Every line of `/context`, as a person types it in a real Neovim and in the terminal, on the same conversation.

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

from support.every_line import ENOUGH_S, STEPS, Harbour, Step, conversation, flowing, harbour
from support.neovim import NONE_FOUND, Neovim, installed, running
from ullage.contexts.commands.lines import EXECUTABLE, EXECUTED_AS, LINES

PROMPT = r"(?:^|\n)(?:\x1b\[\?2004h)?> $"
_STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_DEBRIS = re.compile(r"\\[^\s]|\*\*|`/|\| ---")
"""What Markdown leaves behind where it is not read as such."""

by_step = pytest.mark.parametrize("number", range(len(STEPS)), ids=lambda i: f"{STEPS[i].name}-{STEPS[i].argument}")


@pytest.fixture(scope="module", params=[*installed(), "terminal"], ids=str)
def shown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each step has shown."""
    root = tmp_path_factory.mktemp("harbour")
    place = request.param
    shown = asyncio.run(_in_terminal(root) if place == "terminal" else _in_neovim(place, root))
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


def test_a_real_editor_is_there() -> None:
    if not installed():
        pytest.skip(NONE_FOUND)


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
