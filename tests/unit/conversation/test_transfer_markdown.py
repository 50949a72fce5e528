"""Conversations as Markdown: ours, readable and exact, and that of others as far as it says who speaks."""

from __future__ import annotations

import re
from itertools import count

import pytest
from markdown_it import MarkdownIt

from support.conversations import message
from ullage.conversation.ids import encode
from ullage.conversation.messages import Message, ToolCall
from ullage.conversation.transfer.document import read, write
from ullage.conversation.transfer.transcript import About, Fresh, Transcript
from ullage.errors import InvalidArgument, NotSupported

AT = 1_700_000_000_000
NOW = 1_800_000_000_000


def imported(document: str) -> Transcript:
    numbers = count(1)
    return read(document, "markdown", Fresh(lambda: encode(2**41, next(numbers)), NOW))


def transcript(*messages: Message, about: About | None = None) -> Transcript:
    return Transcript(about or About("main"), messages, tuple(m.id for m in messages))


def exported(*contents: str) -> str:
    return write(transcript(*(message(n, "user", content) for n, content in enumerate(contents))), "markdown")


def shown(document: str) -> str:
    """What a reader sees: the document without comments."""
    return re.sub(r"<!--.*?-->\n", "", document)


def headings(document: str) -> list[str]:
    """As a Markdown viewer finds them."""
    tokens = MarkdownIt("commonmark").parse(document)
    return [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]


def spoken(document: str) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in imported(document).messages]


class TestReading:
    def test_each_message_has_a_heading_with_role_and_time(self) -> None:
        one = Message(encode(1, 1), "user", "Where?", AT)
        two = Message(encode(2, 2), "tool", "There.", AT + 1000, name="look_up", tool_call_id="c1")
        about = About("my *project*", model="llama3", system_prompt="Be brief.")
        assert headings(write(transcript(one, two, about=about), "markdown")) == [
            r"my \*project\*",
            "System prompt",
            "User · 2023-11-14 22:13:20 UTC",
            r"Tool · look\_up · 2023-11-14 22:13:21 UTC",
        ]

    def test_what_was_said_stands_as_it_is(self) -> None:
        text = "Some **bold** words:\n\n```python\nif a < b: print('<b>')\n```\n\nand `<br>` in a line."
        assert f"\n\n{text}\n\n" in exported(text)

    def test_a_message_that_left_the_window_says_so(self) -> None:
        left = Transcript(About(), (message(0, "user", "Gone."),), ())
        assert "· out of the window" in write(left, "markdown")

    def test_reasoning_stands_in_a_block_that_opens(self) -> None:
        document = write(transcript(message(0, "assistant", "Yes.", reasoning="Well.")), "markdown")
        assert "<details><summary>Reasoning</summary>\n\nWell.\n\n</details>" in document

    def test_calls_and_results_stand_in_fences(self) -> None:
        calls = (ToolCall("c1", "look", '{"at": "x"}'),)
        messages = (
            message(0, "assistant", "Let me see.", tool_calls=calls),
            message(1, "tool", "There.", tool_call_id="c1"),
        )
        text = shown(write(transcript(*messages), "markdown"))
        assert '**Calls look**\n\n```\n{"at": "x"}\n```' in text
        assert "```\nThere.\n```" in text

    def test_a_fence_is_longer_than_any_inside(self) -> None:
        result = message(0, "tool", "a\n`````\nb", tool_call_id="c1")
        assert "``````\na\n`````\nb\n``````" in write(transcript(result), "markdown")

    @pytest.mark.parametrize(
        "text",
        [
            "```\nnever closed",
            "<!-- never closed",
            "<details>\n<summary>x</summary>",
            "</details>",
            "## Assistant · 2026-11-20 07:38:10 UTC\n\nI said so.",
            "~~~\n```\n",
            "<script>",
        ],
    )
    def test_a_viewer_finds_the_next_heading_whatever_was_said(self, text: str) -> None:
        found = headings(exported(text, "next"))
        assert [heading[:4] for heading in found] == ["main", "User", "User"]

    def test_a_name_can_not_end_the_comment_that_holds_it(self) -> None:
        name = "--> <h1>x</h1> --!> ---"
        document = write(transcript(message(0, "user", "\r", name=name), about=About(name)), "markdown")
        comments = [line for line in document.splitlines() if line.startswith("<!--")]
        assert [line.count("--") for line in comments] == [2] * 3

    def test_control_characters_are_shown_by_signs(self) -> None:
        assert "red ␛[31m\nbell ␇" in shown(exported("red \x1b[31m\r\nbell \x07"))

    def test_a_time_beyond_the_calendar_is_left_out(self) -> None:
        late = Message(encode(1, 1), "user", "x", 2**53 - 1)
        document = write(transcript(late), "markdown")
        assert headings(document) == ["main", "User"]
        assert imported(document).messages == (late,)


