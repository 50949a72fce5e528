"""The store on a thread of its own, so that a slow disk stops the event loop once at most: see `QUICK_S`."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from ullage.store.opening import Opened
from ullage.store.records import Commit
from ullage.store.store import Store

T = TypeVar("T")

QUICK_S = 0.002
"""A disk that makes commits durable in less is waited for in place: going to the thread and back would cost as much."""

MOST_IN_PLACE = 256
"""New messages and places of a window: a commit of more than that takes long on any disk."""

_WEIGHT = 0.2


class StoreThread:
    """Runs one piece of work at a time against the store.

    Opening begins at once and is the first piece of work; what it raises, everything that follows raises too.
    """

    def __init__(self, open_store: Callable[[], Opened]) -> None:
        self._executor = ThreadPoolExecutor(1, "store")
        self._using = threading.Lock()
        self._commit_s = QUICK_S
        self._opening: Future[Opened] = self._executor.submit(open_store)

    async def opened(self) -> Opened:
        """What opening found, a damaged file that was set aside included."""
        return await asyncio.wrap_future(self._opening)

    async def run(self, work: Callable[[Store], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._with_store, work)

    def run_blocking(self, work: Callable[[Store], T]) -> T:
        """The same for a caller that is on a thread of its own already. Never call it on the event loop."""
        return self._with_store(work)

    def commit_in_place(self, commit: Commit) -> int | None:
        """Commit without the thread where that takes next to nothing: it is a small one, commits were quick lately, and
        neither this process nor another is writing. The new revision, or None where it is to be done on the thread."""
        size = len(commit.messages) + len(commit.window or ())
        if size > MOST_IN_PLACE or self._commit_s >= QUICK_S or self._using.locked():
            return None
        return self._with_store(lambda store: self._timed(store, commit, patient=False))

    async def commit(self, commit: Commit) -> int:
        """Commit on the thread; return the new revision."""
        revision = await self.run(lambda store: self._timed(store, commit, patient=True))
        assert revision is not None, "a patient commit is made, or raises"
        return revision

    async def load(self, key: str) -> float | None:
        """A factor that was learnt, as `ullage.contexts.models.FactorStore` wants it."""
        return await self.run(lambda store: store.learned(key))

    async def save(self, key: str, factor: float) -> None:
        await self.run(lambda store: store.learn(key, factor))

    async def close(self) -> None:
        if self._opening.exception() is None:
            await self.run(lambda store: store.close())
        self._executor.shutdown(wait=False)

    def _timed(self, store: Store, commit: Commit, *, patient: bool) -> int | None:
        """A moving average tells what the next commit may take; one long wait is enough to go to the thread again."""
        began = time.perf_counter()
        revision = store.commit(commit) if patient else store.commit_unless_locked(commit)
        taken = time.perf_counter() - began
        self._commit_s += _WEIGHT * (taken - self._commit_s)
        return revision

    def _with_store(self, work: Callable[[Store], T]) -> T:
        with self._using:
            return work(self._opening.result().store)
