"""How an answer is judged by the server's own figures."""

from __future__ import annotations

import pytest

from ullage.contexts.answering import was_cut


@pytest.mark.parametrize(
    ("sent", "reported", "exact", "cut"),
    [
        (9, 4, False, False),
        (9, 4, True, False),
        (1000, 500, False, True),
        (1000, 700, False, False),
        (1000, 940, True, False),
        (2000, 1900, True, False),
        (2000, 1899, True, True),
        (160, 96, False, False),
        (164, 98, False, True),
        (100, 5000, True, False),
    ],
)
def test_a_prompt_was_cut_where_a_clear_share_and_a_clear_number_are_missing(
    sent: int, reported: int, exact: bool, cut: bool
) -> None:
    assert was_cut(sent, reported, exact=exact) is cut
