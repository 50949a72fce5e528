"""Watches memory: every few seconds while somebody works or watches, seldom while nobody does."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

from attrs import Factory, define

from ullage.contexts.finishing import ended
from ullage.contexts.making_room.memory_guard import MemoryGuard
from ullage.contexts.sessions import Sessions
from ullage.contexts.sizes import Sizes
from ullage.contexts.values import MemorySample
from ullage.errors import UllageError
from ullage.memory.readings import MemoryReading
from ullage.memory.watermark import Watermark, low_watermark_bytes
from ullage.whereabouts import whereabouts

logger = logging.getLogger(__name__)

IDLE_FACTOR = 12
"""How much slower the watch is while no context is open and nothing answers."""

HISTORY_MS = 3_600_000
SHOWN_STEP = 0.005
"""The share of the total by which available memory must change before a status bar is told."""


@define(eq=False)
class Monitor:
    sessions: Sessions
    sizes: Sizes
    tell_low: Callable[[MemoryReading, int], None]
    guard: MemoryGuard
    history: deque[MemorySample] = Factory(deque)
    _watermark: Watermark | None = None
    _shown: int | None = None
    _following: asyncio.Task[None] | None = None

    async def watch(self) -> None:
        """Runs as long as the process; one failed look does not end it. It wakes as often as somebody who watches may
        want, so that nobody waits for the end of an idle pause."""
        looked_at = float("-inf")
        try:
            while True:
                if time.monotonic() - looked_at >= self.interval_s:
                    looked_at = time.monotonic()
                    await self._look_safely()
                await asyncio.sleep(self.sessions.settings().memory.poll_seconds)
        finally:
            await self.close()

    async def close(self) -> None:
        """End what follows a look; when it has put things in order, nothing of it touches a context any more."""
        if self._following is not None:
            await ended(self._following)
        await self.guard.close()

    @property
    def interval_s(self) -> float:
        """Seconds between two looks; a little less, as a timer may wake early."""
        seconds = self.sessions.settings().memory.poll_seconds * 0.99
        return seconds if self.sessions.opened() else seconds * IDLE_FACTOR

    async def look(self) -> None:
        """One reading and what is told of it."""
        reading = await self.sizes.reading()
        self._keep(reading)
        self._warn(reading)
        if self._changed(reading):
            self.sessions.stale(None)

    async def follow(self) -> None:
        """The guard acts on what was read, and sizes follow it. One model that can't be changed keeps no other from
        it."""
        await self.guard.look()
        for active in self.sessions.models.in_use():
            try:
                await self.sizes.follow_memory(active)
            except UllageError as error:
                logger.info("The size of %s did not follow memory this time: %s", active.key, error.kind)

    async def _look_safely(self) -> None:
        """A reload takes as long as it takes; readings go on meanwhile."""
        try:
            await self.look()
        except Exception as error:  # the next look may succeed
            logger.error("Memory could not be looked at: %s", whereabouts(error))  # noqa: TRY400  # not its text
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._follow_safely())

    async def _follow_safely(self) -> None:
        try:
            await self.follow()
        except Exception as error:  # the next look may succeed
            logger.error("Sizes could not follow memory: %s", whereabouts(error))  # noqa: TRY400  # not its text

    def _keep(self, reading: MemoryReading) -> None:
        if reading.used is None or reading.total is None:
            return
        self.history.append(MemorySample(reading.at, reading.used, reading.total))
        while self.history[0].at < reading.at - HISTORY_MS:
            self.history.popleft()

    def _warn(self, reading: MemoryReading) -> None:
        threshold = low_watermark_bytes(self.sessions.settings())
        if self._watermark is None or self._watermark.threshold != threshold:
            self._watermark = Watermark(threshold, is_low=self._watermark is not None and self._watermark.is_low)
        self._watermark, fired = self._watermark.observe(reading)
        if fired:
            self.tell_low(reading, threshold)

    def _changed(self, reading: MemoryReading) -> bool:
        available, total = reading.available, reading.total
        if available is None or not total:
            changed = available != self._shown
        else:
            changed = self._shown is None or abs(available - self._shown) >= total * SHOWN_STEP
        if changed:
            self._shown = available
        return changed
