"""What was said, taken out and brought in, found again, and erased for good."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import attrs
from attrs import define

from ullage.contexts.finishing import begin, finish
from ullage.contexts.making_room.window_guard import WindowGuard
from ullage.contexts.session import Session
from ullage.contexts.sessions import Sessions, unknown_context
from ullage.contexts.stamp import Stamp
from ullage.contexts.state import RESTING, ContextState, Planned, replacing
from ullage.contexts.values import Imported, MessageView, SearchHit
from ullage.contexts.views import views
from ullage.conversation.growing import Growing
from ullage.conversation.messages import Message
from ullage.conversation.operations import Operation
from ullage.conversation.transfer.document import Format, read, write
from ullage.conversation.transfer.transcript import About, Fresh, Transcript, renumbered, with_call_partners
from ullage.errors import ContextBusy, InvalidArgument, UllageError, UnknownContext, UnknownMessage
from ullage.store.records import ContextRecord
from ullage.store.store import Store

HISTORY_PAGE = 500
"""Messages that are read at a time: between two pages other requests get their turn."""

ForgetInSnapshots = Callable[[str, frozenset[str]], Awaitable[None]]
"""Takes a context and ids, and erases these messages from every snapshot that holds them."""


@define(eq=False)
class Archive:
    sessions: Sessions
    forget_in_snapshots: ForgetInSnapshots
    guard: WindowGuard

    async def export(self, context_id: str, format: Format) -> str:  # noqa: A002  # the protocol's word
        """The whole history with marks of what is in the window, as text that `import_` takes back."""
        messages = await self._history(context_id)
        state = (await self.sessions.glance(context_id)).state
        transcript = _transcript(state, messages, self.sessions.stamp.now())
        return await asyncio.to_thread(write, transcript, format)

    async def import_(self, context_id: str, format: Format, text: str) -> Imported:  # noqa: A002  # the protocol's word
        """Put a conversation behind what there is, in one step that `undo` takes back by its id.

        What had left the window where it comes from goes into the history alone. Messages keep their ids unless one of
        them is in use in this store; then all get new ones: a copy of a conversation, not a mixture of two. A context
        without a system prompt takes the imported one, which stays after an undo; one of its own stays in force.

        Raises InvalidArgument with the place in the text, and NotSupported for images and newer versions.
        """
        session = await self.sessions.get(context_id)
        fresh = Fresh(Stamp().id, self.sessions.stamp.now())
        transcript = await asyncio.to_thread(read, text, format, fresh)
        try:
            await self._add(session, transcript, format)
        except InvalidArgument as error:
            if error.path != "messages":
                raise
            await self._add(session, await asyncio.to_thread(renumbered, transcript, fresh.new_id), format)
        usage = await self.sessions.usage(session, exactly=False)
        await self.guard.grown(session, usage)
        return Imported(len(transcript.messages), usage)

    async def search(self, query: str, context_ids: Sequence[str] | None, limit: int) -> list[SearchHit]:
        """Messages with the words of ``query``, the best first, in these contexts or in all."""
        if not query.strip():
            raise InvalidArgument("Give the words to search for.", "query")
        while await self.sessions.store.run(lambda store: store.index(context_ids)):
            pass  # between two parts of what was said since the last search other requests get their turn
        found = await self.sessions.store.run(lambda store: store.search(query, context_ids, limit))
        shown: dict[str, MessageView] = {}
        for context_id in dict.fromkeys(each.context_id for each in found):
            there = [each.message for each in found if each.context_id == context_id]
            shown |= {view.id: view for view in await self._views(context_id, there)}
        return [
            SearchHit(shown[each.message.id], each.context_id, each.excerpt)
            for each in found
            if each.message.id in shown
        ]

    async def forget(self, context_id: str, message_id: str) -> None:
        """Erase one message for good, and the summaries that stand for it: from the window, the history, the log of
        operations, the search index and the snapshots.

        Raises UnknownMessage, and ContextBusy while the context is answering. Where a snapshot can't be written the
        message is gone from the conversation all the same; to forget it again erases it from the snapshots, too.
        """
        session = await self.sessions.get(context_id)
        if session.answering:
            raise ContextBusy(
                "This context is answering. Wait for the answer, or cancel it, and forget the message then.",
                reason="answering",
            )
        await self.guard.background.stop(session)  # a summary that is being written might quote it
        erasure = self.sessions.operation(context_id, "forget", {})
        async with session.mutex:
            await self.sessions.own(session)
            begin()
            await finish(self._erase(session, message_id, erasure))
        await finish(self._end_erasure(session, erasure.id))
        self.sessions.stale(context_id)

    async def _history(self, context_id: str) -> tuple[Message, ...]:
        """Everything ever said, read page by page from its end."""
        pages: deque[Message] = deque()
        before, more = None, True
        while more:
            try:
                page, more = await self._page(context_id, before)
            except UnknownMessage:  # the one that the last page began with was erased meanwhile: begin anew
                pages.clear()
                before = None
                continue
            pages.extendleft(reversed(page))
            before = pages[0].id if pages else None
        return tuple(pages)

    async def _page(self, context_id: str, before: str | None) -> tuple[tuple[Message, ...], bool]:
        return await self.sessions.store.run(lambda store: store.history(context_id, before, HISTORY_PAGE))

    async def _add(self, session: Session, transcript: Transcript, format_: Format) -> None:
        async def plan(state: ContextState) -> Planned | None:
            prompt = transcript.about.system_prompt if not state.record.system_prompt else None
            if not transcript.messages and not prompt:
                return None
            detail: dict[str, object] = {
                "messages": len(transcript.messages),
                "format": format_,
                "systemPromptTaken": bool(prompt),
            }
            planned = _adding(self.sessions.operation(session.id, "import", detail), state, transcript)
            record = _with_prompt(state.record, prompt) if prompt else None
            return attrs.evolve(planned, commit=attrs.evolve(planned.commit, record=record))

        await self.sessions.change(session, plan)

    async def _views(self, context_id: str, messages: Sequence[Message]) -> list[MessageView]:
        """As their context counts them; none where it was erased meanwhile."""

        def read_marks(store: Store) -> ContextState:
            record = store.context(context_id)
            if record is None:
                raise unknown_context()
            return ContextState(record, RESTING, Growing(), store.pinned(context_id), frozenset())

        try:
            state = await self.sessions.store.run(read_marks)
        except UnknownContext:
            return []
        return await views(self.sessions, state, messages)

    async def _erase(self, session: Session, message_id: str, operation: Operation) -> None:
        try:
            erased = await self.sessions.store.run(lambda store: store.forget(session.id, message_id, operation))
        except UnknownMessage:
            # An earlier try may have erased it, with its summaries, and left them all in the snapshots.
            left = await self.sessions.store.run(lambda store: store.being_erased(session.id))
            await self.forget_in_snapshots(session.id, left | {message_id})
            raise
        await self._reload(session)
        await self.forget_in_snapshots(session.id, erased)

    async def _end_erasure(self, session: Session, erasure_id: str) -> None:
        """When every snapshot that was being made has come without what was erased: a process that is killed before
        leaves the note of it, and the next one finds the snapshot."""
        if session.keeping:
            await asyncio.wait(tuple(session.keeping))
        await self.sessions.store.run(lambda store: store.end_erasure(erasure_id))

    async def _reload(self, session: Session) -> None:
        """Let go of everything that may hold what was erased. The cache of counts holds figures alone."""
        session.state, session.counted = session.state.resting(), None
        session.relieved()
        try:
            await self.sessions.refresh(session)
        except UllageError:
            session.rest()  # whoever wants the context next loads it
            raise


def _transcript(state: ContextState, messages: tuple[Message, ...], now: int) -> Transcript:
    """``messages`` may have been read a moment before ``state``: what was said in between belongs to neither."""
    record = state.record
    known = {message.id for message in messages}
    window = tuple(id_ for id_ in state.ids if id_ in known)
    present = frozenset(window)
    return Transcript(
        About(record.name, record.mode, record.model, record.system_prompt, now),
        messages,
        window,
        pinned=state.pinned & present,
        carried=state.carried & state.pinned & present,
        masked=state.masked & present,
    )


def _with_prompt(record: ContextRecord, prompt: str) -> ContextRecord:
    """The prompt is the context's own from now on, also when the mode ends that it may be in."""
    return attrs.evolve(record, system_prompt=prompt, own_prompt=prompt if record.mode else None)


def _adding(operation: Operation, state: ContextState, transcript: Transcript) -> Planned:
    """The window with the imported one behind it, and its marks beside those that there are."""
    added = transcript.in_window
    pinned = with_call_partners(added, transcript.pinned)
    return replacing(
        operation,
        state,
        (*state.messages, *added),
        state.carried | transcript.carried,
        masked=state.masked | transcript.masked,
        pinned=frozenset(pinned),
        messages=transcript.messages,
    )
