"""A conversation by itself: everything said, what of it the model sees, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import attrs
from attrs import frozen

from ullage.conversation.messages import Message


@frozen
class About:
    """The context that a conversation was held in, as far as it is known. ``exported_at`` is in milliseconds since the
    epoch."""

    name: str | None = None
    mode: str | None = None
    model: str | None = None
    system_prompt: str | None = None
    exported_at: int | None = None


@frozen
class Transcript:
    """``messages`` are the whole history in the order in which it was said. ``window`` holds the ids of those that the
    model sees, in their own order: a summary stands before what was said earlier than it. ``pinned``, ``carried`` and
    ``masked`` are marks of messages in the window, as in `ullage.conversation.sending.Conversation`."""

    about: About
    messages: tuple[Message, ...]
    window: tuple[str, ...]
    pinned: frozenset[str] = frozenset()
    carried: frozenset[str] = frozenset()
    masked: frozenset[str] = frozenset()

    @property
    def in_window(self) -> tuple[Message, ...]:
        by_id = {message.id: message for message in self.messages}
        return tuple(by_id[id_] for id_ in self.window)


@frozen
class Fresh:
    """What a message gets that comes without: an id of its own, and ``now``, in milliseconds since the epoch."""

    new_id: Callable[[], str]
    now: int


def renumbered(transcript: Transcript, new_id: Callable[[], str]) -> Transcript:
    """The same conversation under new ids. What a summary stands for outside of it keeps its id."""
    ids = {message.id: new_id() for message in transcript.messages}
    return attrs.evolve(
        transcript,
        messages=tuple(_renumbered(message, ids) for message in transcript.messages),
        window=tuple(ids[id_] for id_ in transcript.window),
        pinned=frozenset(ids[id_] for id_ in transcript.pinned),
        carried=frozenset(ids[id_] for id_ in transcript.carried),
        masked=frozenset(ids[id_] for id_ in transcript.masked),
    )


def _renumbered(message: Message, ids: dict[str, str]) -> Message:
    summary_of = message.summary_of
    if summary_of is not None:
        summary_of = tuple(ids.get(id_, id_) for id_ in summary_of)
    return attrs.evolve(message, id=ids[message.id], summary_of=summary_of)


def with_call_partners(messages: Sequence[Message], pinned: Collection[str]) -> frozenset[str]:
    """The pins among ``messages``, and with each the call and the results that it belongs to."""
    together = set(pinned).intersection(message.id for message in messages)
    for group in _calls_with_results(messages):
        if together.intersection(group):
            together.update(group)
    return frozenset(together)


def _calls_with_results(messages: Sequence[Message]) -> Iterator[list[str]]:
    """Ids of each message that calls tools and of its results. Call ids may recur, so a result belongs to the nearest
    assistant before it."""
    group: list[str] = []
    calls: set[str] = set()
    for message in messages:
        if message.role == "assistant":
            yield group
            group, calls = [message.id], {call.id for call in message.tool_calls}
        elif message.role == "tool" and message.tool_call_id in calls:
            group.append(message.id)
    yield group
