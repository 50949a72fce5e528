"""Markdown of other programs and of people: headings that say who speaks, and below each what was said.

Taken as headings are lines like ``## User``, ``### 🤖 Assistant (llama3)``, ``#### You said:`` and ``**User:** Hello``,
outside of code fences. The first of each role shows how this document writes them: an answer may have headings of its
own. What stands before the first one, a title or the date, is not part of the conversation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from attrs import frozen

from ullage.conversation.messages import Role
from ullage.conversation.transfer.records import MOST_MESSAGES, Record, transcript_of
from ullage.conversation.transfer.transcript import About, Fresh, Transcript
from ullage.errors import InvalidArgument

EXPECTED = (
    "Nothing in the text says who speaks. Give a conversation as Ullage exports it, or Markdown with headings like"
    ' "## User" and "## Assistant", or lines that begin with "**User:**" and "**Assistant:**".'
)
LONGEST_HEADING = 200

_SPEAKERS: dict[Role, str] = {
    "user": "user|you|human|me",
    "assistant": "assistant|ai|bot|model|chatgpt|claude|gemini|copilot",
    "system": "system prompt|system",
}
_WHO = "|".join(f"(?P<{role}>{words})" for role, words in _SPEAKERS.items())
_HEADING = re.compile(rf" {{0,3}}(#{{1,6}})[ \t]+[^\w#]*(?:{_WHO})(?: said)?[ \t]*(?:[^\w \t].*)?", re.IGNORECASE)
_BOLD = re.compile(
    rf"(\*\*|__)[^\w*]*(?:{_WHO})(?: said)?(?:[ \t]*:(?:\*\*|__)|(?:\*\*|__)[ \t]*:|(?:\*\*|__)[ \t]*$)(?P<said>.*)",
    re.IGNORECASE,
)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_RULE = re.compile(r"[ \t]*([-*_])(?:[ \t]*\1){2,}[ \t]*")


@frozen
class _Heading:
    """``style`` is how it is written; ``said`` is what stands behind it in the same line."""

    role: Role
    style: str
    said: str = ""


def read(document: str, fresh: Fresh) -> Transcript:
    """Raises InvalidArgument where no heading is found."""
    found = _records(document.removeprefix("\ufeff").replace("\r\n", "\n"))
    records = list(islice(found, MOST_MESSAGES + 1))  # one too many is enough to refuse them
    if not records:
        raise InvalidArgument(EXPECTED, "text")
    return transcript_of(records, About(), fresh, marked=False)


def _records(document: str) -> Iterator[Record]:
    role: Role | None = None
    lines: list[str] = []
    styles: dict[Role, str] = {}
    fence = ""
    for line in document.split("\n"):
        heading = None if fence else _heading(line)
        if heading is not None and styles.setdefault(heading.role, heading.style) == heading.style:
            yield from _record(role, lines)
            role, lines = heading.role, [heading.said] if heading.said else []
            continue
        fence = _fence_after(fence, line)
        lines.append(line)
    yield from _record(role, lines)


def _record(role: Role | None, lines: list[str]) -> Iterator[Record]:
    """A message without the blank lines and rules around it; none where nothing was said."""
    while lines and (not lines[-1].strip() or _RULE.fullmatch(lines[-1][:LONGEST_HEADING])):
        lines.pop()
    start = next((index for index, line in enumerate(lines) if line.strip()), len(lines))
    if role is not None and lines[start:]:
        yield {"role": role, "content": "\n".join(lines[start:]).rstrip()}


def _heading(line: str) -> _Heading | None:
    if line[:1] not in ("#", " ", "*", "_"):
        return None
    match = _BOLD.fullmatch(line[:LONGEST_HEADING])
    if match is not None:
        return _Heading(_role(match), match[1], match["said"].strip() + line[LONGEST_HEADING:])
    match = _HEADING.fullmatch(line.rstrip()) if len(line) <= LONGEST_HEADING else None
    return None if match is None else _Heading(_role(match), match[1])


def _role(match: re.Match[str]) -> Role:
    return next(role for role in _SPEAKERS if match[role] is not None)


def _fence_after(fence: str, line: str) -> str:
    """The code fence that is open after this line; empty: none."""
    match = _FENCE.match(line)
    if match is None:
        return fence
    if not fence:
        return match[1]
    closes = match[1].startswith(fence) and not line[match.end() :].strip()
    return "" if closes else fence
