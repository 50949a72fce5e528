"""What a status bar and a table of figures show of a context."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from attrs import define

from ullage.contexts.active_model import ActiveModel
from ullage.contexts.directory import Directory
from ullage.contexts.keeping.snapshots import Snapshots
from ullage.contexts.monitor import Monitor
from ullage.contexts.session import Session
from ullage.contexts.sessions import Sessions
from ullage.contexts.sizes import Sizes
from ullage.contexts.values import (
    AutoCompress,
    CompressionRecord,
    Context,
    ContextStats,
    ContextStatus,
    CountCacheStats,
    KvCacheState,
    ModelState,
    PromptStats,
    TimingStats,
    TokensByRole,
)
from ullage.contexts.views import window_text
from ullage.conversation.messages import Message
from ullage.conversation.operations import Operation
from ullage.conversation.usage import warning_for
from ullage.settings import Resolved
from ullage.store.records import LoggedOperation

LOOKED_THROUGH = 1000
"""The newest operations among which compressions are looked for."""


@define(eq=False)
class Reports:
    sessions: Sessions
    directory: Directory
    sizes: Sizes
    monitor: Monitor
    snapshots: Snapshots
    resolved_of: Callable[[str], Resolved]

    async def status(self, context_id: str | None) -> ContextStatus:
        """The context's status once its model was looked for."""
        session = await self.directory.resolve(context_id)
        active = await self.sessions.models.active_if_any(session.state.record)
        if active is not None:
            await self.sizes.memory.known_lately(active)
        if self.sizes.reader.last is None:
            await self.sizes.reading()
        return await self._status(session, await self.directory.context(session))

    async def status_now(self, session: Session) -> ContextStatus:
        """The same without waiting for a model server, as a status bar wants it at every change."""
        return await self._status(session, await self.directory.context(session, exactly=False))

    async def _status(self, session: Session, context: Context) -> ContextStatus:
        settings = self.sessions.context_settings(session)
        snapshots = await self.snapshots.totals.of(session.id)
        active = self.sessions.models.known(session.state.record)
        usage = context.usage
        return ContextStatus(
            context=context,
            model=ModelState(context.model, _provider_name(session, active), bool(active and active.window)),
            usage=usage,
            memory=self.sizes.reader.last,
            kv_cache=self._kv_cache(active),
            snapshots=snapshots.count,
            auto_size=self.sizes.choice(active).auto if active else settings.auto_size,
            auto_compress=AutoCompress(settings.compression.enabled, settings.compression.threshold),
            compressing=session.reductions > 0,
            warning=warning_for(usage.pressure, settings.compression.threshold),
            text=window_text(usage.tokens, usage.limit),
        )

    async def stats(self, context_id: str | None) -> ContextStats:
        session = await self.directory.resolve(context_id)
        status = await self.status(session.id)
        timing = session.last_timing
        counts = self.sessions.counts
        known = self.sizes.memory.known_now(self.sessions.models.known(session.state.record))
        return ContextStats(
            **attrs.asdict(status, recurse=False),
            weights_bytes=known.weights_bytes if known else None,
            tokens_by_role=await self._by_role(session),
            compressions=await self._compressions(session),
            snapshot_bytes=(await self.snapshots.totals.of(session.id)).bytes,
            count_cache=CountCacheStats(counts.hits, counts.misses),
            prompt=PromptStats(session.prompt_evaluated, session.prompt_reused),
            timings=TimingStats(
                first_token_ms=timing.first_token_ms if timing else None,
                total_ms=timing.total_ms if timing else None,
                tokens_per_second=_speed(timing.completion_tokens, timing.first_token_ms, timing.total_ms)
                if timing
                else None,
            ),
            settings=tuple(self.resolved_of(session.state.record.workspace_uri).values()),
            memory_history=tuple(self.monitor.history),
        )

    async def _compressions(self, session: Session) -> tuple[CompressionRecord, ...]:
        """Those that stand, the oldest first."""
        logged = await self.sessions.store.run(lambda store: store.operations([session.id], None, LOOKED_THROUGH))
        return tuple(_record(entry.operation) for entry in logged if _is_compression(entry))

    def _kv_cache(self, active: ActiveModel | None) -> KvCacheState:
        memory = self.sizes.memory
        known = memory.known_now(active)
        size = memory.cache_bytes(active, known) if active and known else None
        return memory.kv_cache(active, known, size)

    async def _by_role(self, session: Session) -> TokensByRole:
        record = session.state.record
        messages = list(session.state.messages)
        if record.system_prompt:
            messages.append(Message("", "system", record.system_prompt, record.created_at))
        counts, _ = await self.sessions.alone(session.state, messages)

        def total(role: str) -> int:
            return sum(tokens for m, tokens in zip(messages, counts, strict=True) if _role(m) == role)

        return TokensByRole(total("system"), total("user"), total("assistant"), total("tool"))


def _is_compression(entry: LoggedOperation) -> bool:
    return entry.operation.kind in ("compress", "trim") and not entry.undone


def _record(operation: Operation) -> CompressionRecord:
    """Of an operation's own detail; versions before compression logged no figures."""
    strategy, ratio = operation.detail.get("strategy"), operation.detail.get("ratio")
    return CompressionRecord(
        operation.at,
        strategy if strategy in ("summarize", "hybrid") else "truncate",
        ratio if isinstance(ratio, float) else 1.0,
    )


def _role(message: Message) -> str:
    return "system" if message.summary_of is not None else message.role


def _provider_name(session: Session, active: ActiveModel | None) -> str | None:
    return active.provider.name if active else session.state.record.provider


def _speed(tokens: int, first_ms: float | None, total_ms: float) -> float | None:
    """Tokens a second after the first one came; None where there is nothing to measure."""
    if first_ms is None or tokens < 2 or total_ms <= first_ms:
        return None
    return round((tokens - 1) / (total_ms - first_ms) * 1000, 1)
