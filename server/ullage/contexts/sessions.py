"""The open contexts of this process, always as fresh as the store, and the one way to change them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from attrs import Factory, define

from ullage.contexts.active_model import ActiveModel
from ullage.contexts.counters import Counters
from ullage.contexts.counting import CountedForm, WindowCounter
from ullage.contexts.finishing import begin, finish
from ullage.contexts.models import Models
from ullage.contexts.session import Session
from ullage.contexts.stamp import Stamp
from ullage.contexts.state import ContextState, Planned, after
from ullage.contexts.store_thread import StoreThread
from ullage.conversation.ids import is_ulid
from ullage.conversation.messages import Message
from ullage.conversation.operations import Operation, OperationKind, Origin
from ullage.conversation.usage import CountSource, Usage, measure, reserved_tokens
from ullage.errors import UllageError, UnknownContext
from ullage.events import Event, EventBus, EventKind, StatusStale
from ullage.settings import ContextSettings, Settings
from ullage.store.locks import ContextLocks
from ullage.store.records import ContextRecord
from ullage.store.store import Store
from ullage.tokens.cache import CountCache

Plan = Callable[[ContextState], Awaitable[Planned | None]]
"""Makes of the present state what is to be committed; None: there is nothing to change."""


@define(eq=False)
class Sessions:
    """What all use cases share: the sessions, and the parts that they are made of.

    ``settings`` are the process's, which models and their sizes go by; ``settings_of`` those of a workspace, which
    conversations go by.
    """

    store: StoreThread
    locks: ContextLocks
    models: Models
    bus: EventBus
    settings: Callable[[], Settings]
    counters: Counters
    settings_of: Callable[[str], Settings]
    stamp: Stamp = Factory(Stamp)
    counts: CountCache = Factory(CountCache)
    _open: dict[str, Session] = Factory(dict)

    async def get(self, context_id: str) -> Session:
        """The session, opened where it was not, and brought up to what another process may have committed.

        Raises UnknownContext.
        """
        session = self._open.get(context_id)
        if session is None:
            session = self._open.setdefault(context_id, await self._loaded(context_id))
        elif not session.lock.held:
            await self.refresh(session)
        return session

    async def glance(self, context_id: str) -> Session:
        """The session where it is open, else one for a look only, which nobody else sees. Raises UnknownContext."""
        session = self._open.get(context_id)
        if session is not None and not session.state.is_resting:
            return await self.get(context_id)
        return await self._loaded(context_id)

    def opened(self) -> list[Session]:
        return [session for session in self._open.values() if not session.state.is_resting]

    def drop(self, session: Session) -> None:
        self._open.pop(session.id, None)

    def operation(
        self, context_id: str, kind: OperationKind, detail: dict[str, object], origin: Origin = "client"
    ) -> Operation:
        return Operation(self.stamp.id(), context_id, kind, self.stamp.now(), origin, detail)

    async def change(
        self, session: Session, plan: Plan, *, then_cancel: bool = False, in_place: bool = True
    ) -> Planned | None:
        """Commit what ``plan`` makes of the present state, which stays the present one while it does. Once begun it is
        finished, also when the caller is cancelled (``then_cancel``: the cancel takes effect afterwards). ``in_place``:
        a commit that is quick need not go to the store's thread, though the event loop waits for it.

        Raises ContextBusy where another process writes this context.
        """
        async with session.mutex:
            await self.own(session)
            planned = await plan(session.state)
            if planned is None:
                return None
            begin()
            revision = self.store.commit_in_place(planned.commit) if in_place else None
            if revision is None:
                await finish(self._commit_on_thread(session, planned), then_cancel=then_cancel)
            else:
                self._take(session, planned, revision)
            return planned

    async def own_now(self, session: Session, *, take_over: bool = False) -> None:
        """The same for a request that changes nothing yet; ``take_over`` asks another holder to let go."""
        async with session.mutex:
            await self.own(session, take_over=take_over)

    async def own_if_free(self, session: Session) -> bool:
        """Take the context's lock unless another process holds it; whether this process has it now."""
        async with session.mutex:
            if not session.lock.held:
                if not self.locks.try_acquire(session.id):
                    return False
                await self._refresh_or_release(session)
            return True

    async def own(self, session: Session, *, take_over: bool = False) -> None:
        """Take the context's lock, and the state that its last owner left. The mutex is held by the caller."""
        if session.lock.held:
            return
        await self.refresh(session)  # a context that is gone needs no lock, and its lock's file is gone, too
        await (session.lock.take_over() if take_over else session.lock.acquire())
        await self._refresh_or_release(session)

    async def rest(self, session: Session) -> None:
        """Give lock and window back; see `Session.rest`."""
        async with session.mutex:
            session.rest()

    async def _refresh_or_release(self, session: Session) -> None:
        try:
            await self.refresh(session)
        except UllageError:
            session.lock.release()
            raise

    def context_settings(self, session: Session) -> ContextSettings:
        """What is set for conversations in this context's workspace."""
        return self.settings_of(session.state.record.workspace_uri).context

    async def usage(self, session: Session, max_tokens: int | None = None, *, exactly: bool = True) -> Usage:
        """How full the window is, counted for the context's model as far as it is known by now."""
        state = session.state
        form = await self.counted(session, state, exactly=exactly)
        active = self.models.known(state.record)
        limit = active.limit if active else None
        context = self.context_settings(session)
        return measure(
            tokens=form.tokens + session.tools_tokens,
            limit=limit,
            reserved=reserved_tokens(limit, context.reserve_output, max_tokens),
            messages=len(state.messages),
            source=form.source,
            growth=tuple(session.growth),
            threshold=context.compression.threshold,
        )

    async def counted(self, session: Session, state: ContextState, *, exactly: bool = True) -> CountedForm:
        """The window's form, counted. A server that should count and does not answer is no reason to fail: what needs
        no server counts then, and says so."""
        conversation, known = state.conversation, session.counted
        try:
            form = await self.counter(state.record).count(conversation, state.epoch, known, exactly=exactly)
        except UllageError:
            form = await self.counter_of(None).count(conversation, state.epoch, known, exactly=exactly)
        session.counted = form
        return form

    async def alone(self, state: ContextState, messages: Sequence[Message]) -> tuple[list[int], CountSource]:
        """What each message costs by itself; the same holds of servers that do not answer."""
        counter = self.counter(state.record)
        try:
            return await counter.alone(messages), counter.source
        except UllageError:
            counter = self.counter_of(None)
            return await counter.alone(messages), counter.source

    def counter(self, record: ContextRecord) -> WindowCounter:
        """For the context's model as far as it is known by now, else by a rule that needs no model."""
        return self.counter_of(self.models.known(record))

    def counter_of(self, active: ActiveModel | None) -> WindowCounter:
        return WindowCounter(active.counter if active else self.counters.fallback(), self.counts)

    async def counter_when_known(self, record: ContextRecord | None) -> WindowCounter:
        """The same after the model was looked for; without a model server the rule that needs none."""
        active = await self.models.active_if_any(record)
        if active is None:
            await self.counters.load_fallback()
        return self.counter_of(active)

    def tell(self, kind: EventKind, session: Session, detail: dict[str, object]) -> None:
        self.bus.publish(Event(kind, session.id, self.stamp.now(), detail))

    def announce(self, kind: EventKind, detail: dict[str, object]) -> None:
        """Tell of something that is of no single context."""
        self.bus.publish(Event(kind, None, self.stamp.now(), detail))

    def stale(self, context_id: str | None) -> None:
        self.bus.publish(StatusStale(context_id))

    async def _commit_on_thread(self, session: Session, planned: Planned) -> None:
        self._take(session, planned, await self.store.commit(planned.commit))

    def _take(self, session: Session, planned: Planned, revision: int) -> None:
        session.state = after(session.state, planned, revision)
        self.stale(session.id)

    async def _loaded(self, context_id: str) -> Session:
        if not is_ulid(context_id):
            raise unknown_context()

        def read(store: Store) -> ContextState | None:
            record = store.context(context_id)
            return ContextState.loaded(record, store.window(context_id)) if record else None

        state = await self.store.run(read)
        if state is None:
            raise unknown_context()
        return Session(state, self.locks.lock(context_id))

    async def refresh(self, session: Session) -> None:
        """Load the state anew where another process changed it."""
        present = session.state

        def read(store: Store) -> ContextState | None:
            if store.revision(session.id) == present.revision:
                return present
            record = store.context(session.id)
            window = store.window(session.id) if record else None
            return ContextState.loaded(record, window, present.epoch + 1) if record and window else None

        state = await self.store.run(read)
        if state is None:
            self.drop(session)
            raise unknown_context()
        if session.state is present:
            session.state = state


def unknown_context() -> UnknownContext:
    return UnknownContext("There is no context with this id. Ask for the list, or open one for a workspace.")


@asynccontextmanager
async def letting_go(session: Session) -> AsyncGenerator[None]:
    """End what is going on with a context: an answer, which is kept as far as it has come, and what makes room; a
    snapshot that is being made is finished. When they have put things in order, the block lets go of the context;
    until its end nothing begins unbidden."""
    session.partings += 1
    try:
        while (tasks := _at_work(session)) or session.keeping:
            for task in tasks:
                task.cancel()
            await asyncio.wait([*tasks, *session.keeping])
        yield
    finally:
        session.partings -= 1


def _at_work(session: Session) -> list[asyncio.Task[Any]]:
    return [task for task in (session.answer, session.compressing, *session.requests) if task is not None]
