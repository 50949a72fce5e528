"""Conversations as Markdown that any viewer shows well, and from which every message comes back exactly.

Each part of a conversation is a section below a comment on a line of its own, its *marker*::

    <!-- ullage:1 message {"id": "01J…", "role": "user", "createdAt": 1700000000000, "windowPosition": 0} -->
    ## User · 2023-11-14 22:13:20 UTC

    What was said.

The number is one that occurs in no text of the conversation in this form, so that nothing said can pass for a marker.
Texts stand as they are; those that a viewer would take for HTML, or that would spill over into what follows, stand in a
fence. What text files do not keep (control characters, carriage returns) is shown by signs, and the exact text stands
in the marker.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from ullage.conversation.transfer.json_text import VERSION, about_record
from ullage.conversation.transfer.records import Record, records_of
from ullage.conversation.transfer.transcript import About, Transcript

REASONING_BEGINS = "<details><summary>Reasoning</summary>"
REASONING_ENDS = "</details>"
_ROLES = {"system": "System", "user": "User", "assistant": "Assistant", "tool": "Tool"}
_TITLE_LENGTH = 80
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_TAG = re.compile(r"ullage:([0-9]+)")
_NOT_KEPT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]")
_NOT_ESCAPED = re.compile(r"[\x7f\x85\u2028\u2029]")
_HTML = re.compile(r"<(?!https?:)[A-Za-z/!?]")
_LIKE_OURS = re.compile(r"^ {0,3}#{1,6}[ \t]*(?:system|user|assistant|tool)\b", re.IGNORECASE | re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$", re.MULTILINE)
_CODE = re.compile(r"`[^`\n]*`")
_BACKTICKS = re.compile(r"`+")
_BLANKS = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")
_PUNCTUATION = re.compile(r"([\\`*_{}\[\]<>()#|&~$])")


def write(transcript: Transcript) -> str:
    records = list(records_of(transcript))
    tag = _unused_tag(transcript.about, records)
    return "".join(_sections(tag, transcript.about, records))


def _sections(tag: int, about: About, records: list[Record]) -> Iterator[str]:
    head: Record = {"version": VERSION} | about_record(about)
    prompt = head["context"].pop("systemPrompt")
    yield f"{_marker(tag, 'conversation', head)}\n# {_inline(about.name or '') or 'Conversation'}\n\n"
    if about.model:
        yield f"Model: {_inline(about.model)}\n\n"
    if prompt is not None:
        yield _section(tag, "systemPrompt", {}, "## System prompt", prompt)
    for record in records:
        yield from _message(tag, record)
    yield _marker(tag, "end", {}) + "\n"


def _message(tag: int, record: Record) -> Iterator[str]:
    parts = {key: record.pop(key, None) for key in ("content", "reasoning", "toolCalls")}
    heading = f"## {_ROLES[record['role']]}{_named(record)}{_time(record['createdAt'])}"
    if "windowPosition" not in record:
        heading += " · out of the window"
    yield _section(tag, "message", record, heading, parts["content"], fenced=record["role"] == "tool")
    if parts["reasoning"] is not None:
        yield _section(tag, "reasoning", {}, REASONING_BEGINS, parts["reasoning"], closing=REASONING_ENDS)
    for call in parts["toolCalls"] or ():
        name = {"id": call["id"], "name": call["name"]}
        yield _section(tag, "call", name, f"**Calls {_inline(call['name'])}**", call["arguments"], fenced=True)


def _section(
    tag: int, kind: str, meta: Record, opening: str, text: str, *, closing: str = "", fenced: bool = False
) -> str:
    shown = _NOT_KEPT.sub(_sign, text.replace("\r\n", "\n"))
    if _NOT_KEPT.search(text):
        meta = meta | {"exact": text}
    if fenced or not _is_tame(shown):
        meta = meta | {"fenced": True}
        fence = "`" * (max((len(run) for run in _BACKTICKS.findall(shown)), default=0) + 1)
        fence = fence.rjust(3, "`")
        shown = f"{fence}\n{shown}\n{fence}"
    ending = f"{closing}\n\n" if closing else ""
    return f"{_marker(tag, kind, meta)}\n{opening}\n\n{shown}\n\n{ending}"


def _marker(tag: int, kind: str, meta: Record) -> str:
    """A comment of one line. ``--`` would end it, and stands in no JSON but in its texts."""
    if not meta:
        return f"<!-- ullage:{tag} {kind} -->"
    text = json.dumps(meta, ensure_ascii=False).replace("--", "-\\u002d")
    text = _NOT_ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return f"<!-- ullage:{tag} {kind} {text} -->"


def _unused_tag(about: About, records: list[Record]) -> int:
    texts = [about.system_prompt]
    for record in records:
        texts += [record["content"], record.get("reasoning")]
        texts += [call["arguments"] for call in record.get("toolCalls", ())]
    taken = {tag for text in texts if text for tag in _TAG.findall(text)}
    return next(tag for tag in range(1, len(taken) + 2) if str(tag) not in taken)


def _is_tame(text: str) -> bool:
    """Whether a viewer shows all of it as what it is, and what follows as what that is."""
    outside = _outside_fences(text)
    return outside is not None and not _HTML.search(_CODE.sub("", outside)) and not _LIKE_OURS.search(outside)


def _outside_fences(text: str) -> str | None:
    """What stands in no code block; None where one is not closed."""
    pieces, fence, begin = [], "", 0
    for match in _FENCE.finditer(text):
        marks, rest = match.groups()
        if not fence and not (marks[0] == "`" and "`" in rest):
            fence = marks
            pieces.append(text[begin : match.start()])
        elif fence and marks.startswith(fence) and not rest.strip():
            fence, begin = "", match.end()
    return None if fence else "".join([*pieces, text[begin:]])


def _sign(match: re.Match[str]) -> str:
    """The sign that Unicode has for a control character; a line feed's for other ends of lines."""
    code = ord(match[0])
    return "\u2421" if code == 0x7F else chr(0x2400 + code) if code < 0x20 else "\u2424"


def _named(record: Record) -> str:
    name = _inline(record.get("name") or "")
    return f" · {name}" if name else ""


def _time(at_ms: int) -> str:
    try:
        return f" · {_EPOCH + timedelta(milliseconds=at_ms):%Y-%m-%d %H:%M:%S} UTC"
    except OverflowError:
        return ""


def _inline(text: str) -> str:
    """A name as a part of a line."""
    return _PUNCTUATION.sub(r"\\\1", _BLANKS.sub(" ", text[:_TITLE_LENGTH]).strip())
