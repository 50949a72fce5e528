"""The lines that begin with a slash."""

from __future__ import annotations

import pytest

from ullage.cli.actions import ACTIONS
from ullage.cli.slash import COMMANDS, Command, Mistyped, completions, help_rows, parse


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("/context", Command("status")),
        ("  /context   status ", Command("status")),
        ("/context switch night watch", Command("switch", "night watch")),
        ("/context pin", Command("pin")),
        ("/context pin 9K3XQF", Command("pin", "9K3XQF")),
        ("/quit", Command("quit")),
        ("/retry", Command("retry")),
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
        ("/context sail", "There is no command /context sail."),
        ("/sail", "There is no command /sail."),
        ("/context switch", "Say which one: /context switch <name>"),
        ("/context model  ", "Say which one: /context model <name>"),
    ],
)
def test_a_mistyped_command_says_why(line: str, reason: str) -> None:
    assert parse(line) == Mistyped(reason)


def test_every_command_has_an_action_but_quit() -> None:
    assert {*ACTIONS, "quit"} == set(COMMANDS)


def test_help_names_every_command() -> None:
    assert [line.split()[1] for line, _ in help_rows()] == list(COMMANDS)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("/context cl", ["/context clear"]),
        ("/context switch ni", ["/context switch night watch"]),
        ("/context model ", ["/context model ", "/context model tiny"]),
        ("/q", ["/quit"]),
        ("cl", []),
    ],
)
def test_tab_completes_whole_lines(text: str, lines: list[str]) -> None:
    assert completions(text, contexts=["main", "night watch"], models=["tiny"]) == lines
