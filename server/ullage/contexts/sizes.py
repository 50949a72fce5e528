"""How large a context is, may be, and becomes: one size for each server and model, whoever uses it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

import attrs
from attrs import Factory, define

from ullage.contexts.active_model import ActiveModel, SizeChoice
from ullage.contexts.directory import Directory
from ullage.contexts.finishing import begin
from ullage.contexts.making_room.room import Room
from ullage.contexts.model_memory import ModelMemory, Readings
from ullage.contexts.session import Session
from ullage.contexts.sessions import Sessions
from ullage.contexts.state import ContextState, Planned
from ullage.conversation.operations import Origin
from ullage.errors import ContextBusy, ContextOverflow, InsufficientMemory, UllageError
from ullage.memory.autosize import Allocated, growth_wait_s, new_size, within
from ullage.memory.guard import Allocation, CacheMemory, can_allocate
from ullage.memory.kv_cache import CELL_PADDING
from ullage.memory.placement import MainMemory
from ullage.memory.readings import MemoryReading
from ullage.memory.sizing import SizingReport, SizingRequest, require_fit, shortfall, size
from ullage.providers.base import Resized
from ullage.settings import CacheType
from ullage.store.records import Commit

logger = logging.getLogger(__name__)

PREPARING_S = 2.0
"""What deciding a resting model's size may add to the wait for a first answer."""


def _no_ram() -> MainMemory | None:
    """Where nobody reads it."""
    return None


class MemoryReader(Protocol):
    """Readings of this machine's memory, see `ullage.hardware.polling`."""

    @property
    def last(self) -> MemoryReading | None: ...

    async def read(self) -> MemoryReading: ...


