"""Readings without waiting: a driver's call that hangs costs its caller a moment once, and nobody anything after."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from ullage.hardware.detection import detect
from ullage.hardware.probe import Probe, blank, summed
from ullage.memory.readings import MemoryReading

logger = logging.getLogger(__name__)

TIME_LIMIT_S = 2.0

_Answer = asyncio.Future[MemoryReading | None]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Poller:
    """Reads on one thread of its own, which also looks for the hardware: that may hang as well.

    While a call hangs, every answer is at once the shape of the last reading with nothing known in it, and no second
    call is begun; when the call returns, what it brings is too old to be told, and the next reading is asked for anew.
    The thread is a daemon: a call that hangs does not keep the process from ending. Belongs to one event loop.
    """

    def __init__(
        self,
        find: Callable[[], Probe] = detect,
        *,
        time_limit_s: float = TIME_LIMIT_S,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._find = find
        self._time_limit_s = time_limit_s
        self._clock_ms = clock_ms
        self._orders: queue.SimpleQueue[tuple[_Answer, int] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._pending: _Answer | None = None
        self._deadline = 0.0
        self._probe: Probe | None = None
        self._failure: type[Exception] | None = None
        self._last: MemoryReading | None = None

    @property
    def last(self) -> MemoryReading | None:
        """The last answer; None before the first."""
        return self._last

    @property
    def source(self) -> str | None:
        """Where the figures come from, in words for a person; None while the hardware has not been found."""
        return None if self._probe is None else self._probe.name

    async def read(self) -> MemoryReading:
        """The memory now. Callers at the same time share one reading. Raises nothing but cancellation."""
        pending = self._pending or self._order()
        remaining = max(self._deadline - pending.get_loop().time(), 0.0)
        await asyncio.wait([pending], timeout=remaining)
        self._last = (pending.result() if pending.done() else None) or self._unknown()
        return self._last

    def close(self) -> None:
        """End the thread as soon as its call returns. No reading may be asked for after."""
        self._orders.put(None)

    def _order(self) -> _Answer:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="hardware", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        self._deadline = loop.time() + self._time_limit_s
        self._pending = pending = loop.create_future()
        self._orders.put((pending, self._clock_ms()))
        return pending

    def _deliver(self, pending: _Answer, reading: MemoryReading | None) -> None:
        """A reading that comes late is dropped: it tells of the moment when it was asked for."""
        self._pending = None
        in_time = pending.get_loop().time() <= self._deadline
        pending.set_result(reading if in_time else None)

    def _unknown(self) -> MemoryReading:
        at_ms = self._clock_ms()
        if self._last is not None:
            return blank(self._last, at_ms)
        return summed("cpu" if self._probe is None else self._probe.kind, (), at_ms)

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            pending, at_ms = order
            reading = self._read_now(at_ms)
            with suppress(RuntimeError):  # the loop has been closed meanwhile: nobody waits
                pending.get_loop().call_soon_threadsafe(self._deliver, pending, reading)

    def _read_now(self, at_ms: int) -> MemoryReading | None:
        """None where it failed. The same failure is logged once, by its kind alone."""
        try:
            if self._probe is None:
                self._probe = self._find()
            reading = self._probe.read(at_ms)
        except Exception as error:  # whatever a driver does, the answer is a reading
            if self._failure is not type(error):
                logger.warning("Reading the memory failed with %s", type(error).__name__)
            self._failure = type(error)
            return None
        self._failure = None
        return reading
