"""Erasures that a killed process left unfinished end with the next one, snapshots included, and nobody is disturbed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from attrs import define

from support.rooms import Answering, Rooms, rooms
from ullage.contexts.drafts import Draft
from ullage.contexts.keeping import unfinished
from ullage.contexts.keeping.unfinished import UnfinishedErasures
from ullage.store import erasure
from ullage.store.erasure import Erasure
from ullage.store.folder import open_folder


@define(eq=False)
class Place:
    """``killed`` was killed when it had forgotten a message, but for the snapshots; ``later`` is the next process."""

    folder: Path
    context_id: str
    secret_id: str
    snapshot_id: str
    later: Rooms

    async def end(self) -> None:
        await self.erasures.end(await self.later.sessions.store.run(lambda store: store.unfinished_erasures()))

    @property
    def erasures(self) -> UnfinishedErasures:
        return UnfinishedErasures(self.later.sessions, self.later.snapshots)

    async def restored(self, context_id: str | None = None) -> list[str]:
        await self.later.snapshots.restore(self.snapshot_id, context_id)
        session = await self.later.sessions.get(context_id or self.context_id)
        return [message.content for message in session.state.messages]

    def notes(self) -> list[str]:
        return [path.name for path in open_folder(self.folder).erasures.iterdir()]

    def is_locked(self) -> bool:
        return self.later.sessions.locks.holds(self.context_id)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    killed = rooms(tmp_path, Answering())
    context_id = await killed.open()
    views, _ = await killed.conversations.append(context_id, [Draft("user", "secret"), Draft("user", "kept")])
    snapshot = await killed.snapshots.create(context_id)
    forgetting = killed.sessions.operation(context_id, "forget", {})
    await killed.sessions.store.run(lambda store: store.forget(context_id, views[0].id, forgetting))
    await killed.crash()
    later = rooms(tmp_path, Answering())
    yield Place(tmp_path, context_id, views[0].id, snapshot.id, later)
    await later.close()


async def test_the_snapshots_lose_it_too(place: Place) -> None:
    assert place.notes() != []
    await place.end()
    assert (place.notes(), place.is_locked()) == ([], False)
    assert await place.restored() == ["kept"]


async def test_a_context_that_is_being_written_here_stays_so(place: Place) -> None:
    await place.later.conversations.append(place.context_id, [Draft("user", "more")])
    await place.end()
    assert (place.notes(), place.is_locked()) == ([], True)


async def test_what_another_process_holds_is_left_to_it(place: Place) -> None:
    other = rooms(place.folder, Answering())
    await other.conversations.append(place.context_id, [Draft("user", "mine")])
    await place.end()
    assert place.notes() != []
    await other.close()
    await place.end()
    assert place.notes() == []


async def looked_at(place: Place) -> None:
    """Time for several looks at what is unfinished, which take turns with these."""
    for _ in range(20):
        await place.later.sessions.store.run(lambda store: store.unfinished_erasures())


async def test_it_ends_when_the_other_process_lets_go(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "PAUSE_S", 0.0)
    other = rooms(place.folder, Answering())
    await other.conversations.append(place.context_id, [Draft("user", "mine")])
    ending = asyncio.create_task(place.erasures.end_all())
    try:
        await looked_at(place)
        assert (place.notes() != [], ending.done()) == (True, False)
    finally:
        await other.close()
    await asyncio.wait_for(ending, 10)
    assert (place.notes(), place.is_locked()) == ([], False)


async def test_a_new_erasure_is_left_to_whoever_began_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "PAUSE_S", 0.0)
    other = rooms(place.folder, Answering())
    await other.conversations.append(place.context_id, [Draft("user", "mine")])
    ending = asyncio.create_task(place.erasures.end_all())
    await looked_at(place)
    new = Erasure(place.later.sessions.stamp.id(), place.context_id, frozenset({place.secret_id}))
    erasure.note(open_folder(place.folder), new)
    await looked_at(place)
    await other.close()
    await asyncio.wait_for(ending, 10)
    assert place.notes() == [f"{new.id}.json"]


@pytest.mark.parametrize("name", ["main", "other"])
async def test_until_its_end_a_snapshot_brings_back_nothing_of_it(place: Place, name: str) -> None:
    """Also for a process that took the context over from the one that was killed."""
    into = await place.later.open(name)
    assert await place.restored(into) == ["kept"]
    shown, _ = await place.later.snapshots.messages(place.snapshot_id, 10)
    assert [view.content for view in shown] == ["kept"]


async def test_one_that_was_not_committed_changes_nothing(place: Place) -> None:
    await place.end()
    before = await place.restored()
    kept = (await place.later.sessions.get(place.context_id)).state.messages[0].id
    noted = Erasure(place.later.sessions.stamp.id(), place.context_id, frozenset({kept}))
    erasure.note(open_folder(place.folder), noted)
    assert await place.restored() == before
    await place.end()
    assert place.notes() == []
    assert await place.restored() == before


async def test_of_a_context_that_is_gone_by_now_the_rest_goes_too(place: Place) -> None:
    await place.later.sessions.store.run(lambda store: store.delete(place.context_id))
    erasure.note(open_folder(place.folder), Erasure(place.context_id, place.context_id))
    await place.end()
    assert place.notes() == []
    left = [path.name for path in place.folder.rglob(f"{place.context_id}*")]
    assert left == []


async def test_one_that_fails_keeps_no_other_from_its_end(place: Place) -> None:
    """The first is of a context whose snapshots can't be read now; of the second nothing was committed."""
    snapshots = open_folder(place.folder).snapshots_of(place.context_id)
    moved = snapshots.with_name("elsewhere")
    snapshots.rename(moved)
    snapshots.symlink_to(moved)
    second = Erasure(place.later.sessions.stamp.id(), place.context_id, frozenset({place.secret_id}))
    erasure.note(open_folder(place.folder), second)
    await place.end()
    assert place.notes() != []
    assert f"{second.id}.json" not in place.notes()