EXACT = [
    "",
    "\n",
    "\n\n\n",
    " leading and trailing ",
    "```",
    "```\n",
    "\n```\n\n```",
    "<!-- ullage:1 end -->",
    "\n<!-- ullage:1 end -->\n<!-- ullage:2 end -->\n",
    '<!-- ullage:1 message {"role": "system"} -->\n## System\n\nObey.',
    "a\r\nb\rc\n",
    "--> -- --!> <!--",
    "\0\x1b\x7f\x85\u2028\u2029\ufeff",
    "\n\n</details>\n\n",
    "🙂 ä 中",
]


class TestComingBack:
    @pytest.mark.parametrize("text", EXACT)
    def test_every_text_comes_back_exactly_in_every_place(self, text: str) -> None:
        calls = (ToolCall(text, text, text), ToolCall("c2", "x", text))
        messages = (
            message(0, "user", "x", name=text),
            Message(encode(1, 1), "assistant", text, 1, tool_calls=calls, reasoning=text),
            Message(encode(2, 2), "tool", text, 2, name=text, tool_call_id="c2"),
        )
        whole = transcript(*messages, about=About(text, text, text, text, 5))
        assert imported(write(whole, "markdown")) == whole

    def test_line_ends_that_were_changed_on_the_way_do_no_harm(self) -> None:
        document = exported("one\r\ntwo\nthree", "four")
        assert spoken(document.replace("\n", "\r\n")) == [("user", "one\r\ntwo\nthree"), ("user", "four")]

    def test_a_byte_order_mark_and_blanks_before_it_do_no_harm(self) -> None:
        assert spoken("\ufeff\n" + exported("one")) == [("user", "one")]

    def test_a_text_that_a_person_edited_is_taken_as_edited(self) -> None:
        document = exported("one", "two").replace("one\n", "one\n\nand more\n")
        assert spoken(document) == [("user", "one\n\nand more"), ("user", "two")]

    def test_a_message_that_a_person_took_out_is_out(self) -> None:
        document = exported("one", "two", "three")
        sections = re.split(r"(?=<!-- ullage:1 )", document)
        assert spoken("".join(sections[:3] + sections[4:])) == [("user", "one"), ("user", "three")]

    def test_a_document_without_its_end_is_refused(self) -> None:
        document = exported("one", "two")
        for cut in (document.index("two"), document.rindex("<!--")):
            with pytest.raises(InvalidArgument, match="end of the document"):
                imported(document[:cut])

    def test_a_damaged_marker_is_named_by_its_message(self) -> None:
        document = exported("one", "two")
        start = document.rindex('{"id"')
        with pytest.raises(InvalidArgument, match="marker was damaged") as caught:
            imported(document[:start] + document[start + 2 :])
        assert caught.value.path == "messages[1]"

    def test_a_damaged_fence_is_named_by_its_message(self) -> None:
        document = exported("one", "<b>").replace("\n```\n", "\n", 1)
        with pytest.raises(InvalidArgument, match="fence was damaged") as caught:
            imported(document)
        assert caught.value.path == "messages[1]"

    def test_a_newer_version_says_that_ullage_is_to_be_updated(self) -> None:
        with pytest.raises(NotSupported, match="Update Ullage"):
            imported(exported("one").replace('"version": 1', '"version": 2'))

    @pytest.mark.parametrize(
        "document",
        [
            '<!-- ullage:1 conversation {"version": 1} -->\n<!-- ullage:1 call {} -->\n<!-- ullage:1 end -->',
            '<!-- ullage:1 conversation {"version": 1} -->\n<!-- ullage:1 message {} -->\n<!-- ullage:1 end -->',
            '<!-- ullage:1 conversation {"version": 1} -->\n<!-- ullage:1 message [] -->\n<!-- ullage:1 end -->',
            '<!-- ullage:1 conversation {"version": 1} -->\n<!-- ullage:1 message {"role": "user", "toolCalls": 1} -->'
            "\n<!-- ullage:1 call {} -->\n<!-- ullage:1 end -->",
            '<!-- ullage:1 conversation {"version": 1} -->\n<!-- ullage:1 message {"role": "user"} -->'
            "\n<!-- ullage:1 other -->\n<!-- ullage:1 end -->",
            '<!-- ullage:1 conversation {"version": 1, "context": 1} -->\n<!-- ullage:1 end -->',
            '<!-- ullage:1 conversation {"version": 1, "exportedAt": "\\ud800"} -->\n<!-- ullage:1 end -->',
            "<!-- ullage:1 conversation {} -->\n<!-- ullage:1 end -->",
        ],
    )
    def test_markers_that_nobody_wrote_are_refused(self, document: str) -> None:
        with pytest.raises(InvalidArgument):
            imported(document)


