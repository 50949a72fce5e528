"""A settings file's YAML, read within bounds: plain tables, lists and values, no anchors, no aliases, no tags.

What comes with a cloned repository is read before anybody has looked at it, so that the parser's events are taken one
by one and reading ends at the first that passes a bound.
"""

from __future__ import annotations

import math
import re
from typing import Any

from attrs import Factory, define

from ullage.settings.values import printable

MOST_NODES = 20_000
MOST_LEVELS = 16

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null"), None),
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
    **dict.fromkeys((".inf", "+.inf"), math.inf),
    "-.inf": -math.inf,
    ".nan": math.nan,
}


class NotATree(ValueError):
    """The file can't be taken for settings; its text says why, for a person."""


def tree_of(content: bytes) -> Any:
    """What one YAML document stands for; None where it is empty. Keys are text, as they are written.

    Raises NotATree.
    """
    import yaml  # noqa: PLC0415  # start-up: only where there is a file

    reader = _Reader()
    try:
        text = content.decode("utf-8-sig")
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise NotATree(f"the file is not valid YAML{line}") from error
    except (yaml.YAMLError, UnicodeDecodeError, OverflowError) as error:
        raise NotATree("the file is not valid YAML, which is text in UTF-8") from error
    return reader.root


@define
class _Open:
    """A table or list that has not ended; ``key`` is the one whose value comes next."""

    content: dict[str, Any] | list[Any]
    key: str | None = None


@define
class _Reader:
    """Makes the tree of the parser's events."""

    root: Any = None
    _open: list[_Open] = Factory(list)
    _documents: int = 0
    _nodes: int = 0

    def take(self, event: Any) -> None:
        kind = type(event).__name__
        if kind == "AliasEvent" or getattr(event, "anchor", None):
            raise _refused(event, "anchors and aliases are not read; write the value where it is wanted")
        if getattr(event, "tag", None):
            raise _refused(event, "tags (!) are not read")
        if kind == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 1:
                raise _refused(event, "a second document begins; only one is read")
        elif kind == "ScalarEvent":
            self._scalar(event)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            self._begin(event, _Open({} if kind == "MappingStartEvent" else []))
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            self._open.pop()

    def _begin(self, event: Any, opened: _Open) -> None:
        self._place(event, opened.content)
        self._open.append(opened)
        if len(self._open) > MOST_LEVELS:
            raise _refused(event, f"more than {MOST_LEVELS} levels")

    def _scalar(self, event: Any) -> None:
        """A key as it is written, or a value: quoted ones are text."""
        table = self._open[-1] if self._open else None
        if table is not None and isinstance(table.content, dict) and table.key is None:
            if event.value in table.content:
                raise _refused(event, f"“{printable(event.value)}” is there a second time")
            table.key = event.value
        else:
            self._place(event, _plain(event.value) if event.implicit[0] else event.value)

    def _place(self, event: Any, value: Any) -> None:
        """Put a value where the innermost open table or list wants it."""
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise _refused(event, f"more than {MOST_NODES:,} values")
        if not self._open:
            self.root = value
            return
        inner = self._open[-1]
        if isinstance(inner.content, list):
            inner.content.append(value)
        elif inner.key is None:
            raise _refused(event, "a key must be text")
        else:
            inner.content[inner.key], inner.key = value, None


def _plain(text: str) -> Any:
    """What an unquoted value stands for. A number of more digits than any setting takes stays inexact."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _refused(event: Any, reason: str) -> NotATree:
    return NotATree(f"line {event.start_mark.line + 1}: {reason}")
