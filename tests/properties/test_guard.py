"""What holds of both gauges, whatever fills a window or a card."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from attrs import Factory, define
from hypothesis import event, given, settings
from hypothesis import strategies as st

from support.filling import LIMIT, USABLE, Filling, filling
from support.guarding import done, guarded, ids, look, press, say
from support.rooms import Answering
from support.sized import Place
from ullage.contexts.drafts import Draft
from ullage.contexts.keeping.snapshots import Snapshots
from ullage.contexts.making_room.memory_guard import CARRY_ON, COMPRESS_MORE, REDUCE, RESTORE
from ullage.contexts.session import Session
from ullage.contexts.values import SnapshotInfo
from ullage.errors import NothingToUndo
from ullage.settings import CompressionSettings, SnapshotSettings

CRITICAL = 0.95
OFF = CompressionSettings(enabled=False)
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""A folder whose files need no disk."""

many = settings(max_examples=100, deadline=None)

walks = st.lists(st.lists(st.integers(1, USABLE // 3), min_size=1, max_size=8), min_size=1, max_size=3)
"""Tokens that are said at a time, of one conversation after another: between two of them the window is cleared."""

thresholds = st.floats(0.1, 1)


@contextmanager
def a_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


@asynccontextmanager
async def a_conversation(server: Answering | None = None, **context: Any) -> AsyncGenerator[Filling]:
    with a_folder() as folder:
        async with filling(folder, server, **context) as made:
            yield made


async def walk(here: Filling, sizes: Sequence[int]) -> list[float]:
    """The pressure after each time that something was said."""
    pressures = []
    for size in sizes:
        _, usage = await here.process.conversations.append(here.session.id, [Draft("user", "w" * 4 * size)])
        assert usage.pressure is not None
        pressures.append(usage.pressure)
    return pressures


def triggers(here: Filling) -> list[object]:
    return [detail["trigger"] for detail in here.process.told("snapshotCreated")]


def first(pressures: Sequence[float], least: float) -> int | None:
    return next((place for place, pressure in enumerate(pressures) if pressure >= least), None)


def expected(pressures: Sequence[float], threshold: float) -> list[str]:
    """The snapshots of a window that only grows: one at its threshold, one at 95 %; where it jumps past both, that of
    95 % alone."""
    at = {first(pressures, threshold): "threshold"} | {first(pressures, CRITICAL): "emergency"}
    return [at[place] for place in sorted(place for place in at if place is not None)]


async def check_snapshots(parts: list[list[int]], threshold: float) -> None:
    async with a_conversation(compression=OFF, snapshots=SnapshotSettings(auto_threshold=threshold)) as here:
        wanted: list[str] = []
        for sizes in parts:
            wanted += expected(await walk(here, sizes), threshold)
            assert triggers(here) == wanted
            assert len(here.session.state.messages) == len(sizes)
            await here.process.conversations.clear(here.session.id)


@many
@given(walks)
def test_property_15_automatic_at_the_threshold(parts: list[list[int]]) -> None:
    asyncio.run(check_snapshots(parts, SnapshotSettings().auto_threshold))


@many
@given(walks, thresholds)
def test_property_36_snapshot_threshold_setting(parts: list[list[int]], threshold: float) -> None:
    asyncio.run(check_snapshots(parts, threshold))


@many
@given(walks)
def test_property_16_pre_overflow(parts: list[list[int]]) -> None:
    async def check() -> None:
        async with a_conversation(compression=OFF, snapshots=SnapshotSettings(enabled=False)) as here:
            wanted = 0
            for sizes in parts:
                wanted += max(await walk(here, sizes)) >= CRITICAL
                told = here.process.told("preOverflow")
                assert len(told) == wanted
                assert all(detail["limit"] == LIMIT and detail["tokens"] >= CRITICAL * USABLE for detail in told)
                await here.process.conversations.clear(here.session.id)

    asyncio.run(check())


@define
class Automatic:
    """Settings of an automatic compression."""

    threshold: float
    target: float
    strategy: Any

    def settings(self) -> CompressionSettings:
        return CompressionSettings(
            threshold=self.threshold, target=self.target, strategy=self.strategy, preserve_recent=128
        )


automatic = st.builds(Automatic, st.floats(0.5, 0.94), st.floats(0.25, 0.45), st.sampled_from(["truncate", "hybrid"]))


@many
@given(automatic, st.lists(st.integers(20, USABLE // 20), min_size=20, max_size=60))
def test_property_23_automatic_compression(chosen: Automatic, sizes: list[int]) -> None:
    """It runs when the threshold is crossed and at no other time, comes down to the target, and nothing is lost."""

    async def check() -> None:
        async with a_conversation(compression=chosen.settings()) as here:
            crossed = 0
            for number, size in enumerate(sizes):
                role = ("user", "assistant")[number % 2]
                _, usage = await here.process.conversations.append(here.session.id, [Draft(role, "w" * 4 * size)])
                await here.process.background.settled(here.session)
                assert usage.pressure is not None
                is_due = usage.pressure >= chosen.threshold
                crossed += is_due
                assert len(here.process.told("compressed")) == crossed
                after = await here.process.sessions.usage(here.session)
                assert after.tokens <= (chosen.target * USABLE if is_due else usage.tokens)
            said, _ = await here.process.conversations.messages(here.session.id, "history", None, 1000)
            assert len([m for m in said if m.summary_of is None]) == len(sizes)

    asyncio.run(check())


@define
class Listener:
    """A person who does something else first and then chooses ``answer`` of what is offered."""

    answer: str | None
    before: Callable[[], Awaitable[object]]
    offered: list[tuple[str, ...]] = Factory(list)
    told: list[str] = Factory(list)

    def tell(self, text: str) -> None:
        self.told.append(text)

    async def ask(self, text: str, answers: tuple[str, ...]) -> str | None:
        self.offered.append(answers)
        await self.before()
        return self.answer


answers = st.sampled_from([RESTORE, COMPRESS_MORE, REDUCE, CARRY_ON, None])


@many
@given(st.integers(6, 14), st.floats(0.5, 2), answers, st.integers(0, 1))
def test_property_25_emergency_notification(turns: int, value: float, answer: str | None, later: int) -> None:
    """At 95 % of the cache's memory a snapshot of the whole window is there before the person is asked, with every way
    back; below, nobody is asked. A restored window is the one from before, with what was said since at its end."""

    async def check() -> None:
        with a_folder() as folder:
            async with guarded(folder) as (made, session):
                made.guard.person = person = Listener(answer, lambda: say(made, session, later))
                await made.process.conversations.clear(session.id)
                await say(made, session, turns)
                window = ids(session)
                await press(made, session, value)
                case = await made.guard._case(session, "calm")
                assert case is not None
                is_critical = case.gauge.level == "critical"
                await look(made)
                assert person.offered == [(RESTORE, COMPRESS_MORE, REDUCE, CARRY_ON)] * is_critical
                kinds = [kind for kind, _ in await done(made, session)]
                assert ("snapshot" in kinds) == is_critical
                if is_critical:
                    snapshot, *_ = (await made.process.snapshots.page(session.id)).snapshots
                    assert snapshot.messages == len(window)
                    assert kinds.index("snapshot") < kinds.index("compress")
                    said, _ = await made.process.conversations.messages(session.id, "history", None, max(2 * later, 1))
                    since = tuple(message.id for message in said)[: 2 * later]
                    assert (ids(session) == (*window, *since)) == (answer == RESTORE)
                    assert ids(session)[len(ids(session)) - len(since) :] == since
                history, _ = await made.process.conversations.messages(session.id, "history", None, 1000)
                assert {*window} <= {message.id for message in history}

    asyncio.run(check())


doings = st.lists(st.sampled_from(["say", "clear", "undo", "restore", "pin"]), max_size=3)


async def do(made: Place, session: Session, doing: str, early: str) -> None:
    """What a person may do while the guard is at work."""
    if doing == "say":
        await say(made, session, 4)
    elif doing == "clear":
        await made.process.conversations.clear(session.id)
    elif doing == "restore":
        await made.process.snapshots.restore(early, session.id)
    elif doing == "pin" and ids(session):
        await made.process.conversations.pin(session.id, ids(session)[0], pinned=True)
    elif doing == "undo":
        with suppress(NothingToUndo):
            await made.process.conversations.undo(session.id, None)


@many
@given(st.integers(6, 14), st.floats(0.95, 4), doings, doings)
def test_what_leaves_in_an_emergency_is_in_its_snapshot(
    turns: int, value: float, before: list[str], behind: list[str]
) -> None:
    """Whatever is done to the window until the snapshot is there, and until something leaves."""

    async def check() -> None:
        with a_folder() as folder:
            async with guarded(folder, compression=CompressionSettings(enabled=False)) as (made, session):
                early = (await made.process.snapshots.create(session.id)).id
                await made.process.conversations.clear(session.id)
                await say(made, session, turns)
                real = made.process.snapshots.before_clearing

                async def amid(*arguments: Any) -> SnapshotInfo:
                    for doing in before:
                        await do(made, session, doing, early)
                    info = await real(*arguments)
                    for doing in behind:
                        await do(made, session, doing, early)
                    return info

                with patch.object(Snapshots, "before_clearing", lambda _, *arguments: amid(*arguments)):
                    await press(made, session, value)
                    await look(made)
                await check_kept(made, session)

    asyncio.run(check())


async def check_kept(made: Place, session: Session) -> None:
    logged = await made.sessions.store.run(lambda store: store.operations([session.id], None, 1000))
    kept: set[str] = set()
    for entry in logged:
        if entry.operation.kind == "snapshot":
            snapshot_id = str(entry.operation.detail["snapshotId"])
            _, content = made.process.snapshots.files.read(session.id, snapshot_id)
            kept = {message.id for message in content.messages}
        elif (entry.operation.kind, entry.operation.origin) == ("compress", "guard"):
            event("cleared")
            assert entry.change is not None
            assert {*entry.change.removed, *entry.change.masked.added} <= kept
