"""The append-only log: what was done to a context, and what it takes to undo it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from attrs import frozen

OperationKind = Literal[
    "open",
    "update",
    "append",
    "chat",
    "pin",
    "unpin",
    "clear",
    "trim",
    "compress",
    "restore",
    "undo",
    "selectModel",
    "rename",
    "close",
    "import",
    "forget",
    "resize",
    "snapshot",
]
Origin = Literal["client", "server", "guard"]

UNDONE_BY_DEFAULT: frozenset[str] = frozenset({"clear", "trim", "compress", "restore"})
"""What ``undo`` without an id takes back. An append or a chat turn is taken back only by its id."""


@frozen
class Operation:
    """One line of the log. ``at`` is in milliseconds since the epoch; ``detail`` is what clients may see of it."""

    id: str
    context_id: str
    kind: OperationKind
    at: int
    origin: Origin
    detail: dict[str, object]


@frozen
class MarkChange:
    """What an operation did to one of the sets that stand beside the window."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)

    def undone(self, present: frozenset[str]) -> frozenset[str]:
        """The set without this change; what was changed since stays in force."""
        return (present - set(self.added)) | set(self.removed)


@frozen
class WindowChange:
    """What an operation did to the window: the ids that left it and those that came, and the order before it; and to
    the sets beside it: pins that are carried in the system message, masked tool results, pins.

    ``before`` is kept only where messages left, since only then an undo needs to know where they stood.
    """

    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    carried: MarkChange = MarkChange()
    masked: MarkChange = MarkChange()
    pinned: MarkChange = MarkChange()


def mark_change(before: frozenset[str], after: frozenset[str]) -> MarkChange:
    """The change that leads from one set to another."""
    return MarkChange(tuple(sorted(after - before)), tuple(sorted(before - after)))


def change_between(before: Sequence[str], after: Sequence[str]) -> WindowChange:
    """The change that leads from one window to another."""
    kept_after, kept_before = set(after), set(before)
    removed = tuple(id_ for id_ in before if id_ not in kept_after)
    added = tuple(id_ for id_ in after if id_ not in kept_before)
    return WindowChange(removed, added, tuple(before) if removed else ())


def undo_change(window: Sequence[str], change: WindowChange) -> tuple[str, ...]:
    """The window without ``change``: what it removed stands where it stood, what it added is gone, and everything
    said later keeps its place at the end. Changes made since to other messages stay in force."""
    removed, added = set(change.removed), set(change.added)
    current = [id_ for id_ in window if id_ not in added]
    if not removed:
        return tuple(current)
    present, known = set(current), set(change.before)
    restored = [id_ for id_ in change.before if id_ in removed or id_ in present]
    return tuple(restored) + tuple(id_ for id_ in current if id_ not in known)
