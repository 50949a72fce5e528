"""The lines that begin with a slash."""

from __future__ import annotations

import pytest

from ullage.cli.actions import ACTIONS
from ullage.cli.slash import OWN, Mistyped, Names, completions, help_rows, parse
from ullage.contexts.commands.lines import LINES, Command


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("/context", Command("status")),
        ("  /context   status ", Command("status")),
        ("/context switch night watch", Command("switch", "night watch")),
        ("/context pin 9K3XQF", Command("pin", "9K3XQF")),
        ("/quit", Command("quit")),
        ("/retry", Command("retry")),
        ("/context take-over", Command("take-over")),
        ("/context help", Command("help")),
    ],
)
def test_a_command_is_read(line: str, command: Command) -> None:
    assert parse(line) == command


@pytest.mark.parametrize("line", ["What is /context?", "/etc/hosts holds what?", "/ or //", "", "/usr is a folder"[5:]])
def test_what_is_no_command_is_said_to_the_model(line: str) -> None:
    assert parse(line) is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("/context sail", "There is no such command"),
        ("/sail", "There is no command /sail."),
        ("/context forget", "Something is missing: `/context forget <id>`."),
    ],
)
def test_a_mistyped_command_says_why(line: str, reason: str) -> None:
    mistyped = parse(line)
    assert isinstance(mistyped, Mistyped)
    assert mistyped.reason.startswith(reason)


def test_every_command_of_the_terminal_has_an_action_but_quit() -> None:
    assert {*ACTIONS, "quit"} == set(OWN)


def test_help_names_every_command_once() -> None:
    names = [line.split()[1] for line, _ in help_rows()]
    assert sorted(names) == sorted({line.name for line in LINES} | set(OWN))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("/context cl", ["/context clear"]),
        ("/context switch ni", ["/context switch night watch"]),
        ("/context ta", ["/context take-over"]),
        ("/context h", ["/context history", "/context help"]),
        ("/q", ["/quit"]),
        ("cl", []),
        ("", []),
    ],
)
def test_tab_completes_whole_lines(text: str, lines: list[str]) -> None:
    assert completions(text, Names(contexts=["main", "night watch"])) == lines
