"""The guard's clear among everything else that happens: undos, words said meanwhile, a context that is let go of."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define

from support.guarding import (
    CRITICAL,
    HIGH,
    SEVERE,
    actions,
    done,
    guarded,
    ids,
    log,
    look,
    press,
    say,
)
from support.letting_go import WAYS, LettingGo, close
from support.sized import FakeServer, Place
from ullage.contexts.drafts import Draft
from ullage.contexts.making_room.memory_guard import COOLDOWN_S, RESTORE
from ullage.contexts.session import Session
from ullage.settings import CompressionSettings

Here = tuple[Place, Session]


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Here]:
    async with guarded(tmp_path) as made:
        yield made


@define(eq=False)
class Writing:
    """The guard's snapshot, held until it is let go."""

    begun: threading.Event = Factory(threading.Event)
    go: threading.Event = Factory(threading.Event)

    async def reached(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 10)


@pytest.fixture
def writing(here: Here, monkeypatch: pytest.MonkeyPatch) -> Writing:
    made, writing = here[0], Writing()
    files = type(made.process.snapshots.files)
    real = files.write

    def write(self: Any, header: Any, content: Any) -> Any:
        if header.summary == "Before memory ran short":
            writing.begun.set()
            assert writing.go.wait(10)
        return real(self, header, content)

    monkeypatch.setattr(files, "write", write)
    return writing


async def while_it_is_kept(
    here: Here, writing: Writing, do: Callable[[], Awaitable[object]], value: float = CRITICAL
) -> None:
    """The guard looks at a critical gauge, and ``do`` happens while its snapshot is written."""
    await press(*here, value)
    looking = asyncio.create_task(look(here[0]))
    await writing.reached()
    await do()
    writing.go.set()
    await looking


async def let_go_while_it_is_kept(here: Here, writing: Writing, let_go: LettingGo) -> None:
    made, session = here
    letting_go: list[asyncio.Future[None]] = []

    async def begin() -> None:
        letting_go.append(asyncio.ensure_future(let_go(made.process, session)))
        for _ in range(10):  # as far as it comes without the snapshot
            await asyncio.sleep(0)

    await while_it_is_kept(here, writing, begin)
    await letting_go[0]


class TestWhetherItClears:
    async def test_a_compression_that_gained_nothing_forbids_no_clear(self, tmp_path: Path) -> None:
        compression = CompressionSettings(strategy="truncate", preserve_recent=4096)
        async with guarded(tmp_path, compression=compression) as (made, session):
            await made.process.conversations.clear(session.id)
            await say(made, session, 5)
            for value in (HIGH, CRITICAL):
                await press(made, session, value)
                await look(made)
            assert actions(made) == ["reduce", "clear"]

    async def test_an_undo_of_what_was_said_forbids_no_clear(self, here: Here) -> None:
        made, session = here
        await made.process.conversations.append(session.id, [Draft("user", "Never mind.")])
        *_, said = await made.process.conversations.history([session.id], None, 100)
        await made.process.conversations.undo(session.id, said.id)
        await press(made, session, CRITICAL)
        await look(made)
        assert actions(made) == ["clear"]

    async def test_a_clear_that_was_taken_back_is_not_made_again_before_the_window_grows(self, here: Here) -> None:
        made, session = here
        window = ids(session)
        made.server.largest = 1
        for turns, cleared in ((0, 1), (0, 1), (2, 2)):
            await say(made, session, turns)
            await press(made, session, CRITICAL)
            await look(made, 2 * COOLDOWN_S)
            assert len(actions(made)) == cleared
            if turns == 0 and ids(session) != window:
                await made.process.conversations.undo(session.id, None)
                assert ids(session) == window


