"""One context as this process knows it: an immutable value that commits lead from one to the next."""

from __future__ import annotations

import attrs
from attrs import frozen

from ullage.conversation.growing import Growing
from ullage.conversation.messages import Message
from ullage.conversation.operations import Operation, change_between, mark_change
from ullage.conversation.sending import Conversation
from ullage.store.records import Commit, ContextRecord, StoredWindow

RESTING = -1
"""No revision of the store: every one of its differs."""


@frozen(eq=False)
class ContextState:
    """``epoch`` rises with every change of the window that is no append, so that what was worked out for a window can
    be carried on as long as it only grew. ``revision`` is the store's."""

    record: ContextRecord
    revision: int
    messages: Growing[Message]
    pinned: frozenset[str]
    carried: frozenset[str]
    masked: frozenset[str] = frozenset()
    epoch: int = 0

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(message.id for message in self.messages)

    @property
    def conversation(self) -> Conversation:
        return Conversation(self.messages, self.record.system_prompt, self.carried, self.masked)

    @property
    def is_resting(self) -> bool:
        """Whether the window was given back; see `resting`."""
        return self.revision == RESTING

    def resting(self) -> ContextState:
        """The same without its messages, for a context that is at rest: whoever wants it next loads it anew."""
        return attrs.evolve(self, revision=RESTING, messages=Growing(), epoch=self.epoch + 1)

    @classmethod
    def loaded(cls, record: ContextRecord, window: StoredWindow, epoch: int = 0) -> ContextState:
        return cls(
            record, window.revision, Growing(window.messages), window.pinned, window.carried, window.masked, epoch
        )


@frozen
class Planned:
    """A commit, and the messages of the window after it where it replaces the window."""

    commit: Commit
    window: tuple[Message, ...] | None = None


def after(state: ContextState, planned: Planned, revision: int) -> ContextState:
    """The state once ``planned`` is durable as ``revision``."""
    commit = planned.commit
    messages, epoch = state.messages, state.epoch
    if planned.window is not None:
        messages, epoch = Growing(planned.window), epoch + 1
    elif commit.appended:
        messages = messages.grown(commit.messages)
    prompt_changed = commit.record is not None and commit.record.system_prompt != state.record.system_prompt
    if commit.carried is not None or commit.masked is not None or prompt_changed:
        epoch += planned.window is None
    return attrs.evolve(
        state,
        record=commit.record or state.record,
        revision=revision,
        messages=messages,
        pinned=(state.pinned - set(commit.unpinned)) | set(commit.pinned),
        carried=state.carried if commit.carried is None else commit.carried,
        masked=state.masked if commit.masked is None else commit.masked,
        epoch=epoch,
    )


def replacing(
    operation: Operation,
    state: ContextState,
    window: tuple[Message, ...],
    carried: frozenset[str] | None = None,
    *,
    masked: frozenset[str] | None = None,
    pinned: frozenset[str] = frozenset(),
    unpinned: frozenset[str] = frozenset(),
    undoes: str | None = None,
    messages: tuple[Message, ...] = (),
) -> Planned:
    """Another window in place of the present one, told so that it can be undone. ``carried`` and ``masked`` None:
    unchanged. ``pinned`` are to be pinned and ``unpinned`` no longer, ``messages`` are those that were never said
    before."""
    ids = tuple(message.id for message in window)
    change = attrs.evolve(
        change_between(state.ids, ids),
        carried=mark_change(state.carried, state.carried if carried is None else carried),
        masked=mark_change(state.masked, state.masked if masked is None else masked),
        pinned=mark_change(state.pinned, (state.pinned - unpinned) | pinned),
    )
    commit = Commit(
        operation,
        messages,
        window=ids,
        pinned=change.pinned.added,
        unpinned=change.pinned.removed,
        carried=carried,
        masked=masked,
        change=change,
        undoes=undoes,
    )
    return Planned(commit, window)
