"""A context that is let go of is left alone: what was making room in it ends, and nothing takes its lock again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define

from support.letting_go import WAYS, LettingGo, close
from support.rooms import Answering, Rooms, rooms
from ullage.contexts.drafts import Draft
from ullage.contexts.making_room.compression import Aim
from ullage.contexts.making_room.window_guard import WindowGuard
from ullage.contexts.session import Session
from ullage.conversation.usage import Usage
from ullage.errors import UllageError
from ullage.providers.base import AnswerOptions, ChatRequest, Delta, Finished
from ullage.settings import CompressionSettings
from ullage.store.locks import ContextLock

WORDS = "word " * 30


@define(eq=False)
class Holding(Answering):
    """Says half of an answer, or nothing of a summary, and the rest when it is let."""

    asked: asyncio.Event = Factory(asyncio.Event)
    summary_asked: asyncio.Event = Factory(asyncio.Event)
    go_on: asyncio.Event = Factory(asyncio.Event)
    summarise: asyncio.Event = Factory(asyncio.Event)

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Delta | Finished]:
        self.requests.append(request)
        if request.options.response_schema:
            self.summary_asked.set()
            await self.summarise.wait()
            yield Delta(self.summary)
        else:
            yield Delta("Half ")
            self.asked.set()
            await self.go_on.wait()
            yield Delta("of it.")
        yield Finished("stop")


@define(eq=False)
class Place:
    process: Rooms
    server: Holding

    async def context(self, name: str = "main", *, turns: int = 12) -> Session:
        session = await self.process.sessions.get(await self.process.open(name))
        drafts = [Draft(role, f"{number} {WORDS}") for number in range(turns) for role in ("user", "assistant")]
        await self.process.conversations.append(session.id, drafts)
        return session

    async def summarising(self, name: str = "main") -> Session:
        """One that is being compressed behind the conversation."""
        session = await self.context(name)
        self.process.background.start(session, Aim("hybrid", origin="guard"))
        await asyncio.wait_for(self.server.summary_asked.wait(), 10)
        return session

    def chatting(self, session: Session) -> asyncio.Task[Any]:
        options = AnswerOptions(max_tokens=16)
        return asyncio.create_task(self.process.chats.chat(session.id, "Go on.", options, lambda _: None))

    async def settled(self) -> None:
        """Everything that was begun has come to its end."""
        self.server.summarise.set()
        self.server.go_on.set()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    server = Holding(limit=4096)
    process = rooms(tmp_path, server, compression=CompressionSettings(enabled=False, preserve_recent=256))
    yield Place(process, server)
    await process.close()


def assert_left_alone(session: Session) -> None:
    assert (session.lock.held, session.compressing, session.answer) == (False, None, None)


@pytest.mark.parametrize("let_go", WAYS)
async def test_a_compression_behind_the_conversation_ends(place: Place, let_go: LettingGo) -> None:
    session = await place.summarising()
    await let_go(place.process, session)
    assert_left_alone(session)
    await place.settled()
    assert_left_alone(session)
    assert place.process.told("compressed") == []


@pytest.mark.parametrize("let_go", WAYS)
async def test_one_that_gave_way_to_another_context_is_not_taken_up_again(place: Place, let_go: LettingGo) -> None:
    session = await place.summarising()
    other = await place.context("other", turns=1)
    place.server.summary_asked.clear()
    chat = place.chatting(other)
    await asyncio.wait_for(place.server.asked.wait(), 10)
    await let_go(place.process, session)
    await place.settled()
    await asyncio.wait([chat])
    assert_left_alone(session)
    assert not place.server.summary_asked.is_set()


@pytest.mark.parametrize("let_go", WAYS)
async def test_one_that_gave_way_to_the_contexts_own_answer_is_not_taken_up_again(
    place: Place, let_go: LettingGo
) -> None:
    session = await place.summarising()
    place.server.summary_asked.clear()
    chat = place.chatting(session)
    await asyncio.wait_for(place.server.asked.wait(), 10)
    await let_go(place.process, session)
    assert (await chat).stop_reason == "cancelled"
    assert_left_alone(session)
    await place.settled()
    assert_left_alone(session)
    assert not place.server.summary_asked.is_set()


@pytest.mark.parametrize("let_go", WAYS)
async def test_one_by_request_ends(place: Place, let_go: LettingGo) -> None:
    session = await place.context()
    request = asyncio.create_task(place.process.compressions.compress(session.id, "hybrid"))
    await asyncio.wait_for(place.server.summary_asked.wait(), 10)
    await let_go(place.process, session)
    await place.settled()
    assert request.cancelled()
    assert_left_alone(session)
    assert place.process.told("compressed") == []


@pytest.mark.parametrize("let_go", WAYS)
async def test_what_the_last_words_ask_for_does_not_begin(
    place: Place, let_go: LettingGo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer that is kept as far as it has come fills the window to the threshold."""
    session = await place.context()
    chat = place.chatting(session)
    await asyncio.wait_for(place.server.asked.wait(), 10)

    async def due(guard: WindowGuard, session: Session, _: Usage) -> None:
        guard.background.start(session, Aim("hybrid", origin="guard"))

    monkeypatch.setattr(WindowGuard, "grown", due)
    await let_go(place.process, session)
    await chat
    assert_left_alone(session)
    await place.settled()
    assert_left_alone(session)
    assert not place.server.summary_asked.is_set()


async def test_one_behind_the_conversation_takes_no_lock_that_another_process_holds(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire = ContextLock.acquire
    monkeypatch.setattr(ContextLock, "acquire", lambda lock, timeout_s=0.0: acquire(lock, timeout_s))
    writing = await place.context()
    elsewhere = rooms(tmp_path, Answering(limit=4096), compression=CompressionSettings(preserve_recent=256))
    session = await elsewhere.sessions.get(await elsewhere.open())
    elsewhere.background.start(session, Aim("truncate", origin="guard"))
    await elsewhere.background.settled(session)
    assert (writing.lock.held, session.lock.held) == (True, False)
    assert elsewhere.told("compressed") == []
    assert session.state.ids == writing.state.ids
    await elsewhere.close()


async def test_a_context_that_came_back_is_compressed_again(place: Place) -> None:
    session = await place.summarising()
    await close(place.process, session)
    place.server.summarise.set()
    await place.process.open()
    await place.process.compressions.compress(session.id, "hybrid")
    assert place.process.told("compressed") != []


async def test_one_by_request_may_still_be_cancelled(place: Place) -> None:
    session = await place.context()
    before = session.state
    request = asyncio.create_task(place.process.compressions.compress(session.id, "hybrid"))
    await asyncio.wait_for(place.server.summary_asked.wait(), 10)
    request.cancel()
    await asyncio.wait([request])
    assert request.cancelled()
    assert session.state is before
    with pytest.raises(UllageError):
        await place.process.conversations.undo(session.id, None)
