"""How a foreign history is made to fit."""

from __future__ import annotations

from support.conversations import message
from ullage.conversation.fitting import Reduction, reduce, reductions, shorten
from ullage.conversation.masking import placeholder
from ullage.conversation.messages import ToolCall


def loop(start: int, result: str) -> list:
    call = ToolCall(f"c{start}", "look", "{}")
    return [
        message(start, "user"),
        message(start + 1, "assistant", "", tool_calls=(call,)),
        message(start + 2, "tool", result, tool_call_id=call.id, name="look"),
        message(start + 3, "assistant"),
    ]


OLD, NEW = loop(0, "x" * 1000), loop(10, "y" * 1000)
HISTORY = [message(99, "system"), *OLD, *NEW]


def test_the_mildest_step_masks_the_oldest_result() -> None:
    reduced = reduce(HISTORY, Reduction(masked=1))
    assert reduced[3].content == placeholder(OLD[2])
    assert "look" in reduced[3].content
    assert "1,000 characters" in reduced[3].content
    assert reduced[7] == NEW[2]


def test_dropping_takes_whole_turns_and_keeps_the_system_prompt() -> None:
    assert reduce(HISTORY, Reduction(masked=1, dropped=1)) == (HISTORY[0], *NEW)


def test_the_last_step_shortens_the_newest_results() -> None:
    reduced = reduce(HISTORY, reductions(HISTORY)[-1])
    assert len(reduced[3].content) < 400
    assert reduced[3].content.startswith("y")
    assert reduced[3].content.endswith("y")


def test_steps_get_harder_and_end_with_the_newest_turn_alone() -> None:
    steps = reductions(HISTORY)
    assert steps[0] == Reduction()
    lengths = [sum(len(m.content) for m in reduce(HISTORY, step)) for step in steps]
    assert lengths == sorted(lengths, reverse=True)
    assert {m.id for m in reduce(HISTORY, steps[-1])} == {m.id for m in (HISTORY[0], *NEW)}


def test_short_texts_are_left_alone() -> None:
    assert shorten("abc", 3) == "abc"


def test_a_result_is_not_masked_by_something_longer() -> None:
    history = [*loop(0, "ok"), *loop(10, "x" * 1000), *loop(20, "z")]
    assert [step.masked for step in reductions(history) if not step.dropped] == [0, 1]
    reduced = reduce(history, Reduction(masked=1))
    assert reduced[2].content == "ok"
    assert reduced[6].content == placeholder(history[6])


def test_what_was_dropped_does_not_count_as_masked() -> None:
    history = [*loop(0, "x" * 1000), *loop(10, "y" * 1000), *loop(20, "z" * 1000)]
    assert [(step.masked, step.dropped) for step in reductions(history)[:5]] == [(0, 0), (1, 0), (2, 0), (1, 1), (0, 2)]
    assert reduce(history, Reduction(masked=1, dropped=1))[2].content == placeholder(history[6])


def test_shortening_never_makes_a_text_longer() -> None:
    for length in range(300):
        assert len(shorten("x" * length, 200)) <= length
