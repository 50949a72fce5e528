"""What the guard does when a cache nears the end of its memory; model server, readings, person and clock are fakes."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.failing_disk import break_disk
from support.guarding import (
    CRITICAL,
    HIGH,
    SEVERE,
    TURNS,
    WINDOW,
    actions,
    done,
    guarded,
    ids,
    log,
    look,
    press,
    say,
    switch,
    tokens_of,
)
from support.sized import FakeServer, Place
from ullage.contexts.drafts import Draft
from ullage.contexts.making_room.memory_guard import CARRY_ON, COMPRESS_MORE, COOLDOWN_S, REDUCE, RESTORE
from ullage.contexts.session import Session
from ullage.errors import NothingToUndo
from ullage.settings import CompressionSettings, SnapshotSettings

Here = tuple[Place, Session]


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[tuple[Place, Session]]:
    async with guarded(tmp_path) as made:
        yield made


class TestEachLevel:
    async def test_below_80_percent_nothing_is_done(self, here: Here) -> None:
        made, session = here
        await press(made, session, 0.79)
        await look(made)
        assert (await log(made, session), actions(made), made.person.told) == ([], [], [])

    async def test_at_80_percent_the_conversation_is_compressed(self, here: Here) -> None:
        made, session = here
        before = await tokens_of(made, session)
        await press(made, session, HIGH)
        await look(made)
        assert await done(made, session) == [("compress", "guard")]
        assert (actions(made), made.server.window_now) == (["compress"], WINDOW)
        assert await tokens_of(made, session) < before

    async def test_at_90_percent_the_size_is_reduced_and_no_word_leaves(self, here: Here) -> None:
        made, session = here
        window = ids(session)
        for value in (SEVERE, 0.949):
            await press(made, session, value)
            await look(made, 1000)
        assert await done(made, session) == [("resize", "guard"), ("resize", "guard")]
        assert actions(made) == ["reduce", "reduce"]
        assert made.server.window_now is not None
        assert made.server.window_now < WINDOW
        assert ids(session) == window

    async def test_at_95_percent_a_snapshot_goes_before_clearing_and_a_smaller_size(self, here: Here) -> None:
        made, session = here
        window = ids(session)
        await press(made, session, CRITICAL)
        await look(made)
        expected = [("snapshot", "guard"), ("compress", "guard"), ("resize", "guard")]
        assert (await done(made, session), actions(made)) == (expected, ["clear"])
        [snapshot] = (await made.process.snapshots.page(session.id)).snapshots
        assert (snapshot.trigger, snapshot.messages) == ("emergency", len(window))
        assert 0 < len(ids(session)) < len(window)
        assert window[-len(ids(session)) :] == ids(session)
        assert made.server.window_now is not None
        assert made.server.window_now < WINDOW

    async def test_only_as_much_leaves_as_needs_to(self, here: Here) -> None:
        """With one more turn in the window, the gauge would still be up."""
        made, session = here
        usage = await made.sessions.usage(session)
        turn = usage.tokens / TURNS
        await press(made, session, CRITICAL)
        room = (usage.tokens + usage.reserved) / CRITICAL
        await look(made)
        left = await tokens_of(made, session) + usage.reserved
        assert left <= 0.8 * room < left + turn

    async def test_no_window_is_made_smaller_than_the_smallest_size_wants(self, tmp_path: Path) -> None:
        async with guarded(tmp_path, min_size=3072) as (made, session):
            turn = await tokens_of(made, session) / TURNS
            await press(made, session, 4.0)
            await look(made)
            assert made.server.window_now == 3072
            assert 3072 - 768 - turn < await tokens_of(made, session) <= 3072 - 768

    async def test_an_action_is_told_with_level_and_gauge(self, here: Here) -> None:
        made, session = here
        await press(made, session, CRITICAL)
        await look(made)
        [detail] = made.told("guardActed")
        assert (detail["action"], detail["level"]) == ("clear", "critical")
        assert detail["gauge"] == pytest.approx(CRITICAL, abs=0.001)

    @pytest.mark.parametrize("value", [HIGH, CRITICAL])
    async def test_undo_brings_the_window_back(self, here: Here, value: float) -> None:
        made, session = here
        window = ids(session)
        await press(made, session, value)
        await look(made)
        assert ids(session) != window
        await made.process.conversations.undo(session.id, None)
        assert ids(session) == window
        with pytest.raises(NothingToUndo):
            await made.process.conversations.undo(session.id, None)


class TestEscalating:
    async def test_nothing_to_compress_leads_to_a_smaller_size(self, tmp_path: Path) -> None:
        compression = CompressionSettings(strategy="truncate", preserve_recent=WINDOW)
        async with guarded(tmp_path, compression=compression, reserve_output=1) as (made, session):
            await made.process.conversations.clear(session.id)
            await made.process.conversations.append(session.id, [Draft("user", "word " * 4000)])
            await press(made, session, HIGH)
            await look(made)
            assert actions(made) == ["reduce"]

    async def test_a_server_that_refuses_the_smaller_size_leads_to_clearing(self, here: Here) -> None:
        made, session = here
        made.server.largest = 1
        await press(made, session, SEVERE)
        await look(made)
        assert (actions(made), made.server.window_now) == (["clear"], WINDOW)
        assert await done(made, session) == [("snapshot", "guard"), ("compress", "guard")]

    async def test_without_a_snapshot_nothing_is_cleared(self, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
        made, session = here
        window = ids(session)
        made.server.largest = 1
        await press(made, session, CRITICAL)
        with monkeypatch.context() as patch:
            break_disk(patch, "write", errno.ENOSPC)
            await look(made)
        assert (ids(session), await log(made, session), actions(made)) == (window, [], [])
        assert (len(made.person.told), made.person.asked) == (1, [])

    async def test_with_snapshots_switched_off_nothing_is_cleared(self, tmp_path: Path) -> None:
        async with guarded(tmp_path, snapshots=SnapshotSettings(enabled=False)) as (made, session):
            window = ids(session)
            await press(made, session, 1.3)
            await look(made)
            assert (ids(session), await log(made, session), actions(made)) == (window, [], [])
            assert len(made.person.told) == 1

    async def test_without_a_snapshot_the_size_is_still_reduced_where_no_word_leaves(self, tmp_path: Path) -> None:
        async with guarded(tmp_path, snapshots=SnapshotSettings(enabled=False), reserve_output=2048) as (made, session):
            window = ids(session)
            await press(made, session, 0.951)
            await look(made)
            assert (ids(session), actions(made)) == (window, ["reduce"])

    async def test_a_smaller_size_takes_no_word_out_of_another_conversation(self, here: Here) -> None:
        """A larger conversation with the same model, whose size they share."""
        made, session = here
        opened = await made.directory.open("file:///home/someone/other")
        other = await made.sessions.get(opened.id)
        await say(made, other, TURNS + 1)
        window = ids(other)
        switch(made, clear=False)
        await press(made, session, SEVERE)
        await look(made)
        assert (ids(other), made.server.window_now) == (window, WINDOW)


class TestSwitches:
    async def test_no_compression_where_it_is_switched_off(self, here: Here) -> None:
        made, session = here
        switch(made, compress=False)
        await press(made, session, HIGH)
        await look(made)
        assert (await log(made, session), len(made.person.told)) == ([], 1)

    async def test_no_smaller_size_where_that_is_switched_off(self, here: Here) -> None:
        made, session = here
        switch(made, reduce=False)
        await press(made, session, SEVERE)
        await look(made)
        assert (await log(made, session), len(made.person.told)) == ([], 1)
        await press(made, session, CRITICAL)
        await look(made)
        assert (actions(made), made.server.window_now) == (["clear"], WINDOW)

    async def test_no_clearing_where_that_is_switched_off(self, here: Here) -> None:
        made, session = here
        window = ids(session)
        switch(made, clear=False)
        await press(made, session, 1.3)
        await look(made)
        assert (ids(session), await log(made, session), len(made.person.told)) == (window, [], 1)

    async def test_nobody_is_asked_or_told_where_that_is_switched_off(self, here: Here) -> None:
        made, session = here
        switch(made, notify=False)
        await press(made, session, CRITICAL)
        await look(made)
        assert (actions(made), made.person.asked) == (["clear"], [])
        switch(made, notify=False, compress=False, reduce=False, clear=False)
        made.reader.others = 0
        await look(made)
        await press(made, session, 1.3)
        await look(made)
        assert made.person.told == []

    async def test_a_conversation_that_is_not_to_be_compressed_is_not(self, tmp_path: Path) -> None:
        async with guarded(tmp_path, compression=CompressionSettings(enabled=False)) as (made, session):
            await press(made, session, HIGH)
            await look(made)
            assert (await log(made, session), len(made.person.told)) == ([], 1)

    async def test_a_size_that_the_person_chose_is_not_reduced_unbidden(self, tmp_path: Path) -> None:
        async with guarded(tmp_path, auto_size=False) as (made, session):
            await press(made, session, SEVERE)
            await look(made)
            assert (await log(made, session), len(made.person.told)) == ([], 1)
            await press(made, session, CRITICAL)
            await look(made)
            assert (actions(made), made.server.window_now) == (["clear"], WINDOW)

    async def test_where_the_size_is_not_ours_to_change_the_person_is_only_told(self, tmp_path: Path) -> None:
        async with guarded(tmp_path, FakeServer(window_now=WINDOW, sizes_by_request=False)) as (made, session):
            for value in (SEVERE, CRITICAL):
                await press(made, session, value)
                await look(made)
            assert (await log(made, session), len(made.person.told), made.person.asked) == ([], 2, [])


class TestAsking:
    async def asked(self, here: Here, answer: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The window before the guard cleared it, and after the answer."""
        made, session = here
        made.person.answer = answer
        window = ids(session)
        await press(made, session, CRITICAL)
        await look(made)
        [question] = made.person.asked
        assert "6 older messages left" in question
        return window, ids(session)

    async def test_restore_brings_the_window_back(self, here: Here) -> None:
        before, after = await self.asked(here, RESTORE)
        assert after == before
        assert [each.kind for each in await log(*here)] == ["snapshot", "compress", "resize", "undo"]

    async def test_what_was_restored_is_not_cleared_again_before_it_grows(self, tmp_path: Path) -> None:
        async with guarded(tmp_path, compression=CompressionSettings(enabled=False)) as here:
            made, session = here
            window, _ = await self.asked(here, RESTORE)
            made.server.largest = 1
            for turns, cleared in ((0, 1), (2, 2)):
                await say(made, session, turns)
                await press(made, session, CRITICAL)
                await look(made, 2 * COOLDOWN_S)
                assert len(actions(made)) == cleared
                assert (ids(session) == window) == (cleared == 1)

    async def test_compress_more_compresses_as_a_request_does(self, here: Here) -> None:
        made, session = here
        await self.asked(here, COMPRESS_MORE)
        *_, last = await log(made, session)
        assert (last.kind, last.origin) == ("compress", "client")

    async def test_a_smaller_size_is_given_also_where_it_was_fixed(self, tmp_path: Path) -> None:
        async with guarded(tmp_path, auto_size=False) as here:
            made, session = here
            await self.asked(here, REDUCE)
            assert made.server.window_now is not None
            assert made.server.window_now < WINDOW
            *_, last = await log(made, session)
            assert (last.kind, last.origin) == ("resize", "client")

    async def test_a_size_that_is_small_enough_already_is_said_to_be(self, here: Here) -> None:
        made, _ = here
        await self.asked(here, REDUCE)
        [told] = made.person.told
        assert "as small as memory asks for" in told

    @pytest.mark.parametrize("answer", [CARRY_ON, None])
    async def test_carrying_on_leaves_everything_as_it_is(self, here: Here, answer: str | None) -> None:
        before, after = await self.asked(here, answer)
        assert after == before[6:]
        assert [each.kind for each in await log(*here)] == ["snapshot", "compress", "resize"]

    async def test_what_can_not_be_done_is_told(self, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
        made, session = here

        async def ask(*_: object) -> str:
            await made.process.conversations.undo(session.id, None)
            [snapshot] = (await made.process.snapshots.page(session.id)).snapshots
            await made.process.snapshots.delete(snapshot.id)
            return RESTORE

        monkeypatch.setattr(type(made.person), "ask", ask)
        await press(made, session, CRITICAL)
        await look(made)
        assert len(made.person.told) == 1

    async def test_where_nothing_is_gained_nobody_is_asked_and_nothing_kept(self, here: Here) -> None:
        made, session = here
        await made.process.conversations.clear(session.id)
        await made.process.conversations.append(session.id, [Draft("user", "word " * 4000)])
        made.server.largest = 1
        await press(made, session, CRITICAL)
        for _ in range(3):
            await look(made, 2 * COOLDOWN_S)
        assert (await made.process.snapshots.page(session.id)).snapshots == ()
        assert (made.person.asked, actions(made), len(made.person.told)) == ([], [], 1)


class TestPatience:
    async def test_a_gauge_that_stays_up_is_acted_on_again_after_the_cooldown_only(self, here: Here) -> None:
        made, session = here
        for seconds, acted in ((5.0, 1), (COOLDOWN_S / 2, 1), (COOLDOWN_S, 2)):
            await press(made, session, HIGH)
            await look(made, seconds)
            assert len(actions(made)) == acted

    async def test_a_gauge_that_rises_further_waits_for_no_cooldown(self, here: Here) -> None:
        made, session = here
        for value in (HIGH, SEVERE, CRITICAL):
            await press(made, session, value)
            await look(made)
        assert actions(made) == ["compress", "reduce", "clear"]

    async def test_a_level_is_left_only_clearly_below_its_threshold(self, here: Here) -> None:
        """Told once for each rise, and again only after recovery."""
        made, session = here
        switch(made, compress=False, reduce=False, clear=False)
        for value, told in ((0.81, 1), (0.77, 1), (0.81, 1), (0.74, 1), (0.81, 2)):
            await press(made, session, value)
            await look(made)
            assert len(made.person.told) == told, value

    async def test_unknown_memory_is_no_alarm(self, here: Here) -> None:
        made, session = here
        made.reader.others = None
        await look(made)
        assert (await log(made, session), made.person.told) == ([], [])

    async def test_a_model_of_unknown_architecture_is_no_alarm(self, tmp_path: Path) -> None:
        async with guarded(tmp_path, FakeServer(metadata_now=None)) as (made, session):
            made.reader.take(made.reader.total)
            await look(made)
            assert (await log(made, session), made.person.told) == ([], [])

    async def test_a_rise_during_an_answer_is_acted_on_and_told_when_it_has_come(self, here: Here) -> None:
        made, session = here
        made.server.largest = 1
        switch(made, clear=False)
        await press(made, session, CRITICAL)
        session.answering = True
        await look(made)
        assert (made.server.orders[1:], made.person.told) == ([], [])
        session.answering = False
        await look(made)
        assert (len(made.server.orders), len(made.person.told)) == (2, 1)

    async def test_nothing_is_done_while_the_model_answers_another_context(self, here: Here) -> None:
        made, session = here
        opened = await made.directory.open("file:///home/someone/other")
        (await made.sessions.get(opened.id)).answering = True
        await press(made, session, CRITICAL)
        await look(made)
        assert await log(made, session) == []

    async def test_after_an_undo_it_waits_for_growth(self, here: Here) -> None:
        made, session = here
        await press(made, session, HIGH)
        await look(made)
        await made.process.conversations.undo(session.id, None)
        window = ids(session)
        await look(made, 2 * COOLDOWN_S)
        assert ids(session) == window

    async def test_only_the_newest_automatic_snapshots_stay(self, tmp_path: Path) -> None:
        async with guarded(tmp_path, snapshots=SnapshotSettings(max_count=2), min_size=256) as (made, session):
            made.server.largest = 1
            for _ in range(4):
                await say(made, session, 3)
                await press(made, session, CRITICAL)
                await look(made, 2 * COOLDOWN_S)
            assert actions(made) == ["clear"] * 4
            assert len((await made.process.snapshots.page(session.id)).snapshots) == 2
