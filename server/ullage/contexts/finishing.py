"""What has begun is finished, also when the one who asked for it no longer waits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

from attrs import define

T = TypeVar("T")


@define
class _Progress:
    begun: bool = False


_progress: ContextVar[_Progress | None] = ContextVar("progress", default=None)


def begin() -> None:
    """Say that the request which this task works for is changing something now: from here on it is finished."""
    progress = _progress.get()
    if progress is not None:
        progress.begun = True


async def cancellable_until_begun(work: Coroutine[Any, Any, T]) -> T:
    """Work that a cancel ends with nothing changed, or that comes too late to be cancelled and has its result."""
    progress = _Progress()
    token = _progress.set(progress)
    task = asyncio.ensure_future(work)
    _progress.reset(token)
    return await _awaited(task, progress)


async def finish(work: Coroutine[Any, Any, T], *, then_cancel: bool = False) -> T:
    """Carry ``work`` through although this task is cancelled meanwhile, so that a commit is never half known.

    A cancel that arrived came too late and is forgotten, unless ``then_cancel`` asks for it to take effect after
    the work is done.
    """
    return await _awaited(asyncio.ensure_future(work), _Progress(begun=True), then_cancel=then_cancel)


async def ended(task: asyncio.Future[Any]) -> None:
    """Cancel a task, and wait until it has put things in order."""
    task.cancel()
    await asyncio.wait([task])


async def _awaited(task: asyncio.Future[T], progress: _Progress, *, then_cancel: bool = False) -> T:
    cancels = 0
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            cancels += 1
            if not progress.begun:
                task.cancel()
        except Exception:  # raised below, from the task itself
            break
    if cancels and then_cancel:
        task.exception()
        raise asyncio.CancelledError
    current = asyncio.current_task()
    for _ in range(cancels if current else 0):
        current.uncancel()  # type: ignore[union-attr]  # a current task exists where there was something to count
    return task.result()
