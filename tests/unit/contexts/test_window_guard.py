"""What is done as a window fills up: a snapshot, a warning, a compression; over a real store."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from support.failing_disk import break_disk
from support.filling import LIMIT, USABLE, Filling, filling
from support.rooms import Answering
from support.summarising_stub import GOOD
from ullage.contexts.drafts import Draft
from ullage.contexts.session import Session
from ullage.settings import CompressionSettings, SnapshotSettings

OFF = CompressionSettings(enabled=False)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Filling]:
    async with filling(tmp_path) as made:
        yield made


class TestSnapshots:
    async def test_one_is_there_with_the_reply_that_crosses_the_threshold(self, here: Filling) -> None:
        await here.fill(0.78)
        assert await here.triggers() == []
        await here.fill(0.82)
        assert await here.triggers() == ["threshold"]
        [operation] = [o for o in await here.process.conversations.history(None, None, 100) if o.kind == "snapshot"]
        assert operation.origin == "guard"

    async def test_it_is_one_for_each_crossing(self, here: Filling) -> None:
        for pressure in (0.82, 0.86, 0.9):
            await here.fill(pressure)
        assert await here.triggers() == ["threshold"]

    async def test_after_recovery_the_next_crossing_is_one_again(self, here: Filling) -> None:
        await here.fill(0.82)
        await here.process.conversations.clear(here.session.id)
        await here.fill(0.7)
        assert await here.triggers() == ["threshold"]
        await here.fill(0.82)
        assert await here.triggers() == ["threshold", "threshold"]

    async def test_two_that_speak_at_once_make_one(self, here: Filling) -> None:
        await here.fill(0.75)
        draft = Draft("user", "w" * round(0.07 * 4 * USABLE))
        await asyncio.gather(*(here.process.conversations.append(here.session.id, [draft]) for _ in range(2)))
        assert await here.triggers() == ["threshold"]

    async def test_none_is_made_where_that_is_switched_off(self, here: Filling) -> None:
        for switched in ({"enabled": False}, {"auto_create": False}):
            here.change(snapshots=SnapshotSettings(**switched))
            await here.fill(0.97)
            await here.process.conversations.clear(here.session.id)
        assert await here.triggers() == []

    async def test_once_switched_on_it_is_made_up_for(self, here: Filling) -> None:
        here.change(snapshots=SnapshotSettings(auto_create=False))
        await here.fill(0.82)
        here.change(snapshots=SnapshotSettings())
        await here.fill(0.84)
        assert await here.triggers() == ["threshold"]

    async def test_a_lowered_threshold_counts_from_the_next_words_on(self, here: Filling) -> None:
        await here.fill(0.6)
        here.change(snapshots=SnapshotSettings(auto_threshold=0.5))
        assert await here.triggers() == []
        await here.fill(0.62)
        assert await here.triggers() == ["threshold"]

    async def test_a_disk_that_refuses_keeps_nobody_from_speaking(
        self, here: Filling, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            break_disk(patch, "replace", errno.ENOSPC)
            usage = await here.fill(0.82)
        assert (usage.messages, await here.triggers()) == (2, [])

    async def test_an_answer_that_crosses_the_threshold_makes_one(self, tmp_path: Path) -> None:
        async with filling(tmp_path, Answering(limit=LIMIT, answer="word " * 300)) as here:
            await here.fill(0.75)
            await here.chat()
            assert await here.triggers() == ["threshold"]


class TestBeforeTheWindowOverflows:
    async def test_it_is_told_once_with_an_emergency_snapshot(self, here: Filling) -> None:
        await here.fill(0.94)
        assert here.process.told("preOverflow") == []
        for pressure in (0.96, 0.98):
            usage = await here.fill(pressure)
        [told] = here.process.told("preOverflow")
        assert told["limit"] == LIMIT
        assert await here.triggers() == ["threshold", "emergency"]
        assert usage.messages == 6

    async def test_a_jump_past_both_makes_the_emergency_snapshot_alone(self, here: Filling) -> None:
        await here.fill(0.97)
        assert await here.triggers() == ["emergency"]

    async def test_it_is_told_also_where_no_snapshot_is_made(self, here: Filling) -> None:
        here.change(snapshots=SnapshotSettings(enabled=False))
        await here.fill(0.97)
        assert len(here.process.told("preOverflow")) == 1

    async def test_nothing_ever_leaves_unbidden(self, tmp_path: Path) -> None:
        async with filling(tmp_path, compression=OFF) as here:
            usage = await here.fill(3.0, messages=40)
            assert usage.messages == 40
            assert [each for kind in ("cleared", "trimmed", "compressed") for each in here.process.told(kind)] == []


class TestCompressing:
    async def test_it_begins_at_the_threshold_and_comes_down_to_the_target(self, tmp_path: Path) -> None:
        async with filling(tmp_path, compression=CompressionSettings(preserve_recent=512)) as here:
            await here.fill(0.78, messages=20)
            assert here.server.requests == []
            await here.fill(0.82)
            assert len(here.server.requests) == 1
            assert (await here.process.sessions.usage(here.session)).tokens <= 0.5 * USABLE
            assert here.process.told("compressed")[0]["origin"] == "guard"

    async def test_switched_off_none_runs(self, tmp_path: Path) -> None:
        async with filling(tmp_path, compression=OFF) as here:
            await here.fill(0.9, messages=20)
            assert (here.server.requests, here.process.told("compressed")) == ([], [])

    async def test_a_lowered_threshold_counts_from_the_next_words_on(self, here: Filling) -> None:
        await here.fill(0.5, messages=20)
        here.change(compression=CompressionSettings(threshold=0.4, target=0.3, preserve_recent=256))
        await here.fill(0.52)
        assert len(here.process.told("compressed")) == 1

    async def test_a_failed_one_waits_for_growth(self, tmp_path: Path) -> None:
        """One turn alone fills the window: nothing may leave."""
        compression = CompressionSettings(strategy="truncate", preserve_recent=LIMIT)
        async with filling(tmp_path, compression=compression) as here:
            attempts: list[Any] = []
            real = here.process.compressions.reduce
            here.process.background.compressions = _Counting(real, attempts)  # type: ignore[assignment]
            for pressure, tried in ((0.82, 1), (0.83, 1), (0.89, 2)):
                await here.fill(pressure, messages=1)
                assert len(attempts) == tried

    async def test_bad_summaries_are_given_up_after_some(self, tmp_path: Path) -> None:
        server = Answering(limit=LIMIT, summary="No.")
        async with filling(tmp_path, server, compression=CompressionSettings(preserve_recent=512)) as here:
            for _ in range(5):
                await here.fill(0.85, messages=20)
            assert len(here.process.told("compressed")) == 5
            assert len(server.requests) == 3

    async def test_a_request_at_95_percent_waits_for_it(self, here: Filling) -> None:
        """Compression was off when the window filled up, so none runs behind."""
        here.change(compression=OFF)
        await here.fill(0.97, messages=20)
        here.change(compression=CompressionSettings(preserve_recent=512))
        result = await here.chat()
        assert result.compressed is not None
        assert result.compressed.compressed_tokens <= 0.5 * USABLE
        summary, answer = here.server.requests
        assert summary.options.response_schema
        assert GOOD not in str(answer.messages)
        assert "The port is 8443" in str(answer.messages)

    async def test_a_request_below_95_percent_does_not(self, here: Filling) -> None:
        here.change(compression=OFF)
        await here.fill(0.9, messages=20)
        here.change(compression=CompressionSettings(preserve_recent=512))
        assert (await here.chat()).compressed is None

    async def test_switched_off_a_request_that_fits_is_answered_as_it_is(self, here: Filling) -> None:
        here.change(compression=OFF)
        await here.fill(0.97, messages=20)
        result = await here.chat()
        assert (result.compressed, len(here.server.requests)) == (None, 1)


@define
class _Counting:
    """Compressions that count the tries."""

    real: Any
    attempts: list[Any]

    async def reduce(self, session: Session, *arguments: Any) -> Any:
        self.attempts.append(arguments)
        return await self.real(session, *arguments)
