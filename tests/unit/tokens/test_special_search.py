"""Special tokens found in text."""

from __future__ import annotations

import pytest

from ullage.tokens.special_search import SpecialSearch

IDS = {"<a>": 1, "<a>b": 2, "b<": 3, "\n\n": 4, "x": 5, "é>": 6}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("none", ["none"]),
        ("<a>", [1]),
        ("1<a>2", ["1", 1, "2"]),
        ("<a>b<", [2, "<"]),
        ("<ab<a>", ["<ab", 1]),
        ("\n\n\n", [4, "\n"]),
        ("xx1x", [5, 5, "1", 5]),
        ("é>é", [6, "é"]),
    ],
)
def test_the_longest_is_found_first_and_each_from_the_left(text: str, parts: list[str | int]) -> None:
    assert SpecialSearch(IDS).partition(text) == parts


def test_blanks_behind_a_swallowing_token_vanish_and_no_others() -> None:
    search = SpecialSearch({"<a>": 1, "<b>": 2}, {"<a>"})
    assert search.partition(" <a> \t\r\n\v\fx <b> y\u00a0<a>\u00a0<a> ") == [
        " ",
        1,
        "x ",
        2,
        " y\u00a0",
        1,
        "\u00a0",
        1,
    ]


def test_a_token_that_begins_with_a_swallowed_blank_is_lost() -> None:
    assert SpecialSearch({"<a>": 1, " b": 2}, {"<a>"}).partition("<a> b b") == [1, "b", 2]


def test_nothing_is_found_where_there_are_no_tokens() -> None:
    search = SpecialSearch({})
    assert search.partition("<a>") == ["<a>"]
    assert not search.begins("<a>")


@pytest.mark.parametrize(("text", "begins"), [("<a>x", True), ("<a", False), ("", False), ("x", True), ("é>", True)])
def test_a_beginning_is_known(text: str, begins: bool) -> None:
    assert SpecialSearch(IDS).begins(text) is begins
