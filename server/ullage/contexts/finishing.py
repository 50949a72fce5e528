"""What has begun is finished, also when the one who asked for it no longer waits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def finish(work: Coroutine[Any, Any, T], *, then_cancel: bool = False) -> T:
    """Carry ``work`` through although this task is cancelled meanwhile, so that a commit is never half known.

    A cancel that arrived came too late and is forgotten, unless ``then_cancel`` asks for it to take effect after
    the work is done.
    """
    task = asyncio.ensure_future(work)
    cancels = 0
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            cancels += 1
        except Exception:  # raised below, from the task itself
            break
    if cancels and then_cancel:
        task.exception()
        raise asyncio.CancelledError
    current = asyncio.current_task()
    for _ in range(cancels if current else 0):
        current.uncancel()  # type: ignore[union-attr]  # a current task exists where there was something to count
    return task.result()
