"""The form in which a window is sent."""

from __future__ import annotations

from support.conversations import message, talk
from ullage.conversation.masking import placeholder
from ullage.conversation.messages import Message, ToolCall
from ullage.conversation.sending import (
    ASSISTANT_BEGAN,
    NO_RESULT,
    Conversation,
    Dialect,
    SentGroup,
    compose,
    extend,
    tail_of,
)

PLAIN = Dialect(accepts_system=True, disarm=lambda text: text)
NO_SYSTEM = Dialect(accepts_system=False, disarm=lambda text: text)


def sent(groups: tuple[SentGroup, ...]) -> list[tuple[str, str]]:
    return [(group.message.role, group.message.content) for group in groups]


def form(messages: list[Message], dialect: Dialect = PLAIN, **more: object) -> list[tuple[str, str]]:
    return sent(compose(Conversation(messages, **more), dialect))  # type: ignore[arg-type]


def test_alternating_turns_are_sent_as_they_are() -> None:
    assert form(talk("user", "assistant", "user")) == [
        ("user", "user 0"),
        ("assistant", "assistant 1"),
        ("user", "user 2"),
    ]


def test_equal_roles_are_merged() -> None:
    assert form(talk("user", "user", "assistant", "assistant")) == [
        ("user", "user 0\n\nuser 1"),
        ("assistant", "assistant 2\n\nassistant 3"),
    ]


def test_the_first_turn_is_the_users() -> None:
    assert form(talk("assistant", "user")) == [
        ("user", ASSISTANT_BEGAN),
        ("assistant", "assistant 0"),
        ("user", "user 1"),
    ]


def test_all_system_text_leads_in_one_message() -> None:
    messages = talk("user", "system", "assistant")
    assert form(messages, system_prompt="You are kind.")[0] == ("system", "You are kind.\n\nsystem 1")


def test_a_summary_follows_the_system_prompt_under_its_heading() -> None:
    messages = [message(0, "system", "They met.", summary_of=("a", "b")), message(1, "user")]
    [(role, content), _] = form(messages, system_prompt="Be brief.")
    assert role == "system"
    assert content == "Be brief.\n\nSummary of the earlier conversation:\n\nThey met."


def test_carried_pins_lead_with_their_roles() -> None:
    pin = message(7, "user", "Never use tabs.")
    groups = compose(Conversation([pin, *talk("user")], carried={pin.id}), PLAIN)
    assert groups[0].message.content == "Pinned from earlier in this conversation:\n\n[user] Never use tabs."
    assert pin.id in groups[0].ids


def test_where_system_is_refused_it_goes_into_the_first_user_message() -> None:
    assert form(talk("user", "assistant"), NO_SYSTEM, system_prompt="Be brief.") == [
        ("user", "Be brief.\n\nuser 0"),
        ("assistant", "assistant 1"),
    ]


def test_a_system_prompt_alone_is_a_user_message_where_system_is_refused() -> None:
    assert form([], NO_SYSTEM, system_prompt="Be brief.") == [("user", "Be brief.")]


def test_a_call_without_a_result_gets_one_that_says_so() -> None:
    call = message(1, "assistant", "", tool_calls=(ToolCall("c", "look", "{}"),))
    groups = form([message(0, "user"), call, message(2, "user")])
    assert groups[2] == ("tool", NO_RESULT)


def test_a_call_at_the_end_waits_for_its_result() -> None:
    call = message(1, "assistant", "", tool_calls=(ToolCall("c", "look", "{}"),))
    assert [role for role, _ in form([message(0, "user"), call])] == ["user", "assistant"]


def test_a_result_without_a_call_becomes_user_text() -> None:
    orphan = message(1, "tool", "42", tool_call_id="c", name="look")
    assert form([message(0, "user", "Look."), orphan]) == [("user", "Look.\n\nResult of look:\n42")]


def test_words_and_calls_of_the_assistant_are_one_message() -> None:
    call = message(2, "assistant", "Looking.", tool_calls=(ToolCall("c", "look", "{}"),))
    groups = compose(Conversation([*talk("user", "assistant"), call]), PLAIN)
    assert groups[-1].message.content == "assistant 1\n\nLooking."
    assert groups[-1].message.tool_calls == call.tool_calls


def test_reasoning_is_sent_again_only_inside_a_tool_loop() -> None:
    call = message(1, "assistant", "", tool_calls=(ToolCall("c", "look", "{}"),), reasoning="Let me see.")
    result = message(2, "tool", "42", tool_call_id="c")
    inside = compose(Conversation([message(0, "user"), call, result]), PLAIN)
    outside = compose(Conversation([message(0, "user"), call, result, message(3, "user")]), PLAIN)
    assert inside[1].message.reasoning == "Let me see."
    assert outside[1].message.reasoning is None


def test_every_content_is_disarmed() -> None:
    loud = Dialect(accepts_system=True, disarm=str.upper)
    call = message(1, "assistant", "b", tool_calls=(ToolCall("c", "look", '{"x": "y"}'),))
    messages = [message(0, "user", "a"), call, message(2, "tool", "c", tool_call_id="c")]
    groups = compose(Conversation(messages, system_prompt="p"), loud)
    assert sent(groups) == [("system", "P"), ("user", "A"), ("assistant", "B"), ("tool", "C")]
    assert groups[2].message.tool_calls == (ToolCall("c", "LOOK", '{"X": "Y"}'),)


def test_extending_declines_what_would_change_the_beginning() -> None:
    tail = tail_of(compose(Conversation(talk("user")), PLAIN))
    assert extend(tail, message(1, "system"), PLAIN) is None
    assert extend(tail_of(()), message(0, "user"), PLAIN) is None


def test_a_tail_is_carried_on_without_the_whole() -> None:
    messages = talk("user", "assistant", "user")
    tail = tail_of(compose(Conversation(messages), PLAIN))
    assert [group.message.content for group in tail.groups] == ["user 2"]
    extended = extend(tail, message(3, "user", "And?"), PLAIN)
    assert extended is not None
    assert (extended.groups[-1].message.content, extended.count) == ("user 2\n\nAnd?", 3)


def test_a_masked_result_is_sent_as_its_placeholder() -> None:
    call = message(1, "assistant", "", tool_calls=(ToolCall("c", "look", "{}"),))
    result = message(2, "tool", "x" * 1000, tool_call_id="c", name="look")
    groups = compose(Conversation([message(0, "user"), call, result], masked={result.id}), PLAIN)
    assert groups[2].message.content == placeholder(result)
    assert (groups[2].ids, groups[2].message.tool_call_id) == ((result.id,), "c")


def test_a_masked_result_without_a_call_is_told_as_its_placeholder() -> None:
    orphan = message(1, "tool", "x" * 1000, tool_call_id="c", name="look")
    assert form([message(0, "user", "Look."), orphan], masked={orphan.id}) == [
        ("user", f"Look.\n\nResult of look:\n{placeholder(orphan)}")
    ]


def test_a_masked_result_that_is_carried_is_told_as_its_placeholder() -> None:
    pin = message(1, "tool", "x" * 1000, tool_call_id="c", name="look")
    leading = form([pin, message(2, "user")], carried={pin.id}, masked={pin.id})[0][1]
    assert leading.endswith(f"[tool] {placeholder(pin)}")


def test_only_tool_results_are_masked() -> None:
    [question] = talk("user")
    assert form([question], masked={question.id}) == [("user", "user 0")]
