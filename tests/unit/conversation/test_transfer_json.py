"""Conversations as JSON: our own format, and what chat programs keep."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest

from support.conversations import message
from ullage.conversation.ids import encode
from ullage.conversation.messages import Message, ToolCall
from ullage.conversation.transfer import records
from ullage.conversation.transfer.document import read, write
from ullage.conversation.transfer.transcript import About, Fresh, Transcript
from ullage.errors import InvalidArgument, NotSupported, UllageError

NOW = 1_800_000_000_000
CALL = ToolCall("c1", "look", '{"at": "x"}')


def imported(value: Any) -> Transcript:
    numbers = count(1)
    document = value if isinstance(value, str) else json.dumps(value)
    return read(document, "json", Fresh(lambda: encode(2**41, next(numbers)), NOW))


def said(*messages: dict[str, Any]) -> tuple[Message, ...]:
    return imported(list(messages)).messages


def ours(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"format": "ullage-conversation", "version": 1, "messages": list(messages), **more}


def full() -> Transcript:
    """One of everything: a summary that stands first in the window, marks, a message that left."""
    asked, called = message(0, "user", "Where?"), message(1, "assistant", "Let me look.", tool_calls=(CALL,))
    result = message(2, "tool", "There.", tool_call_id="c1", name="look")
    thought = message(3, "assistant", "Over there.", reasoning="Hm.")
    summary = message(4, "system", "They looked.", summary_of=(asked.id,))
    messages = (asked, called, result, thought, summary)
    return Transcript(
        About("main", "reviewer", "llama3", "Be brief.", NOW),
        messages,
        (summary.id, called.id, result.id, thought.id),
        pinned=frozenset({called.id, result.id}),
        carried=frozenset({called.id}),
        masked=frozenset({result.id}),
    )


class TestOurFormat:
    def test_it_says_what_it_is_and_where_it_comes_from(self) -> None:
        document = json.loads(write(full(), "json"))
        messages = document.pop("messages")
        context = {"name": "main", "mode": "reviewer", "model": "llama3", "systemPrompt": "Be brief."}
        assert document == {"format": "ullage-conversation", "version": 1, "exportedAt": NOW, "context": context}
        assert len(messages) == 5

    def test_each_message_has_its_fields_and_its_marks(self) -> None:
        messages = json.loads(write(full(), "json"))["messages"]
        assert messages[0] == {"id": encode(0, 0), "role": "user", "createdAt": 0, "content": "Where?"}
        assert messages[1] == {
            "id": encode(1, 1),
            "role": "assistant",
            "createdAt": 1,
            "windowPosition": 1,
            "pinned": True,
            "carried": True,
            "content": "Let me look.",
            "toolCalls": [{"id": "c1", "name": "look", "arguments": '{"at": "x"}'}],
        }
        assert (messages[2]["name"], messages[2]["toolCallId"], messages[2]["masked"]) == ("look", "c1", True)
        assert messages[3]["reasoning"] == "Hm."
        assert (messages[4]["summaryOf"], messages[4]["windowPosition"]) == ([encode(0, 0)], 0)

    def test_it_comes_back_whole(self) -> None:
        assert imported(write(full(), "json")) == full()

    def test_a_message_stands_on_a_line_of_its_own(self) -> None:
        assert len(write(full(), "json").splitlines()) == 2 + len(full().messages)

    def test_an_empty_conversation_is_one_too(self) -> None:
        empty = Transcript(About("main"), (), ())
        assert imported(write(empty, "json")) == empty

    def test_a_newer_version_says_that_ullage_is_to_be_updated(self) -> None:
        with pytest.raises(NotSupported, match="Update Ullage"):
            imported({"format": "ullage-conversation", "version": 2, "messages": []})

    @pytest.mark.parametrize(
        ("value", "path"),
        [
            (ours() | {"version": "1"}, "version"),
            (ours() | {"version": 0}, "version"),
            (ours() | {"format": "other"}, "format"),
            (ours() | {"messages": None}, "messages"),
            (ours() | {"messages": {}}, "messages"),
            (ours(context=[1]), "context"),
            (ours(context={"systemPrompt": 1}), "context.systemPrompt"),
            (ours(exportedAt="now"), "exportedAt"),
            (ours({"role": "user", "content": "x", "windowPosition": -1}), "messages[0].windowPosition"),
            (ours({"role": "user", "content": "x", "pinned": 1}), "messages[0].pinned"),
        ],
    )
    def test_what_is_wrong_is_named_by_its_place(self, value: Any, path: str) -> None:
        with pytest.raises(InvalidArgument) as caught:
            imported(value)
        assert caught.value.path == path

    def test_marks_that_make_no_sense_are_dropped(self) -> None:
        left = {"role": "user", "content": "x", "pinned": True, "carried": True, "masked": True}
        assert imported(ours(left)).pinned == frozenset()
        there = imported(ours(left | {"pinned": False, "windowPosition": 0}))
        assert (there.carried, there.masked) == (frozenset(), frozenset())


class TestIds:
    def test_an_id_of_ours_is_kept(self) -> None:
        [only] = said({"id": encode(5, 5), "role": "user", "content": "x"})
        assert only.id == encode(5, 5)

    def test_other_ids_are_replaced_also_in_summaries(self) -> None:
        first, summary = said(
            {"id": "msg_1", "role": "user", "content": "x"},
            {"role": "system", "content": "s", "summaryOf": ["msg_1", encode(9, 9), "msg_7"]},
        )
        assert summary.summary_of == (first.id, encode(9, 9))

    def test_the_second_of_two_equal_ids_is_replaced(self) -> None:
        first, second, summary = said(
            {"id": encode(5, 5), "role": "user", "content": "x"},
            {"id": encode(5, 5), "role": "user", "content": "y"},
            {"role": "system", "content": "s", "summaryOf": [encode(5, 5)]},
        )
        assert first.id == encode(5, 5) != second.id
        assert summary.summary_of == (first.id,)


class TestChats:
    def test_a_list_and_an_object_with_messages_are_taken(self) -> None:
        chat = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
        expected = [("user", "Hello", NOW), ("assistant", "Hi", NOW)]
        for value in (chat, {"model": "gpt", "messages": chat}):
            transcript = imported(value)
            assert [(m.role, m.content, m.created_at) for m in transcript.messages] == expected
            assert transcript.window == tuple(m.id for m in transcript.messages)

    def test_tool_calls_of_other_programs_are_taken(self) -> None:
        function = {"name": "look", "arguments": '{"at": "x"}'}
        called, result = said(
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "There."},
        )
        assert (called.content, called.tool_calls) == ("", (CALL,))
        assert result.tool_call_id == "c1"

    def test_arguments_that_are_an_object_become_its_json(self) -> None:
        call = {"id": "c1", "function": {"name": "look", "arguments": {"at": "ä"}}}
        [called] = said({"role": "assistant", "content": "", "tool_calls": [call]})
        assert called.tool_calls == (ToolCall("c1", "look", '{"at": "ä"}'),)

    def test_parts_of_text_are_joined(self) -> None:
        parts = [{"type": "text", "text": "Hel"}, {"type": "input_text", "text": "lo"}, "!"]
        assert said({"role": "user", "content": parts})[0].content == "Hello!"

    @pytest.mark.parametrize("part", [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "input_audio"}, {}])
    def test_images_and_sounds_are_not_supported(self, part: dict[str, Any]) -> None:
        with pytest.raises(NotSupported, match=r"messages\[1\].content\[1\]") as caught:
            said({"role": "user", "content": "x"}, {"role": "user", "content": ["Look:", part]})
        assert caught.value.data["path"] == "messages[1].content[1]"

    def test_a_developer_is_read_as_system_and_reasoning_in_each_spelling(self) -> None:
        system, *answers = said(
            {"role": "developer", "content": "x"},
            *(
                {"role": "assistant", "content": "", key: "Hm."}
                for key in ("reasoning_content", "thinking", "reasoning")
            ),
        )
        assert system.role == "system"
        assert {m.reasoning for m in answers} == {"Hm."}

    def test_orphans_are_kept_as_they_are(self) -> None:
        messages = said(
            {"role": "tool", "tool_call_id": "nobody's", "content": "There."},
            {"role": "assistant", "content": "", "toolCalls": [{"id": "c1", "name": "look", "arguments": "{"}]},
            {"role": "user", "content": "Go on."},
        )
        assert [m.role for m in messages] == ["tool", "assistant", "user"]
        assert messages[1].tool_calls == (ToolCall("c1", "look", "{"),)

    @pytest.mark.parametrize(
        ("bad", "path"),
        [
            ("x", "messages[1]"),
            ({"content": "x"}, "messages[1].role"),
            ({"role": "function", "content": "x"}, "messages[1].role"),
            ({"role": 7, "content": "x"}, "messages[1].role"),
            ({"role": "user"}, "messages[1].content"),
            ({"role": "user", "content": None}, "messages[1].content"),
            ({"role": "user", "content": 7}, "messages[1].content"),
            ({"role": "user", "content": [7]}, "messages[1].content[0]"),
            ({"role": "user", "content": [{"type": "text"}]}, "messages[1].content[0].text"),
            ({"role": "user", "content": "\ud800"}, "messages[1].content"),
            ({"role": "user", "content": "x", "id": 7}, "messages[1].id"),
            ({"role": "user", "content": "x", "createdAt": 1.5}, "messages[1].createdAt"),
            ({"role": "user", "content": "x", "createdAt": True}, "messages[1].createdAt"),
            ({"role": "user", "content": "x", "createdAt": 2**63}, "messages[1].createdAt"),
            ({"role": "user", "content": "x", "name": ["\ud800"]}, "messages[1].name"),
            ({"role": "user", "content": "x", "summaryOf": "x"}, "messages[1].summaryOf"),
            ({"role": "user", "content": "x", "summaryOf": [1]}, "messages[1].summaryOf[0]"),
            ({"role": "tool", "content": "x"}, "messages[1].toolCallId"),
            ({"role": "tool", "content": "x", "tool_call_id": 1}, "messages[1].tool_call_id"),
            ({"role": "assistant", "content": "", "tool_calls": {}}, "messages[1].tool_calls"),
            ({"role": "assistant", "content": "", "tool_calls": [1]}, "messages[1].tool_calls[0]"),
            ({"role": "assistant", "content": "", "tool_calls": [{"id": "c"}]}, "messages[1].tool_calls[0].name"),
            (
                {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "function": {"name": "x"}}]},
                "messages[1].tool_calls[0].function.arguments",
            ),
            ({"role": "assistant", "content": "", "tool_calls": [{"function": {}}]}, "messages[1].tool_calls[0].id"),
            (
                {"role": "user", "content": "", "toolCalls": [{"id": "c", "name": "x", "arguments": ""}]},
                "messages[1].toolCalls",
            ),
        ],
    )
    def test_what_is_wrong_is_named_by_its_place(self, bad: Any, path: str) -> None:
        with pytest.raises(InvalidArgument) as caught:
            imported([{"role": "user", "content": "fine"}, bad])
        assert caught.value.path == path
        assert path in caught.value.message


class TestWhatIsNoConversation:
    @pytest.mark.parametrize("text", ["", "hello", "{", '{"messages": [1', "'", "[1,]", "\ufeff"])
    def test_no_json_says_so_and_where(self, text: str) -> None:
        with pytest.raises(InvalidArgument, match="not valid JSON"):
            imported(text)

    @pytest.mark.parametrize("text", ["null", "1", '"text"', "{}", '{"conversations": []}'])
    def test_other_json_says_what_is_expected(self, text: str) -> None:
        with pytest.raises(InvalidArgument, match="list of messages"):
            imported(text)

    @pytest.mark.parametrize("text", ["[]", '{"messages": []}'])
    def test_no_messages_at_all_says_what_is_expected(self, text: str) -> None:
        with pytest.raises(InvalidArgument, match="no messages"):
            imported(text)

    @pytest.mark.parametrize(
        "text", ["[" * 100_000, '{"messages": ' * 5_000, "[NaN]", "[Infinity]", f"[{'9' * 5000}]", "[-Infinity]"]
    )
    def test_hostile_json_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidArgument):
            imported(text)

    def test_arguments_that_nest_deep_are_refused_or_taken_but_never_crash(self) -> None:
        for depth in range(900, 1000):
            nested = '{"a": ' * depth + "1" + "}" * depth
            text = (
                '[{"role": "assistant", "content": "", "tool_calls": [{"id": "c", "name": "x", "arguments": '
                f"{nested}}}]}}]"
            )
            try:
                imported(text)
            except UllageError as error:
                assert "too deep" in error.message

    @pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "9" * 5000])
    def test_arguments_with_numbers_that_json_does_not_have_are_refused(self, number: str) -> None:
        call = f'{{"id": "c", "name": "x", "arguments": {{"n": {number}}}}}'
        with pytest.raises(InvalidArgument, match="number"):
            imported(f'[{{"role": "assistant", "content": "", "toolCalls": [{call}]}}]')

    def test_nothing_of_the_text_stands_in_the_error(self) -> None:
        with pytest.raises(InvalidArgument) as caught:
            imported('[{"role": "xyzzy", "content": "plugh"}]')
        assert "xyzzy" not in caught.value.message
        assert "plugh" not in caught.value.message


class TestBounds:
    @pytest.fixture(autouse=True)
    def little_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(records, "LARGEST_TEXT", 10)
        monkeypatch.setattr(records, "MOST_MESSAGES", 3)
        monkeypatch.setattr(records, "MOST_CALLS", 3)

    @pytest.mark.parametrize(
        ("bad", "path"),
        [
            ({"role": "user", "content": "x" * 11}, "messages[0].content"),
            ({"role": "user", "content": ["x" * 6] * 2}, "messages[0].content"),
            ({"role": "user", "content": "x", "summaryOf": ["a"] * 4}, "messages[0].summaryOf"),
            (
                {"role": "assistant", "content": "", "toolCalls": [{"id": "c", "name": "x", "arguments": ""}] * 4},
                "messages[0].toolCalls",
            ),
        ],
    )
    def test_what_is_too_large_is_named_by_its_place(self, bad: dict[str, Any], path: str) -> None:
        with pytest.raises(InvalidArgument) as caught:
            said(bad)
        assert caught.value.path == path

    def test_too_many_messages_are_to_be_imported_in_parts(self) -> None:
        with pytest.raises(InvalidArgument, match="in parts") as caught:
            said(*[{"role": "user", "content": "x"}] * 4)
        assert caught.value.path == "messages"

    def test_what_just_fits_is_taken(self) -> None:
        assert len(said(*[{"role": "user", "content": "x" * 10}] * 3)) == 3