class TestRestoring:
    async def answered(self, here: Here, monkeypatch: pytest.MonkeyPatch, before: Callable[[], Any]) -> None:
        """A clear whose question is answered with ``Restore`` after ``before``."""
        made, session = here

        async def ask(*_: object) -> str:
            await before()
            return RESTORE

        monkeypatch.setattr(type(made.person), "ask", ask)
        await press(made, session, CRITICAL)
        await look(made)

    async def test_what_was_said_in_between_stays_at_the_end(self, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
        made, session = here
        window = ids(session)
        said: list[str] = []

        async def speak() -> None:
            messages, _ = await made.process.conversations.append(session.id, [Draft("user", "And this?")])
            said.extend(message.id for message in messages)

        await self.answered(here, monkeypatch, speak)
        assert ids(session) == (*window, *said)

    async def test_where_it_was_undone_already_the_snapshot_brings_it_back(
        self, here: Here, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made, session = here
        window = ids(session)

        async def undo_and_clear() -> None:
            await made.process.conversations.undo(session.id, None)
            await made.process.conversations.clear(session.id)

        await self.answered(here, monkeypatch, undo_and_clear)
        assert ids(session) == window
        assert [each.kind for each in await log(*here)][-3:] == ["undo", "clear", "restore"]
        await press(made, session, CRITICAL)
        await look(made, 2 * COOLDOWN_S)
        assert ids(session) == window


class TestWhatHappensMeanwhile:
    async def test_another_window_is_looked_at_anew(self, here: Here, writing: Writing) -> None:
        made, session = here
        early = await made.process.snapshots.create(session.id)
        await made.process.conversations.clear(session.id)
        await say(made, session, 12)
        await while_it_is_kept(here, writing, lambda: made.process.snapshots.restore(early.id, session.id))
        assert (len(ids(session)), actions(made)) == (early.messages, [])
        await look(made)
        assert actions(made) == ["clear"]

    async def test_what_is_said_while_it_is_kept_does_not_leave(self, here: Here, writing: Writing) -> None:
        made, session = here
        window = ids(session)
        await while_it_is_kept(here, writing, lambda: say(made, session, 5), 4.0)
        said, _ = await made.process.conversations.messages(session.id, "history", None, 10)
        assert ids(session)[-10:] == tuple(message.id for message in said)
        [snapshot] = (await made.process.snapshots.page(session.id)).snapshots
        assert snapshot.messages == len(window)

    @pytest.mark.parametrize("let_go", WAYS)
    async def test_a_context_that_is_let_go_of_is_left_alone(
        self, here: Here, writing: Writing, let_go: LettingGo
    ) -> None:
        made, session = here
        window = ids(session)
        await let_go_while_it_is_kept(here, writing, let_go)
        assert not session.lock.held
        assert (actions(made), made.server.orders[1:], made.person.asked) == ([], [], [])
        assert made.process.told("snapshotCreated") == []
        if let_go.__name__ != "delete":
            loaded = await made.sessions.get(session.id)
            assert ids(loaded) == window
            assert {origin for _, origin in await done(made, loaded)} <= {"client"}

    async def test_a_smaller_size_is_not_told_to_a_context_that_was_let_go_of(
        self, here: Here, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made, session = here
        resize = FakeServer.resize

        async def closing(self: FakeServer, *arguments: Any) -> Any:
            await made.directory.close(session.id)
            return await resize(self, *arguments)

        monkeypatch.setattr(FakeServer, "resize", closing)
        await press(made, session, SEVERE)
        await look(made)
        assert not session.lock.held
        assert await done(made, session) == [("close", "client")]

    async def test_others_are_looked_at_while_one_is_let_go_of(
        self, here: Here, writing: Writing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made, session = here
        opened = await made.directory.open("file:///home/someone/other")
        other = await made.sessions.get(opened.id)
        looked_at: list[str] = []
        case = type(made.guard)._case

        async def noting(self: Any, session: Session, before: Any) -> Any:
            looked_at.append(session.id)
            return await case(self, session, before)

        monkeypatch.setattr(type(made.guard), "_case", noting)
        await let_go_while_it_is_kept(here, writing, close)
        assert looked_at == [session.id, other.id]


class TestTheEnd:
    async def test_a_question_that_nobody_answered_ends_with_the_guard(
        self, here: Here, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made, session = here
        forever = asyncio.Event()
        monkeypatch.setattr(type(made.person), "ask", lambda *_: forever.wait())
        await press(made, session, CRITICAL)
        made.seconds += 5
        await made.guard.look()
        [asking] = made.guard._asking
        await made.monitor.close()
        assert asking.cancelled()

    async def test_what_follows_a_look_has_ended_when_the_monitor_is_closed(self, here: Here, writing: Writing) -> None:
        made, session = here
        await press(made, session, CRITICAL)
        await made.monitor._look_safely()
        await writing.reached()
        closing = asyncio.create_task(made.monitor.close())
        await asyncio.sleep(0)
        writing.go.set()
        await closing
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert (await log(made, session), actions(made)) == ([], [])