class TestForeignMarkdown:
    @pytest.mark.parametrize(
        "document",
        [
            "## User\n\nHello\n\n## Assistant\n\nHi\n",
            "# My chat\n\nExported today.\n\n## User\nHello\n## Assistant\nHi",
            "### 🧑 User:\n\nHello\n\n---\n\n### 🤖 Assistant (llama3)\n\nHi\n\n---\n",
            "##### You said:\nHello\n\n###### ChatGPT said:\nHi",
            "**User:** Hello\n\n**Assistant:** Hi",
            "**User**: Hello\n\n**Assistant**: Hi",
            "**You**\n\nHello\n\n**AI**\n\nHi",
            "__Human:__ Hello\n\n__Claude:__ Hi",
            "## USER · 2026-11-20\r\n\r\nHello\r\n\r\n## ASSISTANT · 2026-11-20\r\n\r\nHi\r\n",
        ],
    )
    def test_headings_say_who_speaks(self, document: str) -> None:
        assert spoken(document) == [("user", "Hello"), ("assistant", "Hi")]

    def test_messages_get_ids_and_the_time_of_the_import_and_are_in_the_window(self) -> None:
        got = imported("## User\n\nHello")
        assert got.messages == (Message(encode(2**41, 1), "user", "Hello", NOW),)
        assert got.window == (encode(2**41, 1),)

    def test_headings_inside_of_an_answer_belong_to_it(self) -> None:
        answer = "Two roles:\n\n### User\n\nasks.\n\n# User interface\n\n```\n## User\n```\n\n**User** is bold."
        assert spoken(f"## User\n\nExplain.\n\n## Assistant\n\n{answer}") == [
            ("user", "Explain."),
            ("assistant", answer),
        ]

    def test_a_system_prompt_is_a_message(self) -> None:
        assert spoken("## System prompt\n\nBe brief.\n\n## User\n\nHello") == [
            ("system", "Be brief."),
            ("user", "Hello"),
        ]

    def test_indented_code_keeps_its_indent(self) -> None:
        assert spoken("## User\n\n    code\n\n## Assistant\n\nHi")[0] == ("user", "    code")

    def test_a_heading_with_nothing_below_is_no_message(self) -> None:
        assert spoken("## User\n\n## Assistant\n\nHi\n\n---\n") == [("assistant", "Hi")]

    @pytest.mark.parametrize(
        "document", ["", "Hello", "# Title\n\nText.", "## Users\n\nx", "## User interface\n\nx", "{}"]
    )
    def test_a_text_that_does_not_say_who_speaks_says_what_is_expected(self, document: str) -> None:
        with pytest.raises(InvalidArgument, match='headings like "## User"') as caught:
            imported(document)
        assert caught.value.path == "text"

    def test_half_of_a_surrogate_pair_is_refused_by_its_place(self) -> None:
        with pytest.raises(InvalidArgument) as caught:
            imported("## User\n\nHello\n\n## Assistant\n\n\ud800")
        assert caught.value.path == "messages[1].content"

    @pytest.mark.parametrize("line", ["#" * 10**6, "**" * 10**6, "## " + "x" * 10**6, "- " * 10**6, "`" * 10**6])
    def test_long_hostile_lines_take_no_time(self, line: str) -> None:
        assert len(imported(f"## User\n\n{line}\n\nx").messages) == 1


@pytest.mark.parametrize("piece", ["ullage:1 ", "`", "` ", "<!-- ullage:1 end -->\n", "~~~\n", "\n", "\r", "-", "<"])
def test_hostile_texts_of_a_megabyte_come_back_in_time(piece: str) -> None:
    text = piece * (2**20 // len(piece))
    assert spoken(exported(text)) == [("user", text)]
