"""The lines that a person types: how they are read and completed."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ullage.contexts.commands.lines import (
    EXECUTABLE,
    LINES,
    Command,
    command_of,
    completions,
    format_of,
    parse,
    size_of,
    strategy_of,
    switch_of,
)
from ullage.errors import InvalidArgument

PROTOCOL = "size auto snapshot restore list clear compress stats undo switch models memory help"


def test_every_line_of_the_protocol_is_there() -> None:
    assert set(PROTOCOL.split()) <= {line.name for line in LINES}


def test_no_name_is_there_twice() -> None:
    assert len({line.name for line in LINES}) == len(LINES)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("/context", Command("status")),
        ("", Command("status")),
        ("  /context   status ", Command("status")),
        ("/context size 8192", Command("size", "8192")),
        ("size 8192", Command("size", "8192")),
        ("/size 8192", Command("size", "8192")),
        ("/Context Size\t8192", Command("size", "8192")),
        ("/context switch night  watch", Command("switch", "night  watch")),
        ("/context snapshot before the storm", Command("snapshot", "before the storm")),
        ("/context search lighthouse", Command("search", "lighthouse")),
    ],
)
def test_a_line_is_read(line: str, command: Command) -> None:
    assert parse(line) == command


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("/context siez 8k", "There is no such command; the nearest is `/context size [tokens]`."),
        ("/context xyzzy", "There is no such command. `/context help` lists them."),
        ("/context forget", "Something is missing: `/context forget <id>`."),
        ("/context search   ", "Something is missing: `/context search <words>`."),
        ("/context clear everything", "Nothing follows `/context clear`."),
    ],
)
def test_a_line_that_can_not_be_read_says_why(line: str, sentence: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        parse(line)
    assert refusal.value.message.startswith(sentence)
    assert refusal.value.path == "line"


def test_a_mistake_quotes_nothing_of_the_line() -> None:
    with pytest.raises(InvalidArgument) as refusal:
        parse("/context hunter2 is my password")
    assert "hunter2" not in refusal.value.message


def test_a_word_without_end_is_answered_at_once() -> None:
    line = "/context " + "s" * 10**7
    began = time.process_time()
    with pytest.raises(InvalidArgument):
        parse(line)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("1", 1),
        ("8192", 8192),
        ("8,192", 8192),
        ("1,048,576", 2**20),
        ("8k", 8192),
        ("16K", 16_384),
        ("1.5k", 1536),
        ("1m", 2**20),
        ("8192 tokens", 8192),
        ("8 k", 8192),
        ("2147483647", 2**31 - 1),
    ],
)
def test_a_size_is_read(text: str, tokens: int) -> None:
    assert size_of(text) == tokens


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "-5",
        "8.192",
        "8,19",
        "81,92",
        "k",
        "8kk",
        "8q",
        "1e4",
        "0x10",
        "nan",
        "inf",
        "٨١٩٢",
        "2147483648",
        "9" * 99,
    ],
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="Give the size in tokens, such as 8192"):
        size_of(text)


@pytest.mark.parametrize(("word", "on"), [("on", True), ("ON", True), ("yes", True), ("off", False), ("false", False)])
def test_on_and_off_are_read(word: str, on: bool) -> None:
    assert switch_of(word) is on


def test_what_is_neither_on_nor_off_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="Say on or off"):
        switch_of("maybe")


def test_a_strategy_is_one_of_three_or_that_of_the_settings() -> None:
    assert (strategy_of("Truncate"), strategy_of("")) == ("truncate", None)
    with pytest.raises(InvalidArgument, match="truncate, summarize, hybrid"):
        strategy_of("shred")


def test_a_format_is_one_of_two() -> None:
    assert (format_of("JSON"), format_of("")) == ("json", "markdown")
    with pytest.raises(InvalidArgument, match="markdown or json"):
        format_of("pdf")


class TestExecuting:
    def test_every_line_has_its_command(self) -> None:
        assert [f"ullage.server.{line.name}" for line in LINES] == list(EXECUTABLE)

    @pytest.mark.parametrize(
        ("arguments", "command", "context_id"),
        [
            (None, Command("size"), None),
            ([], Command("size"), None),
            ([None], Command("size"), None),
            (["8k"], Command("size", "8k"), None),
            ([8192], Command("size", "8192"), None),
            ([{}], Command("size"), None),
            ([{"argument": 8192}], Command("size", "8192"), None),
            ([{"contextId": "C", "argument": "8k"}], Command("size", "8k"), "C"),
            ([{"contextId": "C", "line": "/context size 8k"}], Command("size", "8k"), "C"),
            ([{"contextId": None, "argument": None}], Command("size"), None),
        ],
    )
    def test_arguments_are_read(self, arguments: Any, command: Command, context_id: str | None) -> None:
        assert command_of("ullage.server.size", arguments) == (command, context_id)

    @pytest.mark.parametrize(
        "arguments",
        [
            ["8k", "16k"],
            [["8k"]],
            [8.5],
            [{"argument": ["8k"]}],
            [{"argument": "8k", "line": "size 8k"}],
            [{"line": 8}],
            [{"contextId": 5}],
            [{"line": "/context clear"}],
        ],
    )
    def test_other_arguments_are_refused(self, arguments: Any) -> None:
        with pytest.raises(InvalidArgument) as refusal:
            command_of("ullage.server.size", arguments)
        assert refusal.value.path == "arguments"

    @pytest.mark.parametrize("name", ["ullage.server.siez", "ullage.size", "size", ""])
    def test_an_unknown_command_is_refused(self, name: str) -> None:
        with pytest.raises(InvalidArgument) as refusal:
            command_of(name, [])
        assert refusal.value.path == "command"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("/context cl", ["/context clear"]),
        ("/context f", ["/context forget "]),
        ("/context switch ni", ["/context switch night watch"]),
        ("/context switch", ["/context switch"]),
        ("/context model ", ["/context model tiny"]),
        ("/context restore ", ["/context restore 9K3XQF"]),
        ("/context mode p", ["/context mode pirate"]),
        ("/context compress h", ["/context compress hybrid"]),
        ("/context auto o", ["/context auto on", "/context auto off"]),
        ("/context clear ", []),
        ("cl", []),
        ("", []),
    ],
)
def test_tab_completes_whole_lines(text: str, lines: list[str]) -> None:
    found = completions(text, contexts=["main", "night watch"], models=["tiny"], snapshots=["9K3XQF"], modes=["pirate"])
    assert found == lines
