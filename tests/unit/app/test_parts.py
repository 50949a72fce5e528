"""The parts of a process as they end: nothing of theirs goes on when the locks are free and the store is closed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from support.sized import FakePerson
from ullage.app.configuration import Configuration
from ullage.app.parts import ClientSide, assemble
from ullage.contexts.making_room.memory_guard import MemoryGuard
from ullage.contexts.making_room.progress import untold
from ullage.store.folder import open_folder


async def test_what_the_guard_is_at_has_ended_before_the_locks_are_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = ClientSide("a test", lambda *_: None, FakePerson(), untold)
    parts = assemble(Configuration(), open_folder(tmp_path), client)
    looking, order = asyncio.Event(), []

    async def look(_: MemoryGuard) -> None:
        looking.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            order.append("the guard")

    monkeypatch.setattr(MemoryGuard, "look", look)
    monkeypatch.setattr(type(parts.sessions.locks), "release_all", lambda _: order.append("the locks"))
    watching = asyncio.create_task(parts.monitor.watch())
    await looking.wait()
    watching.cancel()
    await parts.close()
    assert order == ["the guard", "the locks"]
    await asyncio.wait([watching])
    assert asyncio.all_tasks() == {asyncio.current_task()}
