"""Telling a person how far long work has come."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

Report: TypeAlias = Callable[[str, int | None], None]
"""Takes what is being done, and how many of a hundred parts are done where that is known."""

LongWork: TypeAlias = Callable[[str], AbstractAsyncContextManager[Report]]
"""Opens a progress display of this title that the person did not ask for, with a way to cancel the task within."""


def unreported(_: str, __: int | None) -> None:
    """Nobody asked to be told."""


@asynccontextmanager
async def untold(_: str):  # type: ignore[no-untyped-def]  # the type is LongWork's
    """No display."""
    yield unreported
