"""Reading what a model answered to the request for a summary: JSON, or the same sections under Markdown headings.

Whatever a model may write, nothing raises here and the work is bounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice

from ullage.conversation.summary import ASKED_FOR, LISTS, SENTENCES, Sections

LONGEST_ANSWER = 2**16
"""Characters that are looked at; a summary is to be far shorter."""

LONGEST_ITEM = 1000
MOST_ITEMS = 64
MOST_CANDIDATES = 16
"""Opening braces at which JSON is looked for."""

MOST_CUTS = 16
"""Commas, from the last one back, after which JSON that was cut may have been left unfinished."""

SHORTEST_ECHO = 12
"""Characters from which on a piece of the request itself is no answer to it."""

FEWEST_STAMMERED = 12
"""Words from which on a line of which each word comes three times says nothing."""

_REASONING_END = "</think>"
_DECODER = json.JSONDecoder()
_BULLET = re.compile(r"(?:[-*•+]|\[[ xX]\]|#{1,6}) ")
_BOX = re.compile(r"[-*•+] \[([ xX])\] ")
_NUMBER = re.compile(r"^\d{1,3}[.)] ")
_HEADING = re.compile(
    r"(?P<mark>#{1,6} *|\*\*|__)?(?P<name>[A-Za-z][A-Za-z /&]{2,40}?)"
    r"(?P<close>(?:\*\*|__)?:(?:\*\*|__)?|\*\*|__|$) *(?P<rest>.*)$"
)
_REFUSAL = re.compile(
    r"(?:i['’]?m sorry|i am sorry|sorry),? (?:but|i)\b|as an ai\b"
    r"|(?:i can['’]?t|i cannot|i['’]?m unable to|i am unable to|i won['’]?t) "
    r"(?:help|assist|summari[sz]e|comply|fulfil|do that|provide)",
    re.IGNORECASE,
)
_NOTHING = {
    "none", "nothing", "n/a", "na", "null", "empty", "unknown", "not specified", "not applicable", "string", "tbd",
}  # fmt: skip  # a line each would be a page
_HEADINGS = {
    "goal": "goal", "goals": "goal", "objective": "goal",
    "rules": "rules", "rule": "rules", "constraints": "rules", "rules and constraints": "rules",
    "decisions": "decisions", "facts": "decisions", "decisions and facts": "decisions", "key decisions": "decisions",
    "files": "files", "files touched": "files",
    "done": "done", "completed": "done", "open": "open", "to do": "open", "todo": "open",
    "done / open": "open", "done/open": "open",
    "next": "next", "next step": "next", "next steps": "next",
}  # fmt: skip  # a line each would be a page


def parse(text: str) -> Sections | None:
    """The sections of an answer; None for one that is empty, refuses, has another shape, or says nothing in any."""
    text = text[:LONGEST_ANSWER].rpartition(_REASONING_END)[2].strip()
    for fields in _candidates(text):
        sections = _sections(fields)
        if sections is not None:
            return sections or None
    return None


def _candidates(text: str) -> Iterator[dict[str, object]]:
    """What in an answer may be the summary, the likeliest first."""
    starts = [match.start() for _, match in zip(range(MOST_CANDIDATES), re.finditer(r"\{", text), strict=False)]
    whole = [fields for start in starts for fields in _decoded(text, start)]
    yield from whole
    if starts and not whole:
        yield from _completed(text[starts[0] :])
    yield _under_headings(text)


def _decoded(text: str, start: int = 0) -> Iterator[dict[str, object]]:
    try:
        value, _ = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return
    if isinstance(value, dict):
        yield value


def _completed(text: str) -> Iterator[dict[str, object]]:
    """JSON that was cut where the room for the answer ended, without what was being written: half a fact is none."""
    end = len(text)
    for _ in range(MOST_CUTS):
        for ending in ("}", "]}"):
            yield from _decoded(text[:end] + ending)
        end = text.rfind(",", 0, end)
        if end < 0:
            break


def _under_headings(text: str) -> dict[str, object]:
    fields: dict[str, list[str]] = {}
    current: str | None = None
    for line in text.splitlines():
        item = _NUMBER.sub("", line.strip()[:LONGEST_ITEM])
        heading = _HEADING.match(item)
        name = _HEADINGS.get(heading["name"].strip().lower()) if heading else None
        # A sentence that only begins with such a word is no heading.
        if heading and name and (heading["mark"] or ":" in heading["close"]):
            current, item = name, heading["rest"]
            fields.setdefault(current, [])
        if current and item:
            box = _BOX.match(item)
            fields.setdefault(("done" if box[1] in "xX" else "open") if box else current, []).append(item)
    return {name: items for name, items in fields.items() if name != "files"}


def _sections(fields: dict[str, object]) -> Sections | None:
    """None where the shape is another: fewer than two of the sections, or something else than text in them."""
    fields = {key.strip().lower(): value for key, value in fields.items()}
    texts: dict[str, list[str]] = {}
    for name in ASKED_FOR.keys() & fields.keys():
        items = _texts(fields[name])
        if items is None:
            return None
        texts[name] = _cleaned(items)
    if len(texts) < 2:
        return None
    goal, next_step = (" ".join(texts.get(name, []))[:LONGEST_ITEM] for name in SENTENCES)
    rules, decisions, done, still_open = (tuple(texts.get(name, [])) for name in LISTS)
    return Sections(goal, rules, decisions, done, still_open, next_step)


def _texts(value: object) -> list[str] | None:
    """A section's items; one text counts as a list of one. None where there is something else than text."""
    if value is None or isinstance(value, str):
        return [value or ""]
    if not isinstance(value, list):
        return None
    texts = [item for item in value if isinstance(item, str)]
    return texts if len(texts) == len(value) else None


def _cleaned(items: Iterable[str]) -> list[str]:
    """Each line of the items once, without those that say nothing."""
    lines = (_plain(line) for item in items for line in item.splitlines())
    return list(islice(dict.fromkeys(line for line in lines if _says_something(line)), MOST_ITEMS))


def _says_something(text: str) -> bool:
    """Not so: fillers, refusals, echoes of the request, and a small model's stammer."""
    bare = text.lower().strip(".-–— ()")
    if not any(map(str.isalnum, bare)) or bare in _NOTHING or _REFUSAL.match(text):
        return False
    is_echo = len(bare) >= SHORTEST_ECHO and any(bare in meaning for meaning in ASKED_FOR.values())
    words = bare.split()
    stammers = len(words) >= FEWEST_STAMMERED and len(set(words)) * 3 < len(words)
    return not is_echo and not stammers


def _plain(line: str) -> str:
    """A line of text that can be written to a file and shown in a list: no lone surrogates, no control characters."""
    line = line[:LONGEST_ITEM].encode("utf-8", "ignore").decode()
    text = " ".join("".join(c if c.isprintable() else " " for c in line).split())
    while bullet := _BULLET.match(text):
        text = text[bullet.end() :]
    return text
