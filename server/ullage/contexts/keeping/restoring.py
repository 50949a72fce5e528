"""A snapshot's window made into that of a context: its own, or another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from ullage.contexts.state import ContextState, Planned, replacing
from ullage.conversation.messages import Message
from ullage.conversation.operations import Operation
from ullage.store.snapshot_records import SnapshotContent


def renamed(content: SnapshotContent, ids: Sequence[str]) -> SnapshotContent:
    """The same with these ids in place of its own, in their order. A summary that stands for messages which are not
    in the content says so no more: where it goes to, nobody knows them."""
    new = dict(zip((message.id for message in content.messages), ids, strict=True))

    def of(marked: frozenset[str]) -> frozenset[str]:
        return frozenset(new[id_] for id_ in marked)

    return attrs.evolve(
        content,
        messages=tuple(_renamed(message, new) for message in content.messages),
        pinned=of(content.pinned),
        carried=of(content.carried),
        masked=of(content.masked),
    )


def restoring(
    operation: Operation, state: ContextState, content: SnapshotContent, said: Mapping[str, Message]
) -> Planned:
    """The window as it is in ``content``. ``said`` are the messages that the context has in its history, by their ids:
    the others are said anew."""
    window = tuple(said.get(message.id, message) for message in content.messages)
    fresh = tuple(message for message in window if message.id not in said)
    ids = {message.id for message in window}
    return replacing(
        operation,
        state,
        window,
        content.carried,
        masked=(state.masked - ids) | content.masked,
        pinned=content.pinned,
        messages=fresh,
    )


def _renamed(message: Message, new: Mapping[str, str]) -> Message:
    summary_of = message.summary_of
    if summary_of is not None:
        summary_of = tuple(new[id_] for id_ in summary_of if id_ in new)
    return attrs.evolve(message, id=new[message.id], summary_of=summary_of)
