"""Which files a conversation read and edited: told by its tool calls, so that no model has to remember them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal
from urllib.parse import unquote

from attrs import frozen

from ullage.conversation.messages import Message, ToolCall

MOST_FILES = 40
"""Of each kind; the newest are kept."""

HEADING = "Files"
"""Of the section of a summary where they are told."""

LONGEST_PATH = 300
LONGEST_ARGUMENTS = 2**18
MOST_ARGUMENTS = 2**21
"""Characters of JSON that are read of one call, and of all: a file that was written is among its call's arguments."""

_PATH_KEYS = {
    "path", "paths", "file", "files", "filepath", "filepaths", "filename", "filenames", "uri", "uris", "absolutepath",
    "relativepath", "targetfile", "notebookpath", "oldpath", "newpath",
}  # fmt: skip  # a line each would be a page
_VERB_KEYS = ("command", "action", "operation", "mode")
_EDITING = {
    "write", "edit", "create", "update", "patch", "replace", "insert", "append", "overwrite", "rewrite", "delete",
    "remove", "rename", "move", "save", "apply", "modify", "undo",
}  # fmt: skip  # as above
_READING = {"read", "view", "open", "cat", "show", "list", "search", "grep", "get"}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_TOLD = re.compile(r"^- (Read|Edited): (.*)$", re.MULTILINE)
_QUOTED = re.compile(r"`([^`\n]{1,300})`")


@frozen
class Files:
    """Paths as the tool calls named them, each once and in the order of their last mention. What was edited is not told
    as read, too."""

    read: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()


def files_of(messages: Sequence[Message]) -> Files:
    """The files that tool calls name, and those that an earlier summary tells of. Arguments that are no JSON, and those
    beyond what is reasonable, are passed over."""
    read: dict[str, None] = {}
    edited: dict[str, None] = {}
    left = MOST_ARGUMENTS
    for message in reversed(messages):
        if message.summary_of is not None:
            _take(_told_of(message.content), read, edited)
        for call in reversed(message.tool_calls):
            left -= len(call.arguments)
            if left >= 0 and len(call.arguments) <= LONGEST_ARGUMENTS:
                _take(_named_by(call), read, edited)
    newest_read = [path for path in read if path not in edited][:MOST_FILES]
    return Files(tuple(reversed(newest_read)), tuple(reversed(list(edited)[:MOST_FILES])))


def lines_of(files: Files) -> Iterator[str]:
    """The files as Markdown, read again by `files_of` when the summary is folded into the next."""
    for label, paths in (("Read", files.read), ("Edited", files.edited)):
        if paths:
            yield f"- {label}: {', '.join(f'`{path}`' for path in paths)}"


_Kind = Literal["read", "edited"]


def _take(named: Iterable[tuple[_Kind, str]], read: dict[str, None], edited: dict[str, None]) -> None:
    for kind, path in reversed(list(named)):
        (edited if kind == "edited" else read).setdefault(path)


def _told_of(summary: str) -> Iterator[tuple[_Kind, str]]:
    _, _, section = summary.partition(f"## {HEADING}\n")
    for line in _TOLD.finditer(section.partition("\n\n")[0]):
        kind: _Kind = "edited" if line[1] == "Edited" else "read"
        for path in _QUOTED.findall(line[2]):
            yield kind, path


def _named_by(call: ToolCall) -> Iterator[tuple[_Kind, str]]:
    try:
        arguments = json.loads(call.arguments)
    except (ValueError, RecursionError):
        return
    if not isinstance(arguments, dict):
        return
    kind = _kind(call.name, arguments)
    for key, value in arguments.items():
        if key.replace("_", "").replace("-", "").lower() not in _PATH_KEYS:
            continue
        for candidate in value[:MOST_FILES] if isinstance(value, list) else [value]:
            path = _path(candidate)
            if path is not None:
                yield kind, path


def _kind(name: str, arguments: dict[str, object]) -> _Kind:
    """By what the call says that it does; one tool may both view and write."""
    for key in _VERB_KEYS:
        verb = arguments.get(key)
        if isinstance(verb, str) and (verbs := _words(verb[:40])) & (_EDITING | _READING):
            return "edited" if verbs & _EDITING else "read"
    return "edited" if _words(name[:200]) & _EDITING else "read"


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(name)}


def _path(value: object) -> str | None:
    """A path as it may stand in a line of Markdown; None for what is none."""
    if not isinstance(value, str):
        return None
    path = unquote(value.removeprefix("file://")) if value.startswith("file://") else value
    path = path.strip()
    sensible = 0 < len(path) <= LONGEST_PATH and path.isprintable() and "`" not in path and "://" not in path
    return path if sensible else None
