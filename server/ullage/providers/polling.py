"""Waiting for what servers tell only to those who ask again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.5


async def comes_true(condition: Callable[[], Awaitable[bool]], within_s: float) -> bool:
    """Ask again and again, ever more slowly. False when the time is over."""
    pause = FIRST_PAUSE_S
    try:
        async with asyncio.timeout(within_s):
            while not await condition():
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, LONGEST_PAUSE_S)
    except TimeoutError:
        return False
    return True
