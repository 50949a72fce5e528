"""What holds for every conversation that is exported, and for every text that is imported."""

from __future__ import annotations

from itertools import count
from typing import Any, Literal

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from support.conversations import conversations, message
from ullage.conversation.ids import encode, is_ulid
from ullage.conversation.messages import Message
from ullage.conversation.sending import Conversation, Dialect, compose
from ullage.conversation.transfer.document import Format, read, write
from ullage.conversation.transfer.transcript import About, Fresh, Transcript, renumbered, with_call_partners
from ullage.conversation.turns import call_partners
from ullage.errors import UllageError

SNIPPETS = [
    "```",
    "````python",
    "~~~",
    "\n```\n",
    "<!-- ullage:1 end -->",
    '\n<!-- ullage:1 message {"role": "user"} -->\n',
    "<!-- ullage:2 ",
    "-->",
    "--",
    "\n## User\n\n",
    "\n## Assistant · 2026-11-20 07:38:10 UTC\n",
    "**User:** ",
    "</details>",
    "\n\n</details>\n\n",
    "<div>",
    "\r\n",
    "\r",
    "\n",
    "\n\n",
    "\0",
    "\x1b[31m",
    "\x7f",
    "\x85",
    "\u2028",
    "\ufeff",
    "\\u002d",
    '"',
    "`",
    " ",
    "\t",
    "🙂",
]
texts = st.lists(st.sampled_from(SNIPPETS) | st.text(max_size=8), max_size=8).map("".join)
ids = st.integers(0, 2**40).map(lambda number: encode(number, number))