@define(eq=False)
class Sizes:
    sessions: Sessions
    directory: Directory
    memory: ModelMemory
    room: Room
    reader: MemoryReader
    clock: Callable[[], float] = time.monotonic
    read_ram: Callable[[], MainMemory | None] = _no_ram
    _changed_at: dict[str, float] = Factory(dict)
    _refused: dict[str, int] = Factory(dict)
    _squeezes: dict[str, int] = Factory(dict)

    async def reading(self) -> MemoryReading:
        return await self.reader.read()

    async def sizing(
        self,
        context_id: str | None,
        model: str | None = None,
        cache_type: CacheType | None = None,
        *,
        as_much_as_fits: bool = False,
    ) -> SizingReport:
        """What size the model would get, and why; changes nothing. ``as_much_as_fits`` asks for the largest, whatever
        was chosen for the model or is set as target."""
        active = await self._active(context_id, model)
        if not as_much_as_fits:
            return size(await self._request(active, cache_type=cache_type))
        request = await self._request(active, choice=SizeChoice(auto=True, tokens=None), cache_type=cache_type)
        return size(attrs.evolve(request, target=0, minimum=CELL_PADDING))

    async def resize(self, context_id: str, tokens: int) -> SizingReport:
        """Give the context's model another size, for every context that uses it; their windows are made to fit.

        Raises InsufficientMemory where the size does not fit, or a conversation would not fit it; NotSupported where
        the server can't be told; ContextBusy during an answer, or where another process writes the context. Then
        nothing has changed.
        """
        session = await self.sessions.get(context_id)
        await self.sessions.own_now(session)
        active = await self.sessions.models.active(session.state.record)
        asked = await self._request(active, choice=SizeChoice(auto=False, tokens=tokens))
        request = attrs.evolve(asked, provider_limit=None)  # whether the server can do it is its own to say
        report = size(request)
        if active.window is None or report.tokens > active.window:
            require_fit(request, report.tokens)
        if active.can_resize or report.tokens != active.window:
            report = await self._apply(active, report)
        await self._choose(active, SizeChoice(auto=False, tokens=report.tokens))
        await self._log(session, active, report)
        return report

    async def auto_size(self, context_id: str, *, enabled: bool) -> SizingReport:
        """Let memory decide the size of the context's model from now on, or keep it as it is. During an answer the size
        stays until memory is looked at again."""
        session = await self.sessions.get(context_id)
        await self.sessions.own_now(session)
        active = await self.sessions.models.active(session.state.record)
        choice = SizeChoice(auto=enabled, tokens=None if enabled else active.limit)
        report = size(await self._request(active, choice=choice))
        if enabled and active.can_resize and report.tokens != active.limit and not self._is_answering(active):
            report = await self._apply(active, report)
            await self._log(session, active, report)
        await self._choose(active, choice)
        return report

    async def prepare(self, active: ActiveModel) -> None:
        """Decide the size of a model that rests, so that it will be loaded with a size that fits. Loads nothing. What
        can't be found out soon is not waited for: a person may be waiting for the first answer."""
        if active.window is not None or active.asked_at == float("-inf") or not active.can_resize:
            return
        try:
            async with asyncio.timeout(PREPARING_S):
                report = size(await self._request(active))
                if report.tokens > 0 and report.tokens != active.provider.planned_window(active.name):
                    resized = await active.provider.resize(active.name, report.tokens, report.cache_type)
                    self.sessions.models.resized(active, resized.tokens)
                await self.sessions.models.remember_given(active, active.limit or report.tokens)
        except TimeoutError:
            logger.info("The size of %s could not be decided in time; it stays as planned.", active.key)

    async def follow_memory(self, active: ActiveModel) -> SizingReport | None:
        """Give an automatic model the size that memory allows by now, where that is worth a reload; None: it stays.
        Only a model whose size we have decided ourselves, and never during an answer. Where words would have to leave a
        window for it, that is the guard's to decide: InsufficientMemory."""
        if not active.can_resize or self._is_occupied(active):
            return None
        limit = await self.sessions.models.limit(active)
        if limit is None or not _is_ours(active):
            return None
        request = await self._request(active)
        report = size(request)
        if not self.choice(active).auto:
            report = attrs.evolve(report, tokens=limit)  # only the person's bounds may still change it
        elif report.available_bytes is None:
            return None
        context = self.sessions.settings().context
        maximum = min((bound for bound in (context.max_size, report.model_limit) if bound), default=0)
        present = self._allocated(active, limit, request)
        tokens = new_size(present, report.tokens, request.minimum, maximum)
        if tokens is None or self._is_occupied(active):
            return None
        if tokens < limit == within(limit, request.minimum, maximum):
            await self._refuse_if_any_must_shrink(active, tokens)
        if present.memory_short and tokens < limit:
            self._squeezes[active.key] = present.repeats + 1
        return await self._apply(active, attrs.evolve(report, tokens=tokens))

    async def can_allocate(self, context_id: str | None, tokens: int) -> Allocation:
        """Whether so many more tokens may join those in use."""
        session = await self.directory.resolve(context_id)
        usage = await self.sessions.usage(session)
        active = await self.sessions.models.active_if_any(session.state.record)
        cache = None
        if active is not None:
            known = await self.memory.known(active)
            cache = self.memory.cache_memory(active, known, await self._readings())
        return can_allocate(tokens, usage.tokens, usage.limit, usage.reserved, cache)

    async def cache_memory(self, session: Session) -> CacheMemory | None:
        """What memory the cache of this context's model may have; None where that is not known, or the model rests."""
        active = self.sessions.models.known(session.state.record)
        if active is None or active.window is None:
            return None
        known = await self.memory.known_lately(active)
        return self.memory.cache_memory(active, known, await self._readings()) if known.is_loaded else None

    async def reduce(self, session: Session, *, unbidden: bool = False) -> SizingReport | None:
        """Give the context's model as much less as memory asks for by now; None where that is not less, or not ours to
        change. ``unbidden``: not where the person has chosen the size, nor where words would have to leave a window
        for it. Raises as `resize`."""
        active = self.sessions.models.known(session.state.record)
        if active is None or active.limit is None or not self.can_reduce(session):
            return None
        if unbidden and not self.choice(active).auto:
            return None
        report = await self._automatic(active)
        if not 0 < report.tokens < active.limit:
            return None
        if unbidden:
            await self._refuse_if_any_must_shrink(active, report.tokens)
        report = await self._apply(active, report)
        await self._log(session, active, report, "guard" if unbidden else "client")
        return report

    async def usable_after_reducing(self, session: Session) -> int | None:
        """What a prompt of this context could take of the size that `reduce` would bring; None without a model."""
        active = self.sessions.models.known(session.state.record)
        if active is None:
            return None
        tokens = (await self._automatic(active)).tokens
        return self.room.usable(session, tokens if active.limit is None else min(tokens, active.limit))

    async def _automatic(self, active: ActiveModel) -> SizingReport:
        """The size that memory asks for by now, whoever has chosen the present one."""
        return size(await self._request(active, choice=SizeChoice(auto=True, tokens=None)))

    def can_reduce(self, session: Session) -> bool:
        """Whether the size of the context's model is ours to change."""
        active = self.sessions.models.known(session.state.record)
        return active is not None and active.can_resize and _is_ours(active)

    def is_answering(self, session: Session) -> bool:
        """Whether the context's model is answering, in whichever context of this process."""
        active = self.sessions.models.known(session.state.record)
        return session.answering or (active is not None and any(user.answering for user in self._users_of(active)))

    async def unload(self, model: str) -> int | None:
        """Take a model out of memory; the bytes that this freed, None where they are not known. Raises ContextBusy
        during an answer, and NotSupported where the server can't be told."""
        active = await self.sessions.models.find(model)
        async with active.resizing:
            self._refuse_while_answering(active)
            begin()
            freed = await active.provider.unload(active.name)
            self.sessions.models.unloaded(active)
        await self.memory.known(active)
        self.sessions.announce("modelUnloaded", {"model": active.name, "provider": active.provider.name})
        self.sessions.stale(None)
        return freed

    def choice(self, active: ActiveModel) -> SizeChoice:
        """The person's last word on this model, else the settings'; a size for the embedded engine goes before the
        general ones."""
        settings = self.sessions.settings()
        own_size = settings.providers.embedded.context_size
        if active.choice is not None:
            return active.choice
        if active.provider.name == "embedded" and own_size:
            return SizeChoice(auto=False, tokens=own_size)
        return SizeChoice(auto=settings.context.auto_size, tokens=None)

    async def _active(self, context_id: str | None, model: str | None) -> ActiveModel:
        if context_id is None and (model is not None or self.directory.active_id is None):
            return await (self.sessions.models.find(model) if model else self.sessions.models.active(None))
        session = await self.directory.resolve(context_id)
        if model is not None:
            return await self.sessions.models.find(model)
        return await self.sessions.models.active(session.state.record)

    async def _readings(self) -> Readings:
        reading = await self.reading()
        ram = None if reading.kind == "cpu" else await asyncio.to_thread(self.read_ram)
        return Readings(reading, ram)

    async def _request(
        self, active: ActiveModel, *, choice: SizeChoice | None = None, cache_type: CacheType | None = None
    ) -> SizingRequest:
        chosen = choice or self.choice(active)
        target = chosen.tokens if not chosen.auto and chosen.tokens else self.sessions.settings().context.target_size
        known = await self.memory.known(active)
        readings = await self._readings()
        return self.memory.request(active, known, readings, auto=chosen.auto, target=target, cache_type=cache_type)

    async def _apply(self, active: ActiveModel, report: SizingReport) -> SizingReport:
        """Resize on the server, once it is certain that all that is in use can be made to fit. New answers wait until
        it does, so that no prompt is cut by the server, and a refusal leaves everything as it was."""
        async with active.resizing:
            self._refuse_while_answering(active)
            before = active.limit
            await self._require_room(active, report.tokens)
            begin()
            resized = await self._resized(active, report)
            await self._make_room(active, resized.tokens)
        await self.memory.known(active)
        if resized.reloaded or resized.tokens != before:
            detail: dict[str, object] = {"model": active.name, "before": before, "after": resized.tokens}
            self.sessions.announce("resized", {**detail, "reloaded": resized.reloaded})
        self.sessions.stale(None)
        if resized.tokens < report.tokens:
            told = f"limited by the server, which gave {resized.tokens:,} of {report.tokens:,} tokens"
            report = attrs.evolve(report, limited_by="provider", explanation=told)
        return attrs.evolve(report, tokens=resized.tokens, reloaded=resized.reloaded)

    async def _resized(self, active: ActiveModel, report: SizingReport) -> Resized:
        """An attempt that fails rests as long as one that does not: it, too, may have cost a reload."""
        self._changed_at[active.key] = self.clock()
        try:
            resized = await active.provider.resize(active.name, report.tokens, report.cache_type)
        except UllageError:
            active.asked_at = float("-inf")
            self._refused[active.key] = report.tokens
            raise
        if resized.tokens < report.tokens:
            self._refused[active.key] = report.tokens
        elif resized.tokens >= self._refused.get(active.key, 0):
            self._refused.pop(active.key, None)
        self.sessions.models.resized(active, resized.tokens)
        await self.sessions.models.remember_given(active, resized.tokens)
        return resized

    async def _require_room(self, active: ActiveModel, limit: int) -> None:
        """Every conversation with this model fits the limit, or can be made to by this process, which changes none of
        them yet. Raises InsufficientMemory, or ContextBusy where another process writes what would have to leave."""
        if active.limit is not None and limit >= active.limit:
            return
        for session in self._users_of(active):
            try:
                must_shrink = await self.room.must_shrink(session, limit)
            except ContextOverflow as overflow:
                raise InsufficientMemory(
                    f"A conversation with this model needs {overflow.data.get('needed'):,} tokens, more than {limit:,}"
                    " would leave it. Clear it, or choose a larger size.",
                    **overflow.data,
                ) from overflow
            if must_shrink:
                await self.sessions.own_now(session)

    async def _refuse_if_any_must_shrink(self, active: ActiveModel, limit: int) -> None:
        for session in self._users_of(active):
            if await self.room.must_shrink(session, limit):
                raise InsufficientMemory("A conversation with this model has to become smaller first. Compress it.")

    async def _make_room(self, active: ActiveModel, limit: int) -> None:
        for session in self._users_of(active):
            try:
                await self.room.shrink(session, limit)
            except UllageError as error:  # something came in meanwhile: the next prompt makes room, or says why not
                logger.info("A conversation was not made to fit a new size: %s", error.kind)

    def _allocated(self, active: ActiveModel, limit: int, request: SizingRequest) -> Allocated:
        """Memory is short where half of the buffer is gone, as for the low watermark: sizes that fill memory up to the
        buffer are no alarm when a driver takes its own part of it."""
        changed_at = self._changed_at.get(active.key)
        changed_s = None if changed_at is None else self.clock() - changed_at
        repeats = self._squeezes.get(active.key, 0)
        if changed_s is not None and changed_s >= growth_wait_s(repeats):
            repeats = self._squeezes[active.key] = 0
        return Allocated(
            tokens=limit,
            changed_s=changed_s,
            memory_short=shortfall(request, limit) > request.reserve_bytes // 2,
            repeats=repeats,
            refused=self._refused.get(active.key),
        )

    def _users_of(self, active: ActiveModel) -> list[Session]:
        return [s for s in self.sessions.opened() if self.sessions.models.known(s.state.record) is active]

    def _is_answering(self, active: ActiveModel) -> bool:
        return active.answers > 0 or any(session.answering for session in self._users_of(active))

    def _is_occupied(self, active: ActiveModel) -> bool:
        return active.resizing.locked() or self._is_answering(active)

    def _refuse_while_answering(self, active: ActiveModel) -> None:
        if self._is_answering(active):
            raise ContextBusy("The model is answering. Try again when the answer has come.", reason="answering")

    async def _choose(self, active: ActiveModel, choice: SizeChoice) -> None:
        active.choice = choice
        await self.sessions.models.remember_choice(active)
        self.sessions.stale(None)

    async def _log(
        self, session: Session, active: ActiveModel, report: SizingReport, origin: Origin = "client"
    ) -> None:
        """Of a context that was let go of meanwhile nothing is told: its lock would be taken again for that."""
        if session.is_let_go:
            return
        detail: dict[str, object] = {"tokens": report.tokens, "model": active.name, "reloaded": report.reloaded}

        async def plan(_: ContextState) -> Planned:
            return Planned(Commit(self.sessions.operation(session.id, "resize", detail, origin)))

        await self.sessions.change(session, plan)


def _is_ours(active: ActiveModel) -> bool:
    """Whether a model rests, or has the size that we gave it, in this process or an earlier one; what somebody else has
    loaded is not ours to change."""
    return active.window is None or active.window in (active.given, active.provider.planned_window(active.name))
