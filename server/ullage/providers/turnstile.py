"""Many pass at a time, or one changes what they pass through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import Factory, define


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@define(eq=False)
class Turnstile:
    """``passing`` for those who use something, ``alone`` for the one who changes it: a change waits until all who are
    inside have left, and those who come meanwhile wait for its end. Belongs to one event loop."""

    _inside: int = 0
    _open: asyncio.Event = Factory(_set_event)
    _empty: asyncio.Event = Factory(_set_event)
    _changing: asyncio.Lock = Factory(asyncio.Lock)

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        while not self._open.is_set():
            await self._open.wait()
        self._inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if self._inside == 0:
                self._empty.set()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        async with self._changing:
            self._open.clear()
            try:
                await self._empty.wait()
                yield
            finally:
                self._open.set()
