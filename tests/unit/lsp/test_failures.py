"""Exceptions become error objects, and log lines without their texts."""

from __future__ import annotations

import pytest

from ullage.errors import ContextBusy, InvalidArgument
from ullage.lsp.failures import INTERNAL, Failure, failure_of, whereabouts


def test_a_failure_for_a_person_keeps_its_sentence_and_its_data() -> None:
    failure = failure_of(ContextBusy("Wait for the answer.", reason="answering"))
    assert failure == Failure(-32803, "Wait for the answer.", {"kind": "contextBusy", "reason": "answering"})


def test_an_invalid_argument_names_its_path() -> None:
    assert failure_of(InvalidArgument("limit must be smaller.", "limit")) == Failure(
        -32602, "limit must be smaller.", {"path": "limit"}
    )


@pytest.mark.parametrize("error", [ValueError("/home/someone"), KeyError("secret"), OSError(5, "text", "/etc/x")])
def test_any_other_exception_tells_nothing(error: Exception) -> None:
    assert failure_of(error) is INTERNAL


def test_the_log_says_where_and_of_which_type_but_not_what() -> None:
    try:
        try:
            raise KeyError("a secret")
        except KeyError as cause:
            raise ValueError("another secret") from cause
    except ValueError as error:
        text = whereabouts(error)
    assert "secret" not in text
    assert text.startswith("ValueError at lsp/test_failures.py:")
    assert "<- KeyError at" in text
