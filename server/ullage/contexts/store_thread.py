"""The store on a thread of its own, so that a slow disk never stops the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from ullage.store.opening import Opened
from ullage.store.store import Store

T = TypeVar("T")


class StoreThread:
    """Runs one piece of work at a time against the store, in the order in which it was asked for.

    Opening begins at once and is the first piece of work; what it raises, everything that follows raises too.
    """

    def __init__(self, open_store: Callable[[], Opened]) -> None:
        self._executor = ThreadPoolExecutor(1, "store")
        self._opening: Future[Opened] = self._executor.submit(open_store)

    async def opened(self) -> Opened:
        """What opening found, a damaged file that was set aside included."""
        return await asyncio.wrap_future(self._opening)

    async def run(self, work: Callable[[Store], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._with_store, work)

    async def load(self, key: str) -> float | None:
        """A factor that was learnt, as `ullage.contexts.models.FactorStore` wants it."""
        return await self.run(lambda store: store.learned(key))

    async def save(self, key: str, factor: float) -> None:
        await self.run(lambda store: store.learn(key, factor))

    async def close(self) -> None:
        if self._opening.exception() is None:
            await self.run(lambda store: store.close())
        self._executor.shutdown(wait=False)

    def _with_store(self, work: Callable[[Store], T]) -> T:
        return work(self._opening.result().store)
