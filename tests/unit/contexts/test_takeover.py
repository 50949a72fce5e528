"""Letting go of contexts that another process asks for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from ullage.contexts import takeover
from ullage.contexts.takeover import Yielding


class Locks:
    """Two contexts are asked for, one of which can't be let go."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    def takeover_requests(self) -> Iterator[str]:
        return iter(["stuck", "free"])

    def release(self, context_id: str) -> None:
        if context_id == "stuck":
            raise OSError("/home/someone/secret")
        self.released.set()


async def test_a_context_that_can_not_be_let_go_keeps_no_other_from_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(takeover, "POLL_S", 0)
    locks = Locks()
    sessions: Any = SimpleNamespace(locks=locks, opened=list)
    watching = asyncio.create_task(Yielding(sessions).watch())
    with caplog.at_level(logging.ERROR):
        await asyncio.wait_for(locks.released.wait(), 5)
    assert not watching.done()
    assert "OSError" in caplog.text
    assert "secret" not in caplog.text
    watching.cancel()
