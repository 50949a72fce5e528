"""What is in the window, told by the log of operations."""

from __future__ import annotations

import pytest

from ullage.conversation.operations import OperationKind, WindowChange, in_window

CLEARED = WindowChange(removed=("a",), before=("a",))
BROUGHT = WindowChange(added=("a",))


def is_in_window(*log: tuple[OperationKind, WindowChange, bool]) -> bool:
    return in_window(["a"], log)["a"]


def test_what_nothing_tells_of_is_in_it() -> None:
    assert in_window(["a", "b"], []) == {"a": True, "b": True}


@pytest.mark.parametrize("undone", [True, False])
def test_what_a_clear_took_out_is_out_while_the_clear_stands(undone: bool) -> None:
    assert is_in_window(("clear", CLEARED, undone)) is undone


@pytest.mark.parametrize("undone", [True, False])
def test_what_an_operation_brought_is_in_while_that_stands(undone: bool) -> None:
    assert is_in_window(("restore", BROUGHT, undone)) is not undone


@pytest.mark.parametrize("kind", ["append", "chat"])
def test_words_that_are_taken_back_are_out_whatever_was_done_before(kind: OperationKind) -> None:
    """A chat turn brings the question, too, which may have been cleared and brought back before it was answered."""
    assert not is_in_window(("clear", CLEARED, True), (kind, BROUGHT, True))


def test_words_that_are_taken_back_are_in_where_a_restore_brought_them_again() -> None:
    assert is_in_window(("append", BROUGHT, True), ("restore", BROUGHT, False))


def test_a_chat_turn_that_stands_brings_no_question_back_that_was_taken_back() -> None:
    assert not is_in_window(("append", BROUGHT, True), ("chat", BROUGHT, False))


@pytest.mark.parametrize("cleared", [True, False])
@pytest.mark.parametrize("restored", [True, False])
def test_the_last_operation_that_stands_decides(cleared: bool, restored: bool) -> None:
    log = ("clear", CLEARED, not cleared), ("restore", BROUGHT, not restored)
    assert is_in_window(*log) is (restored or not cleared)
