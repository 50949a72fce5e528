"""What can be a message, as far as that can be told before anything else is known."""

from __future__ import annotations

import pytest

from ullage.contexts import drafts
from ullage.contexts.drafts import Draft, checked, checked_text
from ullage.conversation.messages import ToolCall
from ullage.errors import InvalidArgument


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "LARGEST_MESSAGE", 10)


LONG = "x" * 11


@pytest.mark.parametrize(
    ("draft", "path"),
    [
        (Draft("user", LONG), "messages[1].content"),
        (Draft("user", "x", name=LONG), "messages[1].name"),
        (Draft("tool", "x", tool_call_id=LONG), "messages[1].toolCallId"),
        (Draft("assistant", "", tool_calls=(ToolCall("1", "look", LONG),)), "messages[1].toolCalls[0].arguments"),
        (
            Draft("assistant", "", tool_calls=(ToolCall("1", "look", "{}"), ToolCall("2", LONG, "{}"))),
            "messages[1].toolCalls[1].name",
        ),
        (Draft("assistant", "", tool_calls=(ToolCall(LONG, "look", "{}"),)), "messages[1].toolCalls[0].id"),
    ],
)
def test_a_text_of_unreasonable_length_is_refused_by_its_path(draft: Draft, path: str) -> None:
    with pytest.raises(InvalidArgument, match="at most 10 characters") as caught:
        checked([Draft("user", "hello"), draft])
    assert caught.value.path == path


def test_the_longest_text_is_taken() -> None:
    checked([Draft("assistant", "x" * 10, tool_calls=(ToolCall("1" * 10, "n" * 10, "a" * 10),))])
    checked_text("x" * 10, "text")
