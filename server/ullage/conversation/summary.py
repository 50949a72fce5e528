"""A summary in its checked form: few short sections, which a small local model can fill and code can examine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from attrs import evolve, frozen

from ullage.conversation.touched_files import HEADING as FILES
from ullage.conversation.touched_files import Files, lines_of

Shortcoming = Literal["not smaller", "over target"]

ASKED_FOR = {
    "goal": "what the person wants, one sentence",
    "rules": "list of what the person asked to do always or never, in their own words",
    "decisions": "list of decisions and facts, with exact names, numbers, dates and paths",
    "done": "list of what is finished",
    "open": "list of what is still to do",
    "next": "the next step, one sentence",
}
"""The sections by their keys in JSON, as a model is told of them."""

SENTENCES = ("goal", "next")
LISTS = ("rules", "decisions", "done", "open")

_CHARACTERS_PER_TOKEN = 4
_SHARES = {"goal": 0.1, "rules": 0.22, "decisions": 0.3, "done": 0.12, "open": 0.12, "next": 0.06}
"""Of the room for a summary; the rest is for the JSON itself."""


@frozen
class Sections:
    """What a model wrote: plain text, one line each. ``rules`` are the person's, ``decisions`` facts included."""

    goal: str = ""
    rules: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    next: str = ""

    def __bool__(self) -> bool:
        return bool(self.goal or self.rules or self.decisions or self.done or self.open or self.next)


def summary_schema(most_tokens: int) -> dict[str, object]:
    """The JSON Schema of an answer that has ``most_tokens`` of room. Every length and number of items is bounded, so
    that decoding under it ends also where a small model would go on and on."""
    room = {name: int(most_tokens * _CHARACTERS_PER_TOKEN * share) for name, share in _SHARES.items()}
    longest = 160 if most_tokens >= 512 else 80
    properties: dict[str, object] = {}
    for name, characters in room.items():
        if name in SENTENCES:
            properties[name] = {"type": "string", "maxLength": max(min(characters, 400), 60)}
        else:
            items = {"type": "string", "maxLength": longest}
            properties[name] = {"type": "array", "items": items, "maxItems": max(characters // longest, 1)}
    return {"type": "object", "properties": properties, "required": list(room), "additionalProperties": False}


def render(sections: Sections, files: Files) -> str:
    """The summary as it stands in the window: Markdown under fixed headings, those of empty sections left out."""
    parts = (
        ("Goal", [sections.goal] if sections.goal else []),
        ("Rules", _items(sections.rules)),
        ("Decisions and facts", _items(sections.decisions)),
        (FILES, list(lines_of(files))),
        ("Done / open", [*_items(sections.done, "[x] "), *_items(sections.open, "[ ] ")]),
        ("Next step", [sections.next] if sections.next else []),
    )
    return "\n\n".join("\n".join([f"## {heading}", *lines]) for heading, lines in parts if lines)


def shortened(sections: Sections) -> Sections | None:
    """Without the last item of what can be missed first; None where only sentences are left."""
    if sections.done:
        return evolve(sections, done=sections.done[:-1])
    if sections.open:
        return evolve(sections, open=sections.open[:-1])
    if sections.decisions:
        return evolve(sections, decisions=sections.decisions[:-1])
    return evolve(sections, rules=sections.rules[:-1]) if sections.rules else None


def shortcoming(summary_tokens: int, replaced_tokens: int, window_after: int, target: int | None) -> Shortcoming | None:
    """Why a summary is of no use, None where it is accepted: it has to be smaller than what it replaces, and the whole
    window with it no larger than ``target`` (None: there is none). All figures are tokens."""
    if summary_tokens >= replaced_tokens:
        return "not smaller"
    if target is not None and window_after > target:
        return "over target"
    return None


def _items(texts: Iterable[str], mark: str = "") -> list[str]:
    return [f"- {mark}{text}" for text in texts]
