"""Snapshots: a window kept in a file of its own, listed, put back, checked, and cleared away when there are many."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from functools import partial

import attrs
from attrs import define, field

from ullage.contexts.directory import Directory
from ullage.contexts.finishing import begin, finish
from ullage.contexts.keeping.restoring import renamed, restoring
from ullage.contexts.keeping.totals import Totals
from ullage.contexts.session import Session
from ullage.contexts.sessions import Sessions, unknown_context
from ullage.contexts.state import ContextState, Planned
from ullage.contexts.values import (
    MessageView,
    Restored,
    SnapshotInfo,
    SnapshotMetadata,
    SnapshotPage,
    SnapshotTrigger,
    SnapshotVerdict,
    UnreadableSnapshot,
)
from ullage.contexts.views import view
from ullage.conversation.gist import gist
from ullage.conversation.messages import Message
from ullage.conversation.operations import Origin
from ullage.errors import CorruptSnapshot, InvalidArgument, NotSupported, StoreFull, UnknownContext, UnknownMessage
from ullage.settings import SnapshotSettings
from ullage.store.records import Commit
from ullage.store.snapshot_files import SnapshotFiles
from ullage.store.snapshot_records import SnapshotContent, SnapshotHeader, StoredSnapshot
from ullage.store.snapshot_shape import LONGEST_SUMMARY
from ullage.store.store import Store

logger = logging.getLogger(__name__)

_SLICE = 500
"""Messages that are looked up, or ids that are made, in one go: between two of them others have their turn."""

_DAY_MS = 86_400_000


@define(eq=False)
class Snapshots:
    """Files are written and read on threads, with no mutex held while one is written."""

    sessions: Sessions
    directory: Directory
    files: SnapshotFiles
    totals: Totals = field(init=False)

    @totals.default
    def _count_none_yet(self) -> Totals:
        return Totals(self.files, self.sessions.stale)

    async def create(self, context_id: str, summary: str | None = None) -> SnapshotInfo:
        """Keep the window as it is now. Without a summary the beginning of the last question stands for it.

        Raises NotSupported where snapshots are switched off, StoreFull, and ContextBusy where another process writes
        the context.
        """
        if summary is not None and not (summary.strip() and len(summary) <= LONGEST_SUMMARY):
            raise InvalidArgument(f"A summary has 1 to {LONGEST_SUMMARY:,} characters, or is left out.", "summary")
        session = await self.sessions.get(context_id)
        self._require_enabled(session)
        return await self._keep(session, summary, "manual", "client")

    async def automatic(self, session: Session, trigger: SnapshotTrigger) -> SnapshotInfo | None:
        """Keep the window because it fills up, then clear away older automatic snapshots; None where that is switched
        off. Raises as `create` does."""
        settings = self.sessions.context_settings(session).snapshots
        if not (settings.enabled and settings.auto_create):
            return None
        info = await self._keep(session, None, trigger, "guard")
        await self._clean_up(session.id, settings, info)
        return info

    async def before_clearing(self, session: Session, summary: str) -> SnapshotInfo:
        """Keep the window before the guard lets words leave it, also where none is to be made because it fills up; then
        clear away older automatic ones. Raises as `create` does."""
        settings = self._require_enabled(session)
        info = await self._keep(session, summary, "emergency", "guard")
        await self._clean_up(session.id, settings, info)
        return info

    async def page(self, context_id: str | None) -> SnapshotPage:
        """The snapshots of a context, or all, in the order of their making, and the files that can't be read."""
        if context_id is not None:
            self.sessions.locks.lock(context_id)  # UnknownContext where that can't be an id
        listing = await asyncio.to_thread(self.files.listing, context_id)
        self.totals.compare(listing, context_id)
        if context_id is not None and not (listing.snapshots or listing.unreadable):
            await self._require_context(context_id)
        unreadable = tuple(UnreadableSnapshot(each.name, each.reason) for each in listing.unreadable)
        return SnapshotPage(tuple(_info(each) for each in listing.snapshots), unreadable)

    async def messages(self, snapshot_id: str, limit: int) -> tuple[list[MessageView], bool]:
        """The newest messages of a snapshot, ascending, and whether there are older ones. They are counted for the
        model that its context has by now.

        Raises UnknownSnapshot, CorruptSnapshot, UnknownContext.
        """
        source = await asyncio.to_thread(self.files.find, snapshot_id)
        session = await self._target(source, None)
        content = await self._content_of(source, snapshot_id)
        shown = content.messages[-limit:]
        counts, counted_by = await self.sessions.alone(session.state, shown)
        page = [view(m, tokens, counted_by, content.pinned) for m, tokens in zip(shown, counts, strict=True)]
        return page, len(content.messages) > limit

    async def restore(self, snapshot_id: str, context_id: str | None = None) -> Restored:
        """Put a snapshot's messages in place of the window, with their pins; into another context under new ids.
        Nothing leaves the history, nothing but messages comes back, and undo takes it back.

        Raises UnknownSnapshot, CorruptSnapshot, UnknownContext.
        """
        source = await asyncio.to_thread(self.files.find, snapshot_id)
        session = await self._target(source, context_id)

        async def plan(state: ContextState) -> Planned:
            # Read under the mutex, so that what is being forgotten can't come back out of what was read before.
            content = await self._content_of(source, snapshot_id)
            said: dict[str, Message] = {}
            if session.id == source:
                said = await self._said(state, content.messages)
            else:
                content = await asyncio.to_thread(renamed, content, await self._new_ids(len(content.messages)))
            detail: dict[str, object] = {"snapshotId": snapshot_id, "messages": len(content.messages)}
            operation = self.sessions.operation(session.id, "restore", detail)
            return await asyncio.to_thread(restoring, operation, state, content, said)

        planned = await self.sessions.change(session, plan)
        assert planned is not None, "the plan above is never empty"
        session.relieved()
        operation = planned.commit.operation
        self.sessions.tell("restored", session, {**operation.detail, "operationId": operation.id})
        context = await self.directory.context(session)
        return Restored(context.usage, context)

    async def delete(self, snapshot_id: str) -> None:
        """Erase a snapshot for good. Raises UnknownSnapshot."""
        begin()
        await finish(asyncio.to_thread(self.files.delete, snapshot_id))
        self.totals.changed(None)

    async def verify(self, snapshot_id: str) -> SnapshotVerdict:
        """Read all of a snapshot as `restore` would. Raises UnknownSnapshot."""
        try:
            source = await asyncio.to_thread(self.files.find, snapshot_id)
            await asyncio.to_thread(self.files.read, source, snapshot_id)
        except CorruptSnapshot as error:
            self.totals.changed(None)
            return SnapshotVerdict(ok=False, reason=error.message)
        return SnapshotVerdict(ok=True, reason=None)

    async def erase_context(self, context_id: str) -> None:
        """Erase every snapshot of a context. Call it with the context's lock held, before the context itself goes: what
        is left after a failure can be erased by another try as long as the context is there."""
        await finish(asyncio.to_thread(self.files.erase_context, context_id))
        self.totals.changed(context_id)

    async def forget(self, context_id: str, message_ids: Collection[str]) -> None:
        """Erase messages from every snapshot. Call it with the context's mutex and lock held since before they were
        erased from the context: a snapshot that is being made meanwhile then notices, and is made anew.

        Messages are known by their ids. A snapshot that was restored into another context has left copies there under
        other ids; they are that context's own.
        """
        await finish(asyncio.to_thread(self.files.forget, context_id, message_ids))
        self.totals.changed(None)

    def _require_enabled(self, session: Session) -> SnapshotSettings:
        settings = self.sessions.context_settings(session).snapshots
        if not settings.enabled:
            raise NotSupported("Snapshots are switched off. Set context.snapshots.enabled to make one.")
        return settings

    async def _keep(
        self, session: Session, summary: str | None, trigger: SnapshotTrigger, origin: Origin
    ) -> SnapshotInfo:
        await self.sessions.own_now(session)
        with session.keeps():
            while True:
                state = session.state
                header = await self._header(session, state, summary, trigger)
                stored = await self._written(session, state, header, origin)
                if stored is not None:
                    break
        detail: dict[str, object] = {"snapshotId": header.id, "trigger": trigger}
        self.sessions.tell("snapshotCreated", session, detail)
        return _info(stored)

    async def _written(
        self, session: Session, state: ContextState, header: SnapshotHeader, origin: Origin
    ) -> StoredSnapshot | None:
        """The snapshot once it is a file and in the log; None where messages of it were erased meanwhile. Otherwise
        than in whole it leaves nothing."""
        kept = False

        async def plan(now: ContextState) -> Planned | None:
            if now.epoch != state.epoch and not await self._still_there(state):
                return None
            detail: dict[str, object] = {"snapshotId": header.id, "trigger": header.trigger}
            return Planned(Commit(self.sessions.operation(session.id, "snapshot", detail, origin)))

        before = self.totals.before_adding(session.id)
        try:
            write = asyncio.to_thread(self._write, header, session, state)
            stored = await finish(write, then_cancel=True)
            kept = await self.sessions.change(session, plan, in_place=False) is not None
        finally:
            if not kept:
                await finish(asyncio.to_thread(self._discard, header))
                self.totals.changed(session.id)
        if not kept:
            return None
        self.totals.added(stored, before)
        return stored

    async def _header(
        self, session: Session, state: ContextState, summary: str | None, trigger: SnapshotTrigger
    ) -> SnapshotHeader:
        form = await self.sessions.counted(session, state, exactly=False)
        active = self.sessions.models.known(state.record)
        return SnapshotHeader(
            id=self.sessions.stamp.id(),
            context_id=session.id,
            created_at=self.sessions.stamp.now(),
            tokens=form.tokens + session.tools_tokens,
            messages=len(state.messages),
            summary=gist(state.messages) if summary is None else summary,
            trigger=trigger,
            model=state.record.model or (active.name if active else None),
            context_size=(active.limit if active else None) or 0,
            compression_ratio=1.0,  # looked up where the file is written
        )

    def _write(self, header: SnapshotHeader, session: Session, state: ContextState) -> StoredSnapshot:
        """On a thread: it takes as long as the disk does."""
        header = attrs.evolve(header, compression_ratio=self._compression_ratio(session, state))
        return self.files.write(header, _content(state))

    def _compression_ratio(self, session: Session, state: ContextState) -> float:
        known = session.compression_ratio
        if known is None or known[0] != state.epoch:
            last = self.sessions.store.run_blocking(lambda store: store.latest_undoable(session.id, ("compress",)))
            ratio = last.operation.detail.get("ratio") if last else None
            known = state.epoch, float(ratio) if isinstance(ratio, (int, float)) else 1.0
            session.compression_ratio = known
        return known[1]

    async def _still_there(self, state: ContextState) -> bool:
        """Whether everything that was in this window is still in the history."""
        said = await self._said(state, state.messages, look_at_all=True)
        return len(said) == len(state.messages)

    async def _said(
        self, state: ContextState, messages: Sequence[Message], *, look_at_all: bool = False
    ) -> dict[str, Message]:
        """Those of the messages that are in the context's history, by their ids. What is in the window is known."""
        window = {} if look_at_all else {message.id: message for message in state.messages}
        ids = [message.id for message in messages]
        said = {id_: window[id_] for id_ in ids if id_ in window}
        missing = [id_ for id_ in ids if id_ not in window]
        for start in range(0, len(missing), _SLICE):
            some = missing[start : start + _SLICE]
            found = await self.sessions.store.run(partial(_found, context_id=state.record.id, ids=some))
            said.update((message.id, message) for message in found)
        return said

    async def _new_ids(self, count: int) -> list[str]:
        ids: list[str] = []
        while len(ids) < count:
            ids += [self.sessions.stamp.id() for _ in range(min(count - len(ids), _SLICE))]
            await asyncio.sleep(0)
        return ids

    async def _content_of(self, context_id: str, snapshot_id: str) -> SnapshotContent:
        """Without what was forgotten, also where an erasure was cut short before it came to this file."""
        _, content = await asyncio.to_thread(self.files.read, context_id, snapshot_id)
        erased = await self.sessions.store.run(lambda store: store.being_erased(context_id))
        return await asyncio.to_thread(content.without, erased) if erased else content

    async def _require_context(self, context_id: str) -> None:
        if await self.sessions.store.run(lambda store: store.context(context_id)) is None:
            raise unknown_context()

    async def _target(self, source: str, context_id: str | None) -> Session:
        try:
            return await self.sessions.get(source if context_id is None else context_id)
        except UnknownContext:
            if context_id is None:
                text = "The context of this snapshot is gone. Name another one to restore it into."
                raise UnknownContext(text) from None
            raise

    async def _clean_up(self, context_id: str, settings: SnapshotSettings, newest: SnapshotInfo) -> None:
        """Clear automatic snapshots away beyond the newest ``max_count``, and those that are older than
        ``max_age_days``. Manual ones are the person's own."""
        listing = await asyncio.to_thread(self.files.listing, context_id)
        older = [each.header for each in listing.snapshots if each.header.trigger != "manual"]
        older = [header for header in older if header.id != newest.id]
        oldest = newest.created_at - settings.max_age_days * _DAY_MS if settings.max_age_days else None
        kept = older[len(older) - min(settings.max_count - 1, len(older)) :]
        gone = [h for h in older if h not in kept or (oldest is not None and h.created_at < oldest)]
        for header in gone:
            await finish(asyncio.to_thread(self._discard, header))
        if gone:
            self.totals.changed(context_id)

    def _discard(self, header: SnapshotHeader) -> None:
        try:
            self.files.discard(header.context_id, header.id)
        except StoreFull:
            logger.warning("A snapshot that is not wanted any more could not be removed")


def _content(state: ContextState) -> SnapshotContent:
    marked = state.pinned | state.carried | state.masked  # most often few or none, in a window of many
    ids = frozenset(message.id for message in state.messages if message.id in marked) if marked else frozenset()
    return SnapshotContent(
        state.messages, state.pinned & ids, state.carried & ids, state.masked & ids, state.record.system_prompt
    )


def _found(store: Store, context_id: str, ids: Sequence[str]) -> list[Message]:
    try:
        return store.messages_by_id(context_id, ids)
    except UnknownMessage:
        found = (store.message(context_id, id_) for id_ in ids)
        return [message for message in found if message is not None]


def _info(stored: StoredSnapshot) -> SnapshotInfo:
    header = stored.header
    return SnapshotInfo(
        id=header.id,
        context_id=header.context_id,
        created_at=header.created_at,
        tokens=header.tokens,
        messages=header.messages,
        summary=header.summary,
        trigger=header.trigger,
        bytes=stored.size_bytes,
        metadata=SnapshotMetadata(header.model, header.context_size, header.compression_ratio),
    )
