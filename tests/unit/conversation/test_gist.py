"""What stands for a conversation in a line."""

from __future__ import annotations

import pytest

from support.conversations import message
from ullage.conversation.gist import LONGEST_GIST, gist


def test_it_is_the_last_question_and_no_answer_or_summary() -> None:
    said = [
        message(1, "user", "The first"),
        message(2, "user", "The last"),
        message(3, "user", "A summary", summary_of=("x",)),
        message(4, "user", "  "),
        message(5, "assistant", "An answer"),
    ]
    assert gist(said) == "The last"


@pytest.mark.parametrize("said", [[], [message(1, "assistant", "Hello")]])
def test_where_nothing_was_asked_it_is_empty(said: list[object]) -> None:
    assert gist(said) == ""  # type: ignore[arg-type]  # messages


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (" How\n\tdo  I? ", "How do I?"),
        ("red \x1b[31m\0text", "red [31m text"),
        ("x" * LONGEST_GIST, "x" * LONGEST_GIST),
        ("x" * (LONGEST_GIST + 1), "x" * (LONGEST_GIST - 1) + "…"),
        ("a" + " " * 10_000 + "b", "a…"),
        ("word " * 100_000, ("word " * 24)[:-1]),
    ],
)
def test_it_is_one_short_line_that_can_be_shown(text: str, line: str) -> None:
    found = gist([message(1, "user", text)])
    assert found.startswith(line.removesuffix("…"))
    assert found.endswith("…") == (line.endswith("…") or len(text) > 10_000)
    assert len(found) <= LONGEST_GIST
    assert found.isprintable()
