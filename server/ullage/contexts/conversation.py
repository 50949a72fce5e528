"""What is said and how the window is changed by hand: append, read, pin, clear, undo, history, count."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import attrs
from attrs import define

from ullage.contexts.counting import WindowCounter
from ullage.contexts.directory import Directory
from ullage.contexts.drafts import Draft, checked, message_of, same_content
from ullage.contexts.making_room.window_guard import WindowGuard
from ullage.contexts.session import Session
from ullage.contexts.sessions import Sessions
from ullage.contexts.state import ContextState, Planned, replacing
from ullage.contexts.values import Counts, MessageView, Undone
from ullage.contexts.views import views
from ullage.conversation.ids import is_ulid
from ullage.conversation.messages import Message, speaks_of_tools
from ullage.conversation.operations import UNDONE_BY_DEFAULT, Operation, WindowChange, undo_change
from ullage.conversation.turns import call_partners
from ullage.conversation.usage import Usage, usable_tokens
from ullage.errors import ContextOverflow, InvalidArgument, NothingToUndo, UnknownMessage
from ullage.store.records import Commit, LoggedOperation
from ullage.store.store import Store


@define(eq=False)
class Conversations:
    sessions: Sessions
    directory: Directory
    guard: WindowGuard

    async def append(self, context_id: str, drafts: Sequence[Draft]) -> tuple[list[MessageView], Usage]:
        """Add messages at the window's end. What an earlier try with the same ids added is not added again."""
        checked(drafts)
        session = await self.sessions.get(context_id)
        messages: list[Message] = []

        async def plan(state: ContextState) -> Planned | None:
            present = await self._added_before(session, drafts)
            messages[:] = [present.get(d.id or "") or message_of(d, self.sessions.stamp) for d in drafts]
            wanted = {m.id for m, draft in zip(messages, drafts, strict=True) if draft.pinned}
            return self._appending(state, tuple(m for m in messages if m.id not in present), wanted)

        await self.sessions.change(session, plan)
        usage = await self.sessions.usage(session, exactly=False)
        await self.guard.grown(session, usage)
        return await views(self.sessions, session.state, messages), usage

    async def messages(
        self, context_id: str, part: Literal["window", "history"], before: str | None, limit: int
    ) -> tuple[list[MessageView], bool]:
        """The newest ``limit`` messages before ``before``, ascending, and whether older ones exist."""
        session = await self.sessions.get(context_id)
        state = session.state
        if part == "history":
            page, more = await self.sessions.store.run(lambda store: store.history(context_id, before, limit))
        else:
            end = len(state.messages)
            if before is not None:
                end = next((i for i, m in enumerate(state.messages) if m.id == before), -1)
                if end < 0:
                    raise UnknownMessage("The window has no message with this id. Ask for the newest page again.")
            page, more = state.messages[max(end - limit, 0) : end], end > limit
        return await views(self.sessions, state, page), more

    async def pin(self, context_id: str, message_id: str, *, pinned: bool) -> MessageView:
        """Keep a message in the window through every change of it, or no longer; a call and its results together."""
        session = await self.sessions.get(context_id)
        message = self._in_window(session.state, message_id)
        ids = call_partners(session.state.messages, message)
        if pinned:
            await self._check_pins_fit(session, ids)

        async def plan(state: ContextState) -> Planned:
            self._in_window(state, message_id)
            operation = self.sessions.operation(session.id, "pin" if pinned else "unpin", {"messageIds": list(ids)})
            if not pinned:
                return Planned(Commit(operation, unpinned=ids))
            shown = (
                state.masked - set(ids) if state.masked & set(ids) else None
            )  # what is pinned is sent as it was said
            return Planned(Commit(operation, pinned=ids, masked=shown))

        await self.sessions.change(session, plan)
        [shown] = await views(self.sessions, session.state, [message])
        return shown

    async def clear(self, context_id: str) -> Usage:
        """Empty the window but for the system prompt and pins. Nothing leaves the history."""
        session = await self.sessions.get(context_id)

        async def plan(state: ContextState) -> Planned | None:
            kept = tuple(m for m in state.messages if m.role == "system" or m.id in state.pinned)
            kept = tuple(m for m in kept if m.summary_of is None)
            if len(kept) == len(state.messages):
                return None
            carried = frozenset(m.id for m in kept if m.role != "system")
            detail: dict[str, object] = {"removed": len(state.messages) - len(kept)}
            return replacing(self.sessions.operation(context_id, "clear", detail), state, kept, carried)

        if await self.sessions.change(session, plan) is not None:
            session.relieved()
            self.sessions.tell("cleared", session, {"messages": len(session.state.messages)})
        return await self.sessions.usage(session)

    async def undo(self, context_id: str, operation_id: str | None) -> Undone:
        """Take back a change of the window; what was said later stays at the end, and what another undo has taken out
        stays out."""
        session = await self.sessions.get(context_id)
        target: list[LoggedOperation] = []

        async def plan(state: ContextState) -> Planned:
            target[:] = [await self._undoable(context_id, operation_id)]
            return await self._undoing(state, target[0])

        await self.sessions.change(session, plan)
        undone = target[0].operation
        self.sessions.tell("undone", session, {"operationId": undone.id, "kind": undone.kind})
        usage = await self.sessions.usage(session)
        session.taken_back(usage, wanted=undone.kind in UNDONE_BY_DEFAULT)
        return Undone(undone, usage)

    async def _undoing(self, state: ContextState, target: LoggedOperation) -> Planned:
        change = target.change
        assert change is not None, "only what changed the window is undone"
        detail: dict[str, object] = {"operationId": target.operation.id, "kind": target.operation.kind}
        operation = self.sessions.operation(state.record.id, "undo", detail)
        window = await self.sessions.store.run(lambda store: _window_without(store, state, target))
        pinned = change.pinned.undone(state.pinned)
        carried = change.carried.undone(state.carried)
        again = (set(change.masked.removed) & pinned) | (pinned - state.pinned)  # what is pinned is sent as it was said
        return replacing(
            operation,
            state,
            window,
            carried,
            masked=change.masked.undone(state.masked) - again,
            pinned=pinned,
            unpinned=state.pinned - pinned,
            undoes=target.operation.id,
        )

    async def history(self, context_ids: Sequence[str] | None, before: str | None, limit: int) -> list[Operation]:
        """What was done, several contexts merged in time order; without ids, all of them."""
        logged = await self.sessions.store.run(lambda store: store.operations(context_ids, before, limit))
        return [entry.operation for entry in logged]

    async def count(
        self,
        *,
        texts: Sequence[str] | None,
        drafts: Sequence[Draft] | None,
        model: str | None,
        context_id: str | None,
    ) -> Counts:
        """Count texts as plain text, or messages as they would be sent, for a model or for a context's model."""
        if (texts is None) == (drafts is None):
            raise InvalidArgument("Give either texts or messages to count.", "texts")
        counter = await self._counter(model, context_id)
        if texts is not None:
            counts = await counter.counter.texts(texts)
            return Counts(tuple(counts), sum(counts), counter.source)
        assert drafts is not None
        if not drafts:
            return Counts((), 0, counter.source)
        checked(drafts)
        messages = [message_of(draft, self.sessions.stamp) for draft in drafts]
        counts = await counter.each_adds(messages)
        return Counts(tuple(counts), sum(counts), counter.source)

    async def _counter(self, model: str | None, context_id: str | None) -> WindowCounter:
        """For the model where one is named, else for the context's, waited for so that the count is its own."""
        if model is not None:
            models = self.sessions.models
            return self.sessions.counter_of(models.named(model) or await models.find(model))
        if context_id is None and self.directory.active_id is None:
            return await self.sessions.counter_when_known(None)
        session = await self.directory.resolve(context_id)
        return await self.sessions.counter_when_known(session.state.record)

    async def _added_before(self, session: Session, drafts: Sequence[Draft]) -> dict[str, Message]:
        """The messages that an earlier try with the same ids has left; another content under an id is an error."""
        ids = [draft.id for draft in drafts if draft.id is not None]
        if not ids:
            return {}
        found = await self.sessions.store.run(lambda store: [store.message(session.id, id_) for id_ in ids])
        present = {message.id: message for message in found if message is not None}
        for index, draft in enumerate(drafts):
            earlier = present.get(draft.id or "")
            if earlier is not None and not same_content(draft, earlier):
                raise InvalidArgument("This id belongs to another message. Give a new one.", f"messages[{index}].id")
        return present

    def _appending(self, state: ContextState, fresh: tuple[Message, ...], wanted: set[str]) -> Planned | None:
        """``wanted`` are to be pinned; a tool call and its results are pinned together, also those that come later."""
        pinned: set[str] = set()
        if wanted or (state.pinned and any(map(speaks_of_tools, fresh))):
            window = [*state.messages, *fresh]
            pinned = _pinned_together(window, state.pinned | wanted) - state.pinned
        if not fresh and not pinned:
            return None
        ids = tuple(m.id for m in fresh)
        detail: dict[str, object] = {"messageIds": list(ids)}
        operation = self.sessions.operation(state.record.id, "append" if fresh else "pin", detail)
        change = WindowChange(added=ids) if fresh else None
        marks = tuple(sorted(pinned))
        return Planned(Commit(operation, messages=fresh, appended=ids, pinned=marks, change=change))

    def _in_window(self, state: ContextState, message_id: str) -> Message:
        message = next((m for m in state.messages if m.id == message_id), None)
        if message is None:
            raise UnknownMessage("The window has no message with this id; only what the model sees can be pinned.")
        return message

    async def _check_pins_fit(self, session: Session, ids: Sequence[str]) -> None:
        """Refuse pins that together with the system prompt would leave no room for a conversation."""
        usage = await self.sessions.usage(session)
        if usage.limit is None:
            return
        state = session.state
        keeping = state.pinned | set(ids)
        kept = [m for m in state.messages if m.role == "system" or m.id in keeping]
        counter = self.sessions.counter(state.record)
        tokens = await counter.prompt(counter.form(attrs.evolve(state.conversation, messages=kept)))
        usable = usable_tokens(usage.limit, usage.reserved)
        if tokens > usable:
            raise ContextOverflow(
                f"System prompt and pins would take {tokens:,} of {usable:,} usable tokens. Unpin something, or"
                " choose a larger context size.",
                needed=tokens,
                limit=usage.limit,
            )

    async def _undoable(self, context_id: str, operation_id: str | None) -> LoggedOperation:
        if operation_id is None:
            target = await self.sessions.store.run(lambda store: store.latest_undoable(context_id, UNDONE_BY_DEFAULT))
            if target is None:
                raise NothingToUndo("No change of the window is left to undo. What was said can be undone by its id.")
            return target
        named = operation_id if is_ulid(operation_id) else ""
        target = await self.sessions.store.run(lambda store: store.operation(context_id, named))
        if target is None or target.change is None:
            raise NothingToUndo("This context has no operation of this id that changed the window. See its history.")
        if target.undone:
            raise NothingToUndo("This operation is undone already.")
        return target


def _window_without(store: Store, state: ContextState, target: LoggedOperation) -> tuple[Message, ...]:
    """The window once the operation is undone. A summary goes before what was said: it stands for the oldest of it."""
    context_id, change = state.record.id, target.change or WindowChange()
    present = store.present_without(context_id, target.operation.id)
    by_id = {message.id: message for message in state.messages}
    back = [id_ for id_, is_there in present.items() if is_there and id_ not in by_id]
    by_id |= {message.id: message for message in store.messages_by_id(context_id, back)}
    said = store.places(context_id, list(by_id))
    said |= {id_: -1 for id_, message in by_id.items() if message.summary_of is not None}
    return tuple(by_id[id_] for id_ in undo_change(state.ids, change, present, said))


def _pinned_together(window: Sequence[Message], pinned: Collection[str]) -> set[str]:
    """The pins that the window can hold, with the partners of those that call tools or answer calls."""
    members = [m for m in window if m.id in pinned]
    return {id_ for m in members for id_ in (call_partners(window, m) if speaks_of_tools(m) else (m.id,))}
