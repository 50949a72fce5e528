"""Watches how full each window is: a snapshot and a compression before room is short, never a loss."""

from __future__ import annotations

import logging

from attrs import define

from ullage.contexts.keeping.snapshots import Snapshots
from ullage.contexts.making_room.background import BackgroundCompressions
from ullage.contexts.making_room.compression import Aim, Compressions
from ullage.contexts.making_room.progress import Report, unreported
from ullage.contexts.session import Session
from ullage.contexts.sessions import Sessions
from ullage.contexts.values import CompressionResult, SnapshotTrigger
from ullage.conversation.usage import CRITICAL_PRESSURE, Usage, usable_tokens
from ullage.errors import UllageError
from ullage.memory.guard import window_gauge
from ullage.settings import ContextSettings

logger = logging.getLogger(__name__)

MOST_REJECTIONS = 3
"""Summaries rejected one after the other, from which on the model is not asked for another unbidden."""


@define(eq=False)
class WindowGuard:
    """The gauge is ``pressure``, see design of `ullage.memory.guard`; it never clears a conversation."""

    sessions: Sessions
    compressions: Compressions
    background: BackgroundCompressions
    snapshots: Snapshots

    async def grown(self, session: Session, usage: Usage) -> None:
        """Called when something was said. The snapshot is there before the reply, the compression runs behind it."""
        settings = self.sessions.context_settings(session)
        session.window_level, before = window_gauge(usage.pressure, session.window_level).level, session.window_level
        if usage.pressure is None:
            return
        was_kept, session.is_kept = session.is_kept, usage.pressure >= settings.snapshots.auto_threshold
        if session.window_level == "critical" != before:
            self.sessions.tell("preOverflow", session, {"tokens": usage.tokens, "limit": usage.limit})
            await self._snapshot(session, "emergency")
        elif session.is_kept and not was_kept:
            await self._snapshot(session, "threshold")
        if usage.pressure >= settings.compression.threshold and self._is_due(session, settings, usage):
            session.attempted_tokens = usage.tokens
            self.background.start(session, self.automatic(session, settings, usage))

    async def make_room(
        self, session: Session, usage: Usage, ceiling: int | None, report: Report = unreported
    ) -> CompressionResult | None:
        """What the next request waits for: with a ceiling because it would not fit, else because it is critical."""
        settings = self.sessions.context_settings(session)
        session.attempted_tokens = usage.tokens
        aim = self.automatic(session, settings, usage, ceiling)
        return await self.compressions.reduce(session, aim, report)

    def is_pressing(self, session: Session, usage: Usage) -> bool:
        """Whether the next request is to wait for a compression although it would fit."""
        settings = self.sessions.context_settings(session)
        critical = usage.pressure is not None and usage.pressure >= CRITICAL_PRESSURE
        return critical and (session.compressing is not None or self._is_due(session, settings, usage))

    def automatic(self, session: Session, settings: ContextSettings, usage: Usage, ceiling: int | None = None) -> Aim:
        """Down to the target, by the strategy of the settings."""
        usable = usable_tokens(usage.limit or 0, usage.reserved)
        strategy = settings.compression.strategy
        if session.rejected_summaries >= MOST_REJECTIONS:
            strategy = "truncate"
        return Aim(strategy, int(usable * settings.compression.target), ceiling, "guard")

    def _is_due(self, session: Session, settings: ContextSettings, usage: Usage) -> bool:
        return settings.compression.enabled and usage.limit is not None and session.has_grown(usage)

    async def _snapshot(self, session: Session, trigger: SnapshotTrigger) -> None:
        """What was said is durable already; a snapshot that can't be made is told in the log and keeps nobody. Where
        they are switched off, it is made up for once they are not."""
        try:
            if await self.snapshots.automatic(session, trigger) is None:
                session.is_kept = False
        except UllageError as error:
            logger.warning("No automatic snapshot could be made: %s", error.kind)
