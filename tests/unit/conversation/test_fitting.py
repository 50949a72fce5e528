"""How a foreign history is made to fit."""

from __future__ import annotations

from support.conversations import message
from ullage.conversation.fitting import Reduction, lasting, reduce, reductions, shorten
from ullage.conversation.masking import placeholder
from ullage.conversation.messages import Message, ToolCall


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


def turns(count: int, characters: int = 100) -> list[Message]:
    return [message(99, "system"), *(each for n in range(count) for each in plain(n, characters))]


def plain(number: int, characters: int) -> list[Message]:
    return [message(2 * number, "user", "x" * characters), message(2 * number + 1, "assistant", "x" * characters)]


def test_what_is_dropped_stays_the_same_while_a_history_grows() -> None:
    room, dropped = 4000, []
    for count in range(21, 81):
        history = turns(count)
        steps = reductions(history)
        needed = next(n for n, s in enumerate(steps) if sum(len(m.content) for m in reduce(history, s)) <= room)
        step = steps[lasting(history, steps, needed, stride=1000)]
        assert step.dropped >= steps[needed].dropped
        dropped.append(step.dropped)
    assert len(set(dropped)) <= 1 + (80 - 20) * 200 // 1000
    assert dropped == sorted(dropped)


def test_what_is_masked_stays_the_same_while_a_history_grows() -> None:
    history = [each for n in range(8) for each in loop(n * 10, "x" * 400)]
    steps = reductions(history)
    masked = [steps[lasting(history, steps, needed, stride=1000)].masked for needed in range(1, 7)]
    assert masked == [3, 3, 3, 5, 5, 6]


def test_no_more_is_left_out_than_there_is() -> None:
    history = turns(3)
    steps = reductions(history)
    assert lasting(history, steps, 1, stride=10_000) == 1


def test_what_fits_and_what_is_shortened_are_left_alone() -> None:
    steps = reductions(HISTORY)
    assert lasting(HISTORY, steps, 0, stride=1) == 0
    assert lasting(HISTORY, steps, len(steps) - 1, stride=10_000) == len(steps) - 1
