"""Which files the tool calls of a conversation name."""

from __future__ import annotations

import json

import pytest

from support.conversations import message
from ullage.conversation.messages import Message, ToolCall
from ullage.conversation.summary import Sections, render
from ullage.conversation.touched_files import MOST_FILES, Files, files_of


def calling(name: str, arguments: object, number: int = 0) -> Message:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return message(number, "assistant", "", tool_calls=(ToolCall(f"c{number}", name, text),))


@pytest.mark.parametrize(
    "key", ["path", "file", "filePath", "file_path", "filename", "fileName", "uri", "absolute_path", "target_file"]
)
def test_a_path_is_known_by_its_key(key: str) -> None:
    assert files_of([calling("read_file", {key: "src/a.py", "limit": 10})]) == Files(read=("src/a.py",))


@pytest.mark.parametrize(
    "name", ["write_file", "edit", "createFile", "ApplyPatch", "multi_edit", "fs.delete", "str_replace"]
)
def test_a_tool_whose_name_says_so_edits(name: str) -> None:
    assert files_of([calling(name, {"path": "a.py"})]) == Files(edited=("a.py",))


@pytest.mark.parametrize("name", ["read_file", "view", "grep", "listing", "credits", ""])
def test_other_tools_read(name: str) -> None:
    assert files_of([calling(name, {"path": "a.py"})]) == Files(read=("a.py",))


def test_what_a_call_says_that_it_does_counts_more_than_the_tools_name() -> None:
    view, create = ({"command": command, "path": f"{command}.py"} for command in ("view", "create"))
    messages = [calling("text_editor_edit", view), calling("editor", create, 1)]
    assert files_of(messages) == Files(read=("view.py",), edited=("create.py",))


def test_each_file_is_told_once_and_as_edited_where_it_was_both() -> None:
    messages = [
        calling("read", {"path": "a.py"}, 0),
        calling("edit", {"path": "a.py"}, 1),
        calling("read", {"path": "b.py"}, 2),
        calling("read", {"path": "a.py"}, 3),
        calling("read", {"path": "b.py"}, 4),
    ]
    assert files_of(messages) == Files(read=("b.py",), edited=("a.py",))


def test_lists_of_paths_and_file_uris_are_read() -> None:
    messages = [calling("read", {"paths": ["a.py", 7, "b.py"]}), calling("open", {"uri": "file:///tmp/c%20d.py"}, 1)]
    assert files_of(messages) == Files(read=("a.py", "b.py", "/tmp/c d.py"))


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "not JSON",
        "[1, 2]",
        '{"path": 7}',
        '{"path": null}',
        '{"path": ""}',
        '{"path": "  "}',
        '{"path": "a\\nb"}',
        '{"path": "a`b"}',
        '{"path": "https://example.org/a.py"}',
        '{"path": "\\ud800"}',
        '{"query": "a.py"}',
        '{"path": "' + "x" * 301 + '"}',
        "[" * 100_000,
        '{"path": ' + "9" * 10_000 + "}",
    ],
    ids=range(15),
)
def test_what_is_no_path_is_passed_over(arguments: str) -> None:
    assert files_of([calling("read", arguments)]) == Files()


def test_the_newest_files_are_kept() -> None:
    messages = [calling("read", {"path": f"{number}.py"}, number) for number in range(100)]
    assert files_of(messages).read == tuple(f"{number}.py" for number in range(100 - MOST_FILES, 100))


def test_the_files_of_an_earlier_summary_are_taken_over() -> None:
    earlier = render(Sections(goal="Go."), Files(read=("a.py", "b, c.py"), edited=("d.py",)))
    messages = [message(0, "system", earlier, summary_of=("x",)), calling("edit", {"path": "a.py"}, 1)]
    assert files_of(messages) == Files(read=("b, c.py",), edited=("d.py", "a.py"))


def test_only_the_section_of_files_of_an_earlier_summary_tells_of_files() -> None:
    earlier = render(Sections(goal="Go.", decisions=("Read: `x.py`",)), Files(read=("a.py",)))
    assert files_of([message(0, "system", earlier, summary_of=("x",))]) == Files(read=("a.py",))


def test_a_persons_own_words_tell_of_no_files() -> None:
    assert files_of([message(0, "user", "## Files\n- Read: `a.py`")]) == Files()


def test_no_more_arguments_are_read_than_is_reasonable() -> None:
    def writing(number: int, size: int) -> Message:
        return calling("write", {"path": f"{number}.py", "content": "x" * size}, number)

    newest = tuple(f"{number}.py" for number in range(10, 20))
    assert files_of([writing(number, 200_000) for number in range(20)]) == Files(edited=newest)
    assert files_of([writing(0, 300_000), writing(1, 10)]) == Files(edited=("1.py",))
