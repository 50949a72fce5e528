"""What the server tells unasked: events at once, statuses at most ten times a second for each context."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from attrs import Factory, define

from ullage.contexts.values import ContextStatus
from ullage.errors import UllageError
from ullage.events import Event, Signal, StatusStale
from ullage.lsp.results import EventParams

logger = logging.getLogger(__name__)

SHORTEST_INTERVAL_S = 0.1

Notify = Callable[[str, object], None]
MakeStatus = Callable[[str], Awaitable[ContextStatus | None]]


@define(eq=False)
class Notifier:
    """Listens to the event bus. ``open_ids`` are the contexts that a signal about all of them means."""

    notify: Notify
    make_status: MakeStatus
    open_ids: Callable[[], list[str]]
    _sent_at: dict[str, float] = Factory(dict)
    _sent: dict[str, ContextStatus] = Factory(dict)
    _due: dict[str, asyncio.TimerHandle] = Factory(dict)
    _working: set[asyncio.Task[None]] = Factory(set)

    def hear(self, signal: Signal) -> None:
        if isinstance(signal, Event):
            self.notify("context/event", EventParams(signal.kind, signal.context_id, signal.at, signal.detail))
        elif isinstance(signal, StatusStale):
            for context_id in [signal.context_id] if signal.context_id else self.open_ids():
                self._schedule(context_id)

    def close(self) -> None:
        for handle in self._due.values():
            handle.cancel()
        self._due.clear()

    def _schedule(self, context_id: str) -> None:
        """The last state is always sent: a change that comes too soon is sent when its time has come."""
        if context_id in self._due:
            return
        loop = asyncio.get_running_loop()
        wait = self._sent_at.get(context_id, float("-inf")) + SHORTEST_INTERVAL_S - loop.time()
        self._due[context_id] = loop.call_later(max(wait, 0), self._begin, context_id)

    def _begin(self, context_id: str) -> None:
        self._due.pop(context_id, None)
        self._sent_at[context_id] = asyncio.get_running_loop().time()
        task = asyncio.create_task(self._send(context_id))
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _send(self, context_id: str) -> None:
        try:
            status = await self.make_status(context_id)
        except UllageError as error:  # the context may be gone by now
            logger.debug("No status for a context: %s", error.kind)
            return
        if status is not None and status != self._sent.get(context_id):
            self._sent[context_id] = status
            self.notify("context/statusChanged", status)
