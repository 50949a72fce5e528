"""The append-only log: what was done to a context, and what it takes to undo it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
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

_SAYING: frozenset[str] = frozenset({"append", "chat"})


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

    ``before`` is kept only where messages left or changed places: only then an undo needs to know where they stood.
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
    moved = [id_ for id_ in before if id_ in kept_after] != [id_ for id_ in after if id_ in kept_before]
    return WindowChange(removed, added, tuple(before) if removed or moved else ())


def in_window(ids: Iterable[str], log: Iterable[tuple[OperationKind, WindowChange, bool]]) -> dict[str, bool]:
    """Which of the messages are in the window after ``log``: all operations but undos, in their order, each with
    whether it is undone.

    An append or a chat turn that stands tells nothing: what it brought is there until something else takes it out. One
    that is undone tells everything, since a chat turn also brings the question that an append had brought.
    """
    present: dict[str, bool] = {}
    for kind, change, undone in log:
        says = kind in _SAYING
        for id_ in () if says and not undone else change.added:
            present[id_] = not undone or (not says and present.get(id_, False))
        for id_ in change.removed:
            present[id_] = undone and present.get(id_, True)
    return {id_: present.get(id_, True) for id_ in ids}


def undo_change(
    window: Sequence[str], change: WindowChange, present: Mapping[str, bool], said: Mapping[str, int]
) -> tuple[str, ...]:
    """The window without ``change``. ``present`` tells of each message that this matters to whether it is in the window
    then, ``said`` orders all of them by when they were said.

    What was there before the change stands as it stood, and everything else where it was said, which is at the end for
    what was said later. Changes made since to other messages stay in force.
    """
    current = [id_ for id_ in window if present.get(id_, True)]
    left, back = set(current), {id_ for id_, is_there in present.items() if is_there}
    known = set(change.before)
    stood = [id_ for id_ in change.before if id_ in left or id_ in back]
    ids = _merged(stood, [id_ for id_ in current if id_ not in known], said)
    return _merged(ids, sorted(back - left - known, key=said.__getitem__), said)


def _merged(ids: Iterable[str], others: Iterable[str], said: Mapping[str, int]) -> tuple[str, ...]:
    """Both in their own order, each of the others before the first of ``ids`` that was said after it."""
    waiting, merged = deque(others), []
    for id_ in ids:
        while waiting and said[waiting[0]] < said[id_]:
            merged.append(waiting.popleft())
        merged.append(id_)
    return (*merged, *waiting)
