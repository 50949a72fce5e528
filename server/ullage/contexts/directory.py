"""Which contexts there are: made, found, renamed, moved, switched between, laid to rest, erased."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from attrs import define

from ullage.contexts.active_model import ActiveModel
from ullage.contexts.drafts import checked_text
from ullage.contexts.finishing import begin, finish
from ullage.contexts.modes import in_mode, persona, preferred_model, preferred_model_if_offered
from ullage.contexts.session import Session
from ullage.contexts.sessions import Sessions, letting_go
from ullage.contexts.state import ContextState, Planned
from ullage.contexts.values import Context, Priority, SwitchResult
from ullage.contexts.workspaces import moved, normalise_uri
from ullage.conversation.operations import OperationKind
from ullage.errors import InvalidArgument, UllageError, UnknownContext
from ullage.settings import Mode, camel
from ullage.store.records import Commit, ContextRecord
from ullage.store.store import Store

logger = logging.getLogger(__name__)

LONGEST_NAME = 200

TOLD = ("name", "mode", "model", "provider", "workspace_uri")
"""What the log tells of a change of the record; a system prompt is the person's own words, and stays out of it."""


async def _nothing_else(_: str) -> None:
    """Until somebody keeps files of a context."""


@define(eq=False)
class Directory:
    """``active_id`` is the context that requests without an id mean; ``before_delete`` erases what lies beside the
    store."""

    sessions: Sessions
    active_id: str | None = None
    before_delete: Callable[[str], Awaitable[None]] = _nothing_else

    async def open(
        self,
        workspace_uri: str,
        name: str = "main",
        *,
        mode: str | None = None,
        model: str | None = None,
        activate: bool = True,
        take_over: bool = False,
    ) -> Context:
        """The context of this workspace and name, made on first use. ``take_over`` asks another process that writes it
        to let go.

        A mode that is new to the context brings its prompt and its model. A model that nobody offers at this moment is
        no reason not to open: it is tried again at the next opening, as long as the context has no model of its own.
        """
        uri, name = normalise_uri(workspace_uri), _checked_name(name)
        if mode is not None:
            self._persona(mode)
        choice = await self.sessions.models.find(model) if model else None
        record = await self._found_or_made(uri, name, mode)
        session = await self.sessions.get(record.id)
        if take_over:
            await self.sessions.own_now(session, take_over=True)
        before = session.state.record
        changes = await self._opening(before, mode, choice)
        if changes:
            await self._amend(session, "open", changes)
        if "model" in changes and before.model is not None:
            self._tell_model(session, before.model)
        if activate:
            self._activate(session.id)
        self.sessions.stale(session.id)
        return await self.context(session)

    async def update(
        self,
        context_id: str,
        *,
        name: str | None = None,
        mode: str | None = None,
        workspace_uri: str | None = None,
        system_prompt: str | None = None,
    ) -> Context:
        """Rename, move, or give another mode or system prompt; an empty text takes the present one away.

        A mode brings its prompt and its model, also where the context has that mode already. Where its model can't be
        had, ModelUnavailable or ProviderUnavailable says so and nothing is changed. Without a mode the model stays.
        """
        session = await self.sessions.get(context_id)
        changes: dict[str, Any] = {}
        if mode is not None:
            chosen = self._persona(mode) if mode else Mode()
            model = await preferred_model(self.sessions.models, chosen)
            changes |= in_mode(session.state.record, mode or None, chosen)
            changes |= _with_model(session.state.record, model)
        if system_prompt is not None:
            checked_text(system_prompt, "systemPrompt")
            changes["system_prompt"] = system_prompt or None
            if changes.get("mode", session.state.record.mode):
                changes["own_prompt"] = system_prompt or None
        if name is not None:
            changes["name"] = _checked_name(name)
        if workspace_uri is not None:
            changes["workspace_uri"] = normalise_uri(workspace_uri)
        await self._refuse_taken(session, changes)
        previous = session.state.record.model
        if changes:
            await self._amend(session, "update", changes)
        if "model" in changes:
            self._tell_model(session, previous)
        return await self.context(session)

    async def all(self) -> list[Context]:
        records = await self.sessions.store.run(lambda store: store.contexts())
        contexts = []
        for record in records:
            try:
                contexts.append(await self.context(await self.sessions.glance(record.id)))
            except UnknownContext:  # erased by another process since the list was read
                continue
        return contexts

    async def switch(self, context_id: str) -> SwitchResult:
        """Make a context the active one."""
        began = time.perf_counter()
        loaded = any(session.id == context_id for session in self.sessions.opened())
        session = await self.sessions.get(context_id)
        if session.state.record.dormant:
            await self._amend(session, "open", {"dormant": False})
        previous = self._activate(session.id)
        context = await self.context(session)
        duration = (time.perf_counter() - began) * 1000
        self.sessions.tell("switched", session, {"previousContextId": previous})
        return SwitchResult(context, previous, "memory" if loaded else "store", round(duration, 3))

    async def close(self, context_id: str) -> Context:
        """Let a context rest. An answer on its way is kept as far as it has come. Where another process is writing the
        context it rests for this client only."""
        session = await self.sessions.get(context_id)
        async with letting_go(session):
            if not session.state.record.dormant and await self.sessions.own_if_free(session):
                await self._amend(session, "close", {"dormant": True})
            context = attrs.evolve(await self.context(session), priority="dormant")
            await self._rest(session)
        return context

    async def delete(self, context_id: str) -> None:
        """Erase a context for good."""
        session = await self.sessions.get(context_id)
        async with letting_go(session), session.mutex:
            await self.sessions.own(session)
            begin()
            await finish(self._erase(session.id))
            session.lock.release()
            self.sessions.drop(session)
        if self.active_id == session.id:
            self.active_id = None

    async def _erase(self, context_id: str) -> None:
        await self.before_delete(context_id)
        await self.sessions.store.run(lambda store: store.delete(context_id))

    async def resolve(self, context_id: str | None) -> Session:
        """The named context, or the active one."""
        if context_id is None and self.active_id is None:
            raise UnknownContext("No context is active. Open one for your workspace first.")
        return await self.sessions.get((self.active_id or "") if context_id is None else context_id)

    async def select_model(self, context_id: str, model: str) -> Context:
        """Give a context another model; its window is counted anew for it."""
        session = await self.sessions.get(context_id)
        active = await self.sessions.models.find(model)
        previous = session.state.record.model
        await self._amend(session, "selectModel", {"provider": active.provider.name, "model": active.name})
        self._tell_model(session, previous)
        return await self.context(session)

    async def folder_renamed(self, old_uri: str, new_uri: str) -> int:
        """Contexts move with their folder. Returns how many could not, because another process writes them or the new
        folder has one of the name already: they stay where they were, reachable, and nothing is lost."""
        old, new = normalise_uri(old_uri, "oldUri"), normalise_uri(new_uri, "newUri")
        left_behind = 0
        for record in await self.sessions.store.run(lambda store: store.contexts()):
            target = moved(record.workspace_uri, old, new)
            if target is None:
                continue
            try:
                session = await self.sessions.get(record.id)
                await self._refuse_taken(session, {"workspace_uri": target})
                if await self.sessions.own_if_free(session):
                    await self._amend(session, "rename", {"workspace_uri": target})
                    continue
            except UllageError as error:
                logger.warning("A context did not move with its folder: %s", error.kind)
            left_behind += 1
        return left_behind

    async def folder_removed(self, uri: str) -> None:
        """The contexts of a folder that left the workspace rest; another window may still have them open."""
        normal = normalise_uri(uri, "uri")
        for session in self.sessions.opened():
            if session.state.record.workspace_uri != normal:
                continue
            async with letting_go(session):
                await self._rest(session)

    async def context(self, session: Session, *, exactly: bool = True) -> Context:
        record = session.state.record
        return Context(
            id=record.id,
            name=record.name,
            workspace_uri=record.workspace_uri,
            mode=record.mode,
            model=self._model_name(record),
            priority=self._priority(record),
            created_at=record.created_at,
            last_used_at=record.last_used_at,
            usage=await self.sessions.usage(session, exactly=exactly),
        )

    def _model_name(self, record: ContextRecord) -> str | None:
        if record.model:
            return record.model
        active = self.sessions.models.known(record)
        return active.name if active else None

    def _priority(self, record: ContextRecord) -> Priority:
        if record.dormant:
            return "dormant"
        return "active" if record.id == self.active_id else "ready"

    async def _opening(self, record: ContextRecord, mode: str | None, choice: ActiveModel | None) -> dict[str, Any]:
        """What opening changes of a context. A model that was asked for goes before the mode's."""
        changes: dict[str, Any] = {"dormant": False} if record.dormant else {}
        if mode is not None:
            chosen, is_new = self._persona(mode), record.mode != mode
            if is_new:
                changes |= in_mode(record, mode, chosen)
            if choice is None and (is_new or record.model is None):
                choice = await preferred_model_if_offered(self.sessions.models, chosen)
        return changes | _with_model(record, choice)

    def _persona(self, mode: str) -> Mode:
        return persona(self.sessions.settings(), mode)

    def _tell_model(self, session: Session, previous: str | None) -> None:
        """The trend was that of another tokenizer."""
        session.growth.clear()
        record = session.state.record
        detail: dict[str, object] = {"model": record.model, "provider": record.provider, "previous": previous}
        self.sessions.tell("modelChanged", session, detail)

    async def _found_or_made(self, uri: str, name: str, mode: str | None) -> ContextRecord:
        found = await self.sessions.store.run(lambda store: store.find(uri, name))
        if found is not None:
            return found
        return await finish(self._make(uri, name, mode))

    async def _make(self, uri: str, name: str, mode: str | None) -> ContextRecord:
        now = self.sessions.stamp.now()
        record = ContextRecord(
            id=self.sessions.stamp.id(),
            name=name,
            workspace_uri=uri,
            created_at=now,
            last_used_at=now,
            mode=mode,
            system_prompt=self._persona(mode).system_prompt if mode else None,
        )
        operation = self.sessions.operation(record.id, "open", {"name": name})

        def make(store: Store) -> ContextRecord:
            other = store.find(uri, name)
            if other is not None:  # another process, or a second request, was quicker
                return other
            store.create(record, operation)
            return record

        return await self.sessions.store.run(make)

    async def _amend(self, session: Session, kind: OperationKind, changes: dict[str, Any]) -> None:
        async def plan(state: ContextState) -> Planned:
            record = attrs.evolve(state.record, last_used_at=self.sessions.stamp.now(), **changes)
            detail = {camel(key): value for key, value in changes.items() if key in TOLD}
            return Planned(Commit(self.sessions.operation(session.id, kind, detail), record=record))

        await self.sessions.change(session, plan)

    async def _refuse_taken(self, session: Session, changes: dict[str, Any]) -> None:
        record = session.state.record
        uri = str(changes.get("workspace_uri", record.workspace_uri))
        name = str(changes.get("name", record.name))
        other = await self.sessions.store.run(lambda store: store.find(uri, name))
        if other is not None and other.id != session.id:
            path = "name" if "name" in changes else "workspaceUri"
            raise InvalidArgument("That workspace has a context of this name already. Choose another name.", path)

    def _activate(self, context_id: str) -> str | None:
        """Make a context the active one; return the id of the one before."""
        previous, self.active_id = self.active_id, context_id
        for changed in {previous, context_id} - {None}:
            self.sessions.stale(changed)
        return previous

    async def _rest(self, session: Session) -> None:
        await self.sessions.rest(session)
        if self.active_id == session.id:
            self.active_id = None


def _with_model(record: ContextRecord, active: ActiveModel | None) -> dict[str, Any]:
    """The changes that make a model the context's own."""
    if active is None or active.name == record.model:
        return {}
    return {"provider": active.provider.name, "model": active.name}


def _checked_name(name: str) -> str:
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidArgument(f"A context's name is 1 to {LONGEST_NAME} printable characters.", "name")
    return name.strip()
