"""The values that go into snapshot files and come out of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import attrs
from attrs import frozen

from ullage.conversation.messages import Message

SnapshotTrigger = Literal["manual", "threshold", "emergency"]


@frozen
class SnapshotHeader:
    """What a snapshot's file says in plain sight.

    ``created_at`` is in milliseconds since the epoch. ``tokens`` is the window's cost when the snapshot was made,
    ``messages`` counts those in the file, ``context_size`` is the allocated window in tokens, 0 where it was not known.
    ``compression_ratio`` is that of the compression before it, 1 where there was none.
    """

    id: str
    context_id: str
    created_at: int
    tokens: int
    messages: int
    summary: str
    trigger: SnapshotTrigger
    model: str | None
    context_size: int
    compression_ratio: float


@frozen
class SnapshotContent:
    """A window, and what is marked in it. ``system_prompt`` is the context's own, for those who read the file; nothing
    puts it back."""

    messages: Sequence[Message]
    pinned: frozenset[str] = frozenset()
    carried: frozenset[str] = frozenset()
    masked: frozenset[str] = frozenset()
    system_prompt: str | None = None

    def without(self, ids: Collection[str]) -> SnapshotContent:
        return attrs.evolve(
            self,
            messages=tuple(message for message in self.messages if message.id not in ids),
            pinned=self.pinned - set(ids),
            carried=self.carried - set(ids),
            masked=self.masked - set(ids),
        )


@frozen
class StoredSnapshot:
    """A snapshot as a list shows it. ``size_bytes`` is the file's."""

    header: SnapshotHeader
    size_bytes: int


@frozen
class UnreadableFile:
    """``name`` is the file's in the storage folder; ``reason`` is a sentence for a person."""

    name: str
    reason: str


@frozen
class SnapshotListing:
    """Snapshots in the order of their making."""

    snapshots: tuple[StoredSnapshot, ...]
    unreadable: tuple[UnreadableFile, ...]
