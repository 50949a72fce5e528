"""The store on a thread of its own, so that a slow disk never stops the event loop."""

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

    @property
    def is_quick(self) -> bool:
        """Whether commits took little lately and the store is free: then `commit_now` may be called."""
        return self._commit_s < QUICK_S and not self._using.locked()

    def commit_now(self, commit: Commit) -> int:
        """Commit in place; return the new revision."""
        return self._with_store(lambda store: self._timed(store, commit))

    async def commit(self, commit: Commit) -> int:
        """Commit on the thread; return the new revision."""
        return await self.run(lambda store: self._timed(store, commit))

    async def load(self, key: str) -> float | None:
        """A factor that was learnt, as `ullage.contexts.models.FactorStore` wants it."""
        return await self.run(lambda store: store.learned(key))

    async def save(self, key: str, factor: float) -> None:
        await self.run(lambda store: store.learn(key, factor))

    async def close(self) -> None:
        if self._opening.exception() is None:
            await self.run(lambda store: store.close())
        self._executor.shutdown(wait=False)

    def _timed(self, store: Store, commit: Commit) -> int:
        """A moving average tells what the next commit may take; one long wait is enough to go to the thread again."""
        began = time.perf_counter()
        revision = store.commit(commit)
        taken = time.perf_counter() - began
        self._commit_s += _WEIGHT * (taken - self._commit_s)
        return revision

    def _with_store(self, work: Callable[[Store], T]) -> T:
        with self._using:
            return work(self._opening.result().store)
