"""What belongs together stays or leaves together."""

from __future__ import annotations

from support.conversations import message, talk
from ullage.conversation.messages import Message, ToolCall
from ullage.conversation.turns import (
    Turn,
    call_partners,
    is_pending,
    is_spoken,
    open_calls,
    rounds_of,
    turns_of,
    without_oldest_turns,
)


def calling(number: int, *ids: str) -> Message:
    return message(number, "assistant", "", tool_calls=tuple(ToolCall(id_, "look", "{}") for id_ in ids))


def ranges(messages: list[Message]) -> list[tuple[int, int]]:
    return [(turn.start, turn.end) for turn in turns_of(messages)]


def test_a_turn_begins_with_the_users_words() -> None:
    assert ranges(talk("user", "assistant", "user", "assistant")) == [(0, 2), (2, 4)]


def test_several_questions_in_a_row_are_one_turn() -> None:
    assert ranges(talk("user", "user", "assistant")) == [(0, 3)]


def test_tool_calls_and_results_stay_in_their_turn() -> None:
    messages = [message(0, "user"), calling(1, "a"), message(2, "tool", tool_call_id="a"), *talk("assistant")]
    assert ranges(messages) == [(0, 4)]


def test_a_late_result_keeps_its_call_in_the_turn() -> None:
    late = [message(0, "user"), calling(1, "a"), message(2, "user"), message(3, "tool", tool_call_id="a")]
    assert ranges([*late, message(4, "assistant"), message(5, "user")]) == [(0, 5), (5, 6)]


def test_no_messages_have_no_turns() -> None:
    assert ranges([]) == []


def test_what_stands_before_the_first_question_is_a_turn() -> None:
    assert ranges(talk("system", "assistant", "user")) == [(1, 2), (2, 3)]


def test_the_oldest_turns_leave_but_system_pins_and_summaries_stay() -> None:
    messages = [*talk("system", "user", "assistant", "user", "assistant"), message(5, "user")]
    kept = without_oldest_turns(messages, turns_of(messages), 2, {messages[2].id})
    assert [m.id for m in kept] == [messages[0].id, messages[2].id, messages[5].id]


def test_a_question_is_pending() -> None:
    assert is_pending(talk("user", "assistant", "user"))
    assert not is_pending(talk("user", "assistant"))
    assert not is_pending(talk("system"))


def test_a_carried_pin_is_not_pending() -> None:
    [pin] = talk("user")
    assert not is_pending([pin], {pin.id})


def test_results_are_pending_once_all_calls_have_one() -> None:
    messages = [message(0, "user"), calling(1, "a", "b"), message(2, "tool", tool_call_id="a")]
    assert open_calls(messages) == {"b"}
    assert not is_pending(messages)
    assert is_pending([*messages, message(3, "tool", tool_call_id="b")])


def test_partners_of_a_result_are_its_call_and_the_other_results() -> None:
    messages = [
        message(0, "user"),
        calling(1, "a", "b"),
        message(2, "tool", tool_call_id="a"),
        message(3, "tool", tool_call_id="b"),
    ]
    together = tuple(m.id for m in messages[1:])
    assert call_partners(messages, messages[2]) == together
    assert call_partners(messages, messages[1]) == together
    assert call_partners(messages, messages[0]) == (messages[0].id,)


def test_a_call_id_that_recurs_belongs_to_the_nearest_call() -> None:
    first = [calling(1, "0"), message(2, "tool", tool_call_id="0")]
    second = [calling(3, "0"), message(4, "tool", tool_call_id="0")]
    assert call_partners([*first, *second], second[1]) == tuple(m.id for m in second)


def test_a_turn_is_cut_before_each_of_the_assistants_messages() -> None:
    messages = [
        message(0, "user"),
        calling(1, "a", "b"),
        message(2, "tool", tool_call_id="a"),
        message(3, "tool", tool_call_id="b"),
        calling(4, "a"),
        message(5, "tool", tool_call_id="a"),
        message(6, "assistant"),
    ]
    assert rounds_of(messages, Turn(0, 7)) == [Turn(1, 4), Turn(4, 6), Turn(6, 7)]


def test_a_late_result_keeps_its_call_in_the_round() -> None:
    messages = [message(0, "user"), calling(1, "a"), message(2, "assistant"), message(3, "tool", tool_call_id="a")]
    assert rounds_of([*messages, message(4, "assistant")], Turn(0, 5)) == [Turn(1, 4), Turn(4, 5)]


def test_a_result_of_nobodys_call_begins_a_round_only_where_none_is() -> None:
    orphan = message(1, "tool", tool_call_id="gone")
    assert rounds_of([message(0, "user"), orphan, message(2, "assistant")], Turn(0, 3)) == [Turn(1, 2), Turn(2, 3)]
    assert rounds_of([message(0, "user"), message(1, "assistant"), orphan], Turn(0, 3)) == [Turn(1, 3)]


def test_a_question_alone_has_no_rounds() -> None:
    assert rounds_of(talk("user", "user"), Turn(0, 2)) == []


def test_what_the_leading_system_message_tells_is_not_spoken() -> None:
    [prompt, pin, words] = talk("system", "user", "user")
    assert [is_spoken(m, {pin.id}) for m in (prompt, pin, words)] == [False, False, True]
    assert not is_spoken(message(3, "user", summary_of=("x",)), ())
