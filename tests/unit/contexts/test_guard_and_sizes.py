"""Sizes that follow memory, and the guard beside them: which of the two may take words out of a window."""

from __future__ import annotations

from pathlib import Path

import attrs

from support.guarding import WINDOW, done, guarded, ids, press
from support.sized import Place
from ullage.settings import Resolved, SnapshotSettings


def change(made: Place, **context: int) -> None:
    """Other settings from now on."""
    settings = made.sessions.settings()
    changed = attrs.evolve(settings, context=attrs.evolve(settings.context, **context))
    made.sessions.settings = lambda: changed
    made.sizes.memory.resolved = lambda: Resolved(changed, {}, ())


async def test_a_size_that_follows_memory_takes_no_word_out_of_a_window(tmp_path: Path) -> None:
    """Snapshots are off, so that the guard may not either."""
    async with guarded(tmp_path, snapshots=SnapshotSettings(enabled=False)) as (made, session):
        window = ids(session)
        await press(made, session, 1.3)
        await made.look(1000)
        assert (ids(session), await done(made, session), made.server.window_now) == (window, [], WINDOW)


async def test_once_the_window_is_smaller_the_size_follows(tmp_path: Path) -> None:
    async with guarded(tmp_path, snapshots=SnapshotSettings(enabled=False)) as (made, session):
        await press(made, session, 1.3)
        await made.look(1000)
        await made.process.conversations.clear(session.id)
        await made.look(1000)
        assert made.server.window_now is not None
        assert made.server.window_now < WINDOW


async def test_a_maximum_that_the_person_sets_holds_whatever_is_in_the_window(tmp_path: Path) -> None:
    async with guarded(tmp_path) as (made, session):
        window = ids(session)
        change(made, max_size=3072)
        await made.look(1000)
        assert made.server.window_now == 3072
        assert await done(made, session) == [("trim", "server")]
        await made.process.conversations.undo(session.id, None)
        assert ids(session) == window
