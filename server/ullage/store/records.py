"""The values that go into the store and come out of it."""

from __future__ import annotations

from attrs import frozen

from ullage.conversation.messages import Message
from ullage.conversation.operations import Operation, WindowChange


@frozen
class ContextRecord:
    """One context's own row. ``provider`` and ``model`` are the person's last choice; both None where none was ever
    made. ``system_prompt`` is the one in force; ``own_prompt`` the person's own, kept while a mode's is. Times are
    milliseconds since the epoch."""

    id: str
    name: str
    workspace_uri: str
    created_at: int
    last_used_at: int
    mode: str | None = None
    provider: str | None = None
    model: str | None = None
    system_prompt: str | None = None
    dormant: bool = False
    own_prompt: str | None = None


@frozen
class StoredWindow:
    """A context's window as it was committed last. ``revision`` rises with every commit to the context, by whichever
    process; ``messages`` are in window order. ``carried`` are the pinned messages whose turns left the window: they are
    sent inside the leading system message. ``masked`` are the tool results that a placeholder stands for."""

    revision: int
    messages: tuple[Message, ...]
    pinned: frozenset[str]
    carried: frozenset[str]
    masked: frozenset[str] = frozenset()

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(message.id for message in self.messages)


@frozen
class Commit:
    """One operation and the change that it stands for: both become durable together, or neither.

    ``messages`` are new. ``appended`` go to the window's end; ``window`` replaces the whole list (at most one of the
    two is set). ``carried`` and ``masked``, where set, replace the sets of carried pins and masked tool results.
    ``change`` is kept beside the operation for undo. ``record`` replaces the context's row. ``undoes`` names the
    operation that this one takes back.
    """

    operation: Operation
    messages: tuple[Message, ...] = ()
    appended: tuple[str, ...] = ()
    window: tuple[str, ...] | None = None
    pinned: tuple[str, ...] = ()
    unpinned: tuple[str, ...] = ()
    carried: frozenset[str] | None = None
    masked: frozenset[str] | None = None
    change: WindowChange | None = None
    record: ContextRecord | None = None
    undoes: str | None = None


@frozen
class LoggedOperation:
    """An operation with what an undo needs: the change, and whether it is undone at present."""

    operation: Operation
    change: WindowChange | None
    undone: bool
