"""What stands for a tool result that was left out."""

from __future__ import annotations

from support.conversations import message
from ullage.conversation.masking import is_maskable, placeholder, with_placeholders


def test_a_placeholder_tells_the_tool_and_the_size() -> None:
    text = placeholder(message(0, "tool", "x" * 12345, name="read_file"))
    assert "read_file" in text
    assert "12,345 characters" in text


def test_a_result_without_a_name_is_some_tools() -> None:
    assert "a tool" in placeholder(message(0, "tool", "x" * 1000))


def test_only_a_result_that_is_longer_than_its_placeholder_is_maskable() -> None:
    assert is_maskable(message(0, "tool", "x" * 1000))
    assert not is_maskable(message(0, "tool", "ok"))
    assert not is_maskable(message(0, "user", "x" * 1000))


def test_nothing_but_the_content_of_what_is_masked_changes() -> None:
    result = message(1, "tool", "x" * 1000, tool_call_id="c", name="look")
    other = message(2, "tool", "y" * 1000, tool_call_id="d")
    shown = with_placeholders([message(0, "user"), result, other], {result.id})
    assert shown[1].content == placeholder(result)
    assert (shown[1].id, shown[1].tool_call_id, shown[1].name) == (result.id, "c", "look")
    assert (shown[0], shown[2]) == (message(0, "user"), other)


def test_without_masks_nothing_is_copied() -> None:
    messages = [message(0, "tool", "x" * 1000)]
    assert with_placeholders(messages, frozenset()) is messages
