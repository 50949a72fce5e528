"""The watch over memory, and what sizes do of it: readings, model server and clock are the test's own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from support.sized import GIB, TOKEN_BYTES, FakeServer, Place, place
from ullage.contexts.active_model import ActiveModel
from ullage.contexts.monitor import HISTORY_MS, IDLE_FACTOR

BUFFER = 512 * 2**20


@pytest.fixture
async def calm(tmp_path: Path) -> AsyncIterator[Place]:
    async with place(tmp_path, target_size=65_536) as made:
        yield made


async def loaded(made: Place) -> tuple[str, ActiveModel]:
    """A context, and its model as a first answer would leave it."""
    context = await made.directory.open("file:///home/someone/project")
    active = await made.sessions.models.active(None)
    made.server.load()
    await made.sessions.models.window_after_answer(active)
    return context.id, active


class TestLooking:
    async def test_low_memory_is_told_once_on_crossing_and_again_after_recovery(self, calm: Place) -> None:
        full, free = calm.reader.total, 0
        for others in (free, full, full, free, full):
            calm.reader.others = others
            await calm.look()
        assert len(calm.low) == 2

    async def test_memory_filled_up_to_the_buffer_is_no_alarm(self, calm: Place) -> None:
        calm.reader.others = calm.reader.total - BUFFER
        await calm.look()
        assert calm.low == []

    async def test_a_status_is_stale_when_what_it_shows_has_changed(self, calm: Place) -> None:
        counts = []
        for others in (0, 2**20, GIB):
            calm.reader.others = others
            await calm.look()
            counts.append(calm.stale())
        assert counts == [1, 1, 2]

    async def test_the_last_hour_is_kept(self, calm: Place) -> None:
        for _ in range(HISTORY_MS // 5000 + 100):
            await calm.monitor.look()
        history = calm.monitor.history
        assert history[-1].at == calm.reader.at
        assert history[0].at == calm.reader.at - HISTORY_MS

    async def test_readings_that_tell_nothing_change_nothing(self, calm: Place) -> None:
        _, active = await loaded(calm)
        for _ in range(4):
            calm.reader.take(calm.reader.total)
            await calm.look(30)
        before = list(calm.server.orders), active.limit, len(calm.low), list(calm.monitor.history)
        calm.reader.others = None
        for _ in range(3):
            await calm.look(1000)
        assert (calm.server.orders, active.limit, len(calm.low), list(calm.monitor.history)) == before

    async def test_it_is_slower_while_no_context_is_open(self, calm: Place) -> None:
        idle = calm.monitor.interval_s
        await calm.directory.open("file:///home/someone/project")
        assert idle == calm.monitor.interval_s * IDLE_FACTOR

    async def test_a_failure_nobody_thought_of_ends_neither_watch_nor_log(
        self, calm: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        again = asyncio.Event()
        failures = iter([OSError("/home/someone/secret")])

        async def read() -> object:
            if (failure := next(failures, None)) is not None:
                raise failure
            again.set()
            return await calm.reader.read()

        monkeypatch.setattr(type(calm.monitor), "interval_s", 0.0)
        monkeypatch.setattr("ullage.contexts.monitor.asyncio.sleep", lambda _, sleep=asyncio.sleep: sleep(0))
        monkeypatch.setattr(type(calm.sizes), "reading", lambda _: read())
        watching = asyncio.create_task(calm.monitor.watch())
        with caplog.at_level(logging.ERROR):
            await asyncio.wait_for(again.wait(), 5)
        watching.cancel()
        await asyncio.wait([watching])
        assert "OSError" in caplog.text
        assert "secret" not in caplog.text


class TestPreparing:
    async def test_a_resting_model_is_sized_and_not_loaded(self, calm: Place) -> None:
        calm.reader.others = 10 * GIB
        active = await calm.sessions.models.active(None)
        assert calm.server.window_now is None
        assert active.limit is not None
        assert active.limit < 5 * GIB // TOKEN_BYTES

    async def test_without_readings_it_is_the_target(self, calm: Place) -> None:
        calm.reader.others = None
        assert (await calm.sessions.models.active(None)).limit == 65_536

    async def test_a_loaded_model_is_left_as_it_is(self, tmp_path: Path) -> None:
        server = FakeServer(window_now=5000)
        async with place(tmp_path, server) as made:
            assert (await made.sessions.models.active(None)).limit == 5000
            assert server.orders == []

    async def test_a_server_that_does_not_tell_in_time_delays_nobody(
        self, calm: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def never(*_: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(type(calm.server), "footprint", never)
        monkeypatch.setattr("ullage.contexts.sizes.PREPARING_S", 0.01)
        active = await asyncio.wait_for(calm.sessions.models.active(None), 5)
        assert active.limit == 65_536


class TestFollowing:
    async def test_sizes_shrink_with_memory_and_grow_back(self, calm: Place) -> None:
        _, active = await loaded(calm)
        assert active.limit == 65_536
        sizes = []
        for _ in range(3):
            calm.reader.take(calm.reader.total)
            await calm.look(30)
            assert active.limit == calm.server.window_now
            sizes.append(active.limit)
        assert [before - after for before, after in pairwise([65_536, *sizes])] == [8192, 14_336, 21_504]
        calm.reader.others = 0
        await calm.look(300)
        assert active.limit == sizes[-1]  # what ran short three times in a row grows late
        await calm.look(3600)
        assert active.limit == calm.server.window_now == 65_536
        assert [detail["after"] for detail in calm.told("resized")] == [*sizes, 65_536]

    async def test_shortage_soon_after_a_change_waits_for_a_moment_only(self, calm: Place) -> None:
        _, active = await loaded(calm)
        sizes = []
        for seconds in (30, 10, 10):
            calm.reader.take(calm.reader.total)
            await calm.look(seconds)
            sizes.append(active.limit)
        first, second, third = sizes
        assert first == second
        assert third is not None
        assert second is not None
        assert third < second

    async def test_small_changes_are_not_worth_a_reload(self, calm: Place) -> None:
        _, active = await loaded(calm)
        calm.reader.take(7 * GIB)
        await calm.look(1000)
        before = active.limit
        for others in (7 * GIB - 2**28, 7 * GIB + 2**27, 7 * GIB):
            calm.reader.others = others
            await calm.look(1000)
        assert active.limit == before

    async def test_a_size_that_the_person_chose_stays(self, calm: Place) -> None:
        context_id, active = await loaded(calm)
        await calm.sizes.resize(context_id, 40_960)
        calm.reader.others = 14 * GIB
        await calm.look(1000)
        assert active.limit == 40_960

    async def test_what_somebody_else_loaded_stays(self, tmp_path: Path) -> None:
        async with place(tmp_path, FakeServer(window_now=65_536)) as made:
            _, active = await loaded_by_others(made)
            made.reader.others = 12 * GIB
            await made.look(1000)
            assert (active.limit, made.server.orders) == (65_536, [])

    async def test_never_during_an_answer(self, calm: Place) -> None:
        context_id, active = await loaded(calm)
        session = await calm.sessions.get(context_id)
        session.answering = True
        calm.reader.others = 12 * GIB
        await calm.look(1000)
        assert active.limit == 65_536
        session.answering = False
        await calm.look()
        assert active.limit != 65_536

    async def test_a_reload_that_failed_is_not_tried_again_at_once(self, calm: Place) -> None:
        calm.reader.others = 10 * GIB
        await loaded(calm)
        calm.server.largest = 40_000
        calm.reader.others = 0
        orders = len(calm.server.orders)
        for _ in range(20):
            await calm.look(5)
        assert len(calm.server.orders) == orders + 1

    async def test_turned_off_in_the_settings_nothing_follows(self, tmp_path: Path) -> None:
        async with place(tmp_path, auto_size=False, target_size=65_536) as made:
            _, active = await loaded(made)
            made.reader.others = 12 * GIB
            await made.look(1000)
            assert active.limit == 65_536

    async def test_a_resting_model_follows_without_being_loaded(self, calm: Place) -> None:
        await calm.directory.open("file:///home/someone/project")
        active = await calm.sessions.models.active(None)
        calm.reader.others = 10 * GIB
        await calm.look(1000)
        assert calm.server.window_now is None
        assert active.limit is not None
        assert active.limit < 65_536


async def loaded_by_others(made: Place) -> tuple[str, ActiveModel]:
    context = await made.directory.open("file:///home/someone/project")
    return context.id, await made.sessions.models.active(None)
