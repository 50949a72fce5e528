"""Snapshots as a person meets them: made, listed, put back, cleared away."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from support.failing_disk import break_disk
from support.letting_go import WAYS, LettingGo
from support.snapshotting import Place, Slow, files_in, marks_of, place
from support.store_values import message, new_id
from ullage.contexts.session import Session
from ullage.errors import (
    ContextBusy,
    InvalidArgument,
    NotSupported,
    StoreFull,
    UllageError,
    UnknownContext,
)
from ullage.store.store import Store


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Place]:
    async with place(tmp_path / "storage") as made:
        yield made


@pytest.fixture
async def session(here: Place) -> Session:
    made = await here.context()
    await here.say(made)
    return made


async def total(here: Place, session: Session) -> tuple[int, int]:
    """How many snapshots there are, and their bytes."""
    known = await here.snapshots.totals.of(session.id)
    return known.count, known.bytes


class TestMaking:
    async def test_it_says_what_the_window_was(self, here: Place, session: Session) -> None:
        info = await here.snapshots.create(session.id, "Before the rewrite")
        usage = await here.sessions.usage(session)
        assert (info.tokens, info.messages, info.context_id) == (usage.tokens, 2, session.id)
        assert (info.summary, info.trigger) == ("Before the rewrite", "manual")
        assert info.bytes == here.files.folder.snapshot(session.id, info.id).stat().st_size
        assert (info.metadata.model, info.metadata.context_size, info.metadata.compression_ratio) == (None, 0, 1.0)

    async def test_the_last_question_stands_for_it(self, here: Place, session: Session) -> None:
        await here.say(session, message("  How\n\tdo I " + "very " * 50), message("So.", role="assistant"))
        info = await here.snapshots.create(session.id)
        assert info.summary.startswith("How do I very very")
        assert len(info.summary) <= 120
        assert info.summary.endswith("…")

    async def test_it_knows_the_ratio_of_the_compression_before_it(self, here: Place, session: Session) -> None:
        ratios = [(await here.snapshots.create(session.id)).metadata.compression_ratio]
        for ratio in (0.25, 0.5):
            await here.window(session, *session.state.messages, kind="compress", detail={"ratio": ratio})
            ratios += [(await here.snapshots.create(session.id)).metadata.compression_ratio for _ in range(2)]
        assert ratios == [1.0, 0.25, 0.25, 0.5, 0.5]

    @pytest.mark.parametrize("summary", ["", "  \n", "x" * 2001])
    async def test_a_summary_that_says_nothing_or_too_much_is_refused(
        self, here: Place, session: Session, summary: str
    ) -> None:
        with pytest.raises(InvalidArgument) as refused:
            await here.snapshots.create(session.id, summary)
        assert refused.value.path == "summary"
        assert files_in(here) == []

    async def test_it_is_an_operation_and_an_event_and_changes_nothing(self, here: Place, session: Session) -> None:
        before = session.state
        info = await here.snapshots.create(session.id)
        [*_, operation] = await here.operations(session)
        detail = {"snapshotId": info.id, "trigger": "manual"}
        assert (operation.kind, operation.origin, operation.detail) == ("snapshot", "client", detail)
        assert here.told("snapshotCreated") == [detail]
        assert (marks_of(session.state), session.state.epoch) == (marks_of(before), before.epoch)

    async def test_where_snapshots_are_switched_off_none_is_made(self, here: Place, session: Session) -> None:
        here.change_settings(enabled=False)
        with pytest.raises(NotSupported):
            await here.snapshots.create(session.id)
        assert files_in(here) == []

    async def test_what_is_said_meanwhile_goes_on_and_is_not_in_it(
        self, here: Place, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        slow = Slow(here, monkeypatch)
        making = asyncio.create_task(here.snapshots.create(session.id))
        await slow.reached()
        await here.say(session)
        assert not making.done()
        slow.go.set()
        info = await making
        assert (info.messages, len(session.state.messages)) == (2, 4)

    async def test_a_cancel_leaves_no_file_and_no_operation(
        self, here: Place, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        slow = Slow(here, monkeypatch)
        before = await here.operations(session)
        making = asyncio.create_task(here.snapshots.create(session.id))
        await slow.reached()
        making.cancel()
        slow.go.set()
        with pytest.raises(asyncio.CancelledError):
            await making
        assert files_in(here) == []
        assert await here.operations(session) == before

    async def test_a_disk_that_refuses_leaves_no_file_and_no_operation(
        self, here: Place, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = await here.operations(session)
        with monkeypatch.context() as patch:
            break_disk(patch, "write", errno.ENOSPC)
            with pytest.raises(StoreFull):
                await here.snapshots.create(session.id)
        assert files_in(here) == []
        assert await here.operations(session) == before
        assert here.told("snapshotCreated") == []

    async def test_a_log_that_refuses_leaves_no_file(
        self, here: Place, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def refuse(*_: Any, **_options: Any) -> None:
            raise StoreFull("The disk is full.")

        monkeypatch.setattr(type(here.sessions), "change", refuse)
        with pytest.raises(StoreFull):
            await here.snapshots.create(session.id)
        assert files_in(here) == []

    async def test_a_context_that_another_process_writes_is_busy(
        self, here: Place, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def busy(*_: Any, **__: Any) -> None:
            raise ContextBusy("Another editor writes this context.")

        monkeypatch.setattr(type(here.sessions), "own_now", busy)
        with pytest.raises(ContextBusy):
            await here.snapshots.create(session.id)
        assert files_in(here) == []

    async def test_what_is_forgotten_while_it_is_made_is_not_in_it(
        self, here: Place, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secret, answer = session.state.messages
        slow = Slow(here, monkeypatch)
        making = asyncio.create_task(here.snapshots.create(session.id))
        await slow.reached()
        await here.forget(session, secret)
        slow.go.set()
        info = await making
        assert files_in(here) == [f"{info.id}.json"]
        _, content = here.files.read(session.id, info.id)
        assert [m.id for m in content.messages] == [answer.id]


class TestListing:
    async def test_a_page_has_what_was_made_in_its_order(self, here: Place, session: Session) -> None:
        made = [await here.snapshots.create(session.id, f"number {n}") for n in range(3)]
        assert (await here.snapshots.page(session.id)).snapshots == tuple(made)
        assert (await here.snapshots.page(None)).snapshots == tuple(made)

    async def test_a_damaged_file_is_told_beside_the_others(self, here: Place, session: Session) -> None:
        good, bad = [await here.snapshots.create(session.id) for _ in range(2)]
        here.files.folder.snapshot(session.id, bad.id).write_bytes(b"{}")
        page = await here.snapshots.page(session.id)
        assert page.snapshots == (good,)
        assert [each.file for each in page.unreadable] == [f"snapshots/{session.id}/{bad.id}.json.broken"]

    async def test_an_unknown_context_is_unknown_and_an_empty_one_empty(self, here: Place, session: Session) -> None:
        assert (await here.snapshots.page(session.id)).snapshots == ()
        for id_ in (new_id(), "../x"):
            with pytest.raises(UnknownContext):
                await here.snapshots.page(id_)

    async def test_verify_says_what_is_wrong(self, here: Place, session: Session) -> None:
        info = await here.snapshots.create(session.id)
        assert (await here.snapshots.verify(info.id)).ok
        here.files.folder.snapshot(session.id, info.id).write_bytes(b"{}")
        verdicts = [await here.snapshots.verify(info.id) for _ in range(2)]
        assert [verdict.ok for verdict in verdicts] == [False, False]
        assert all(verdict.reason for verdict in verdicts)

    async def test_a_status_bar_costs_a_look_at_the_disk_every_two_seconds(
        self, here: Place, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks: list[object] = []
        real = type(here.files).listing

        def counting(self: Any, context_id: str | None = None) -> Any:
            looks.append(context_id)
            return real(self, context_id)

        monkeypatch.setattr(type(here.files), "listing", counting)
        info = await here.snapshots.create(session.id)
        for _ in range(20):
            assert await total(here, session) == (1, info.bytes)
        assert len(looks) == 1
        here.seconds += 2.1
        await total(here, session)
        assert len(looks) == 2

    @pytest.mark.parametrize("of_all", [False, True])
    async def test_a_file_that_listing_sets_aside_is_counted_no_more(
        self, here: Place, session: Session, *, of_all: bool
    ) -> None:
        await here.snapshots.create(session.id)
        bad = await here.snapshots.create(session.id)
        assert (await total(here, session))[0] == 2
        here.files.folder.snapshot(session.id, bad.id).write_bytes(b"{}")
        await here.snapshots.page(None if of_all else session.id)
        assert (await total(here, session))[0] == 1

    async def test_the_count_follows_every_change_at_once(self, here: Place, session: Session) -> None:
        counts = [await total(here, session)]
        info = await here.snapshots.create(session.id)
        counts.append(await total(here, session))
        await here.snapshots.delete(info.id)
        counts.append(await total(here, session))
        assert counts == [(0, 0), (1, info.bytes), (0, 0)]

    async def test_a_new_one_is_counted_in_without_a_look_at_the_others(
        self, here: Place, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = await here.snapshots.create(session.id)
        await total(here, session)
        with monkeypatch.context() as patch:
            patch.setattr(type(here.files), "listing", lambda *_: pytest.fail("looked at every file"))
            second = await here.snapshots.create(session.id)
            assert await total(here, session) == (2, first.bytes + second.bytes)

    async def test_one_that_is_deleted_while_another_is_made_is_not_counted(
        self, here: Place, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = await here.snapshots.create(session.id)
        await total(here, session)
        slow = Slow(here, monkeypatch)
        making = asyncio.create_task(here.snapshots.create(session.id))
        await slow.reached()
        await here.snapshots.delete(first.id)
        slow.go.set()
        info = await making
        assert await total(here, session) == (1, info.bytes)

    async def test_a_count_that_a_change_has_overtaken_is_not_remembered(
        self, here: Place, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, go = threading.Event(), threading.Event()
        real = type(here.files).listing

        def slow(self: Any, context_id: str | None = None) -> Any:
            listing = real(self, context_id)
            begun.set()
            assert go.wait(10)
            return listing

        with monkeypatch.context() as patch:
            patch.setattr(type(here.files), "listing", slow)
            counting = asyncio.create_task(total(here, session))
            assert await asyncio.to_thread(begun.wait, 10)
            info = await here.snapshots.create(session.id)
            go.set()
            assert await counting == (0, 0)
        assert await total(here, session) == (1, info.bytes)


class TestAutomatic:
    async def test_it_is_the_guards_and_its_trigger_is_told(self, here: Place, session: Session) -> None:
        info = await here.snapshots.automatic(session, "emergency")
        assert info is not None
        [*_, operation] = await here.operations(session)
        assert (operation.origin, info.trigger) == ("guard", "emergency")

    @pytest.mark.parametrize("setting", ["enabled", "auto_create"])
    async def test_it_can_be_switched_off(self, here: Place, session: Session, setting: str) -> None:
        here.change_settings(**{setting: False})
        assert await here.snapshots.automatic(session, "threshold") is None
        assert files_in(here) == []

    async def test_the_newest_stay_and_manual_ones_always(self, here: Place, session: Session) -> None:
        here.change_settings(max_count=2)
        manual = [await here.snapshots.create(session.id) for _ in range(3)]
        automatic = [await here.snapshots.automatic(session, "threshold") for _ in range(4)]
        page = await here.snapshots.page(session.id)
        assert page.snapshots == (*manual, *automatic[-2:])

    async def test_other_contexts_keep_theirs(self, here: Place, session: Session) -> None:
        here.change_settings(max_count=1)
        other = await here.context("other")
        kept = await here.snapshots.automatic(other, "threshold")
        for _ in range(2):
            await here.snapshots.automatic(session, "threshold")
        assert (await here.snapshots.page(other.id)).snapshots == (kept,)

    async def test_automatic_ones_go_with_age_and_manual_ones_don_t(self, here: Place, session: Session) -> None:
        old = [await here.snapshots.create(session.id), await here.snapshots.automatic(session, "threshold")]
        day = 86_400_000
        for info in old:
            assert info is not None
            header, content = here.files.read(session.id, info.id)
            here.files.write(attrs.evolve(header, created_at=header.created_at - 10 * day), content)
        here.change_settings(max_age_days=30)
        young = await here.snapshots.automatic(session, "threshold")
        assert len((await here.snapshots.page(session.id)).snapshots) == 3
        here.change_settings(max_age_days=9)
        last = await here.snapshots.automatic(session, "threshold")
        left = (await here.snapshots.page(session.id)).snapshots
        assert [info.trigger for info in left] == ["manual", "threshold", "threshold"]
        assert left[1:] == (young, last)

    async def test_a_clean_up_that_fails_costs_no_snapshot(
        self, here: Place, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here.change_settings(max_count=1)
        await here.snapshots.automatic(session, "threshold")

        def refuse(*_: Any) -> None:
            raise StoreFull("The disk is read-only.")

        monkeypatch.setattr(type(here.files), "discard", refuse)
        assert await here.snapshots.automatic(session, "threshold") is not None

    async def test_a_failure_is_raised_to_the_guard(
        self, here: Place, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            break_disk(patch, "fsync", errno.EIO)
            with pytest.raises(UllageError):
                await here.snapshots.automatic(session, "emergency")


class TestErasing:
    async def test_a_forgotten_message_does_not_come_back(self, here: Place, session: Session) -> None:
        secret, answer = session.state.messages
        info = await here.snapshots.create(session.id)
        await here.window(session)
        await here.forget(session, secret)
        await here.snapshots.restore(info.id)
        assert session.state.ids == (answer.id,)

    async def test_erasing_a_context_erases_its_snapshots_only(self, here: Place, session: Session) -> None:
        other = await here.context("other")
        kept = await here.snapshots.create(other.id)
        await here.snapshots.create(session.id)
        await here.snapshots.erase_context(session.id)
        assert files_in(here) == [f"{kept.id}.json"]
        assert await total(here, session) == (0, 0)

    async def test_a_snapshot_of_a_context_that_is_erased_meanwhile_leaves_nothing(
        self, here: Place, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        slow = Slow(here, monkeypatch)
        making = asyncio.create_task(here.snapshots.create(session.id))
        await slow.reached()
        here.snapshots.directory.before_delete = here.snapshots.erase_context
        deleting = asyncio.create_task(here.snapshots.directory.delete(session.id))
        slow.go.set()
        await asyncio.gather(making, deleting)
        assert list(here.files.folder.snapshots.iterdir()) == []

    async def test_what_was_erased_is_noted_until_a_snapshot_that_was_being_made_is_without_it(
        self, here: Place, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Killed while the file still holds it, the process leaves the note, and the next one erases it there."""
        secret, _ = session.state.ids
        slow = Slow(here, monkeypatch)
        making = asyncio.create_task(here.snapshots.create(session.id))
        await slow.reached()
        ended: list[bool] = []
        erase, end = type(here.files).forget, Store.end_erasure

        def erasing(self: Any, *arguments: Any) -> None:
            erase(self, *arguments)
            slow.go.set()

        def ending(self: Any, erasure_id: str) -> None:
            ended.append(making.done())
            end(self, erasure_id)

        monkeypatch.setattr(type(here.files), "forget", erasing)
        monkeypatch.setattr(Store, "end_erasure", ending)
        await here.process.archive.forget(session.id, secret)
        await making
        assert ended == [True]
        assert list(here.files.folder.erasures.iterdir()) == []


class TestLettingGo:
    @pytest.mark.parametrize("let_go", WAYS)
    async def test_a_snapshot_that_is_being_made_is_finished_first(
        self, here: Place, session: Session, monkeypatch: pytest.MonkeyPatch, let_go: LettingGo
    ) -> None:
        slow = Slow(here, monkeypatch)
        making = asyncio.create_task(here.snapshots.create(session.id))
        await slow.reached()
        letting_go = asyncio.create_task(let_go(here.process, session))
        slow.go.set()
        await letting_go
        assert making.done()
        await making
        assert not session.lock.held
