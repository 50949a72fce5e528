"""What counts as one entry."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ullage.cli.reading import LineEditor, unbroken


def typed(*lines: str) -> Callable[[str], str]:
    rest = iter(lines)

    def read(_: str) -> str:
        try:
            return next(rest)
        except StopIteration:
            raise EOFError from None

    return read


def test_a_line_is_an_entry() -> None:
    assert unbroken(typed("What is a quay?", "And a pier?")) == "What is a quay?"


def test_a_backslash_goes_on_in_the_next_line() -> None:
    assert unbroken(typed("What is\\", "a quay?")) == "What is\na quay?"


def test_an_entry_that_ends_in_the_middle_is_taken_as_it_is() -> None:
    assert unbroken(typed("What is\\")) == "What is"


def test_the_end_of_input_is_no_entry() -> None:
    with pytest.raises(EOFError):
        unbroken(typed())


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert unbroken(typed("quay\udcff")) == "quay?"


def test_completion_hands_out_one_line_after_the_other() -> None:
    editor = LineEditor(lambda text: [text + "a", text + "b"])
    assert [editor._completion("x", state) for state in range(3)] == ["xa", "xb", None]
