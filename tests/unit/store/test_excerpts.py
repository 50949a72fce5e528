"""The piece of a long message around the words that were searched for."""

from __future__ import annotations

import time

import pytest

from ullage.store.excerpts import LONGEST, PIECE, Excerpts
from ullage.store.wording import match_expression


def of(content: str, query: str) -> str | None:
    expression = match_expression(query)
    assert expression is not None
    with Excerpts(expression) as excerpts:
        return excerpts.of(content)


def filler(characters: int) -> str:
    return "and so on " * (characters // 10)


def test_it_is_where_all_the_words_stand_together() -> None:
    content = f"the needle. {filler(3 * PIECE)} a needle in the hay. {filler(3 * PIECE)} the hay."
    found = of(content, "hay needle")
    assert found is not None
    assert "a **needle** in the **hay**. and so on" in found
    assert (found[0], found[-1]) == ("…", "…")


def test_where_they_stand_apart_it_is_the_first_place_of_any() -> None:
    content = f"{filler(3 * PIECE)} a needle. {filler(3 * PIECE)} the hay."
    found = of(content, "hay needle")
    assert found is not None
    assert "a **needle**." in found
    assert "hay" not in found


@pytest.mark.parametrize("query", ["hay needle", '"needle in"', "needl* hay"])
def test_a_message_without_one_of_them_has_none(query: str) -> None:
    assert of(f"{filler(3 * PIECE)} a needle. {filler(3 * PIECE)}", query) is None


@pytest.mark.parametrize("blanks", [1, 10, PIECE, 3 * PIECE])
def test_a_phrase_is_found_wherever_it_stands(blanks: int) -> None:
    """Also where so much lies between its words that no piece holds both."""
    for before in range(PIECE - 40, PIECE + 40, 7):
        content = filler(10).ljust(before) + "needle" + " " * blanks + "hay " + filler(2 * PIECE)
        found = of(content, '"needle hay"')
        assert found is not None
        assert len(found) <= LONGEST + 10


@pytest.mark.parametrize("text", ["x" * (5 * PIECE), "漢" * (5 * PIECE), "é\x1f" * (2 * PIECE)])
def test_texts_without_blanks_are_cut_all_the_same(text: str) -> None:
    found = of(f"{text} needle {text}", "needle")
    assert found is not None
    assert "**needle**" in found
    assert len(found) <= LONGEST + 10


def test_the_end_of_a_message_has_no_dots_behind_it() -> None:
    found = of(filler(3 * PIECE) + "the last needle", "needle")
    assert found is not None
    assert found.endswith("the last **needle**")
    assert found.startswith("…")


def test_a_word_that_stands_all_over_costs_what_the_length_costs() -> None:
    """Sixteen times the length is far from 256 times the work."""

    def seconds(words: int) -> float:
        content, best = "error " * words, float("inf")
        for _ in range(3):
            began = time.process_time()
            assert of(content, "error") is not None
            best = min(best, time.process_time() - began)
        return best

    assert seconds(32_000) < 80 * seconds(2_000)
