"""Many messages of one role in a row, as notes and logs come, are sent as one."""

from __future__ import annotations

import time

import attrs
import pytest

from support.conversations import message, talk
from ullage.conversation.messages import Message, ToolCall
from ullage.conversation.sending import Conversation, Dialect, compose

DIALECT = Dialect(accepts_system=True, disarm=lambda text: text)
CALL = ToolCall("c1", "look", "{}")


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_a_run_is_one_message_with_every_word_in_order(count: int) -> None:
    said = talk(*["user"] * count)
    [group] = compose(Conversation(said), DIALECT)
    assert group.ids == tuple(m.id for m in said)
    assert group.message.content == "\n\n".join(m.content for m in said)


def test_one_without_words_leaves_no_gap() -> None:
    said = [message(0, "user"), message(1, "assistant", "Let me look."), *silent(2), message(3, "assistant", "So.")]
    groups = compose(Conversation(said), DIALECT)
    assert [group.message.content for group in groups] == ["user 0", "Let me look.\n\nSo."]


def silent(number: int) -> list[Message]:
    return [attrs.evolve(message(number, "assistant"), content="")]


def test_an_assistants_words_and_its_calls_are_one_and_what_follows_is_another() -> None:
    said = [
        message(0, "user"),
        message(1, "assistant", "Let me look."),
        message(2, "assistant", "Here.", tool_calls=(CALL,), reasoning="Hm."),
        message(3, "tool", "found", tool_call_id="c1", name="look"),
        message(4, "assistant", "There."),
    ]
    groups = compose(Conversation(said), DIALECT)
    assert [g.message.role for g in groups] == ["user", "assistant", "tool", "assistant"]
    assert groups[1].message.tool_calls == (CALL,)
    assert groups[1].message.reasoning == "Hm."
    assert groups[1].message.content == "Let me look.\n\nHere."


def test_a_long_run_costs_what_its_length_costs() -> None:
    """Sixteen times the length is far from 256 times the work."""

    def seconds(count: int) -> float:
        said, best = talk(*["user"] * count), float("inf")
        for _ in range(3):
            began = time.process_time()
            compose(Conversation(said), DIALECT)
            best = min(best, time.process_time() - began)
        return best

    assert seconds(64_000) < 80 * seconds(4_000)