def fresh() -> Fresh:
    numbers = count(1)
    return Fresh(lambda: encode(2**41, next(numbers)), 77)


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Any conversation with texts of every kind in every field, some of it out of the window or marked."""
    optional = st.none() | texts
    messages = [
        attrs.evolve(
            said,
            content=draw(texts),
            name=draw(optional),
            tool_calls=tuple(attrs.evolve(call, name=draw(texts), arguments=draw(texts)) for call in said.tool_calls),
            reasoning=draw(optional),
            summary_of=draw(st.none() | st.lists(ids, max_size=3).map(tuple)),
            created_at=draw(st.integers(0, 2**53 - 1)),
        )
        for said in draw(conversations(8))
    ]
    own = [message.id for message in messages]
    window = draw(st.permutations(own)) if own else []
    window = window[: draw(st.integers(0, len(window)))]
    pinned = frozenset(id_ for id_ in window if draw(st.booleans()))
    results = [m.id for m in messages if m.role == "tool" and m.id in window]
    return Transcript(
        draw(st.builds(About, optional, optional, optional, optional, st.none() | st.integers(0, 2**53 - 1))),
        tuple(messages),
        tuple(window),
        pinned,
        frozenset(id_ for id_ in pinned if draw(st.booleans())),
        frozenset(id_ for id_ in results if draw(st.booleans())),
    )


@settings(max_examples=400, deadline=None)
@given(transcript=transcripts())
def test_property_json_brings_back_what_was_exported(transcript: Transcript) -> None:
    assert read(write(transcript, "json"), "json", fresh()) == transcript


@settings(max_examples=400, deadline=None)
@given(transcript=transcripts())
def test_property_markdown_brings_back_what_was_exported(transcript: Transcript) -> None:
    assert read(write(transcript, "markdown"), "markdown", fresh()) == transcript


@settings(max_examples=200, deadline=None)
@given(transcript=transcripts())
def test_property_markdown_survives_other_line_ends(transcript: Transcript) -> None:
    document = write(transcript, "markdown")
    assert "\r" not in document
    assert read(document.replace("\n", "\r\n"), "markdown", fresh()) == transcript


@settings(max_examples=300, deadline=None)
@given(text=texts | st.text(), format_=st.sampled_from(["json", "markdown"]))
def test_property_no_text_breaks_an_import(text: str, format_: Format) -> None:
    _imported_or_refused(text, format_)


@settings(max_examples=300, deadline=None)
@given(
    transcript=transcripts(),
    format_=st.sampled_from(["json", "markdown"]),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), texts), min_size=1, max_size=4),
)
def test_property_no_damaged_export_breaks_an_import(
    transcript: Transcript, format_: Format, edits: list[tuple[float, int, str]]
) -> None:
    document = write(transcript, format_)
    for place, length, text in edits:
        at = int(place * len(document))
        document = document[:at] + text + document[at + length :]
    _imported_or_refused(document, format_)


KEYS = [
    *("format", "version", "messages", "context", "exportedAt", "id", "role", "content", "createdAt", "name", "pinned"),
    *("toolCalls", "tool_calls", "toolCallId", "tool_call_id", "reasoning", "thinking", "summaryOf", "windowPosition"),
    *("masked", "carried", "function", "arguments", "type", "text"),
]
VALUES = ["ullage-conversation", "user", "assistant", "tool", "developer", "text", "image_url", "\ud800", "x"]
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(VALUES) | ids,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=8),
    max_leaves=25,
)


@settings(max_examples=400, deadline=None)
@given(value=values, chat=st.lists(st.dictionaries(st.sampled_from(KEYS), values, max_size=6), max_size=3))
def test_property_no_json_breaks_an_import(value: Any, chat: list[Any]) -> None:
    import json

    for document in (value, chat, {"format": "ullage-conversation", "version": 1, "messages": chat}):
        _imported_or_refused(json.dumps(document), "json")


@settings(max_examples=200, deadline=None)
@given(spoken=st.lists(st.tuples(st.sampled_from(["User", "Assistant"]), st.text("abc ~#\n", min_size=1)), min_size=1))
def test_property_foreign_headings_keep_every_word(spoken: list[tuple[str, str]]) -> None:
    document = "".join(f"## {role}\n\nx {text}\n\n" for role, text in spoken)
    transcript = read(document, "markdown", fresh())
    if "~~~" in document:  # an open fence takes the headings after it into the text
        assert "".join(document.split()).startswith("##" + spoken[0][0])
        return
    assert [(m.role.title(), m.content.split()) for m in transcript.messages] == [
        (role, f"x {text}".split()) for role, text in spoken
    ]


@settings(max_examples=200, deadline=None)
@given(transcript=transcripts())
def test_property_new_ids_change_nothing_but_ids(transcript: Transcript) -> None:
    numbers = count(1)
    other = renumbered(transcript, lambda: encode(2**41, next(numbers)))
    new = {a.id: b.id for a, b in zip(transcript.messages, other.messages, strict=True)}
    assert not set(new) & set(new.values())
    assert [new[id_] for id_ in transcript.window] == list(other.window)
    assert {new[id_] for id_ in transcript.pinned} == other.pinned
    for before, after in zip(transcript.messages, other.messages, strict=True):
        assert attrs.evolve(after, id=before.id, summary_of=before.summary_of) == before
        assert after.summary_of == (before.summary_of and tuple(new.get(id_, id_) for id_ in before.summary_of))


@settings(max_examples=300, deadline=None)
@given(messages=conversations(), data=st.data())
def test_property_pins_keep_their_call_partners(messages: list[Message], data: st.DataObject) -> None:
    pinned = data.draw(st.sets(st.sampled_from([m.id for m in messages]))) if messages else set()
    expected = {id_ for m in messages if m.id in pinned for id_ in call_partners(messages, m)}
    assert with_call_partners(messages, pinned) == expected


@settings(max_examples=200, deadline=None)
@given(messages=conversations(), format_=st.sampled_from(["json", "markdown"]))
def test_property_orphans_that_came_in_are_repaired_when_they_are_sent(
    messages: list[Message], format_: Literal["json", "markdown"]
) -> None:
    transcript = Transcript(About(), tuple(messages), tuple(m.id for m in messages))
    imported = read(write(transcript, format_), format_, fresh())
    spoken = [(m.role, m.tool_call_id, m.tool_calls) for m in messages]
    assert [(m.role, m.tool_call_id, m.tool_calls) for m in imported.messages] == spoken
    window = (*imported.in_window, message(99, "user", "Go on."))
    sent = [group.message for group in compose(Conversation(window), Dialect(True, lambda text: text))]
    waiting: list[str | None] = []
    for each in sent:
        if each.role == "tool":
            assert each.tool_call_id in waiting
            waiting.remove(each.tool_call_id)
        else:
            assert not waiting
            waiting = [call.id for call in each.tool_calls]
    assert not waiting


def _imported_or_refused(document: str, format_: Format) -> None:
    """Either a whole transcript, or a sentence for a person."""
    try:
        transcript = read(document, format_, fresh())
    except UllageError as error:
        assert error.message.endswith(".")
        return
    own = {m.id for m in transcript.messages}
    assert len(own) == len(transcript.messages)
    assert all(map(is_ulid, own))
    assert len(set(transcript.window)) == len(transcript.window)
    assert set(transcript.window) <= own
    assert transcript.carried <= transcript.pinned <= set(transcript.window)
    for said in transcript.messages:
        for text in (said.content, said.reasoning, said.name):
            (text or "").encode()
