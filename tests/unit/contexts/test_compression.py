"""Compressing while other things are done to the same conversation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from attrs import Factory, define

from support.rooms import Answering, Rooms, rooms
from support.summarising_stub import GOOD
from ullage.contexts.drafts import Draft
from ullage.contexts.making_room import compression
from ullage.contexts.making_room.compression import Aim
from ullage.contexts.session import Session
from ullage.contexts.values import MessageView
from ullage.conversation.compressing import Demand, Plan, Weighed, plan
from ullage.conversation.messages import ToolCall
from ullage.providers.base import AnswerOptions, ChatRequest, Delta, Finished
from ullage.settings import CompressionSettings

LIMIT = 1024
USABLE = LIMIT - LIMIT // 4
WORDS = "word " * 40


@define(eq=False)
class Waiting(Answering):
    """Summaries wait until they are let go; ``asked`` is set as soon as one was asked for."""

    asked: asyncio.Event = Factory(asyncio.Event)
    go: asyncio.Event = Factory(asyncio.Event)

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Delta | Finished]:
        if request.options.response_schema:
            self.asked.set()
            await self.go.wait()
        async for item in Answering.chat(self, request):
            yield item


@pytest.fixture
async def server() -> Waiting:
    return Waiting(limit=LIMIT)


@pytest.fixture
async def place(tmp_path: Path, server: Waiting) -> AsyncGenerator[Rooms]:
    made = rooms(tmp_path, server, compression=CompressionSettings(preserve_recent=64))
    yield made
    await made.close()


async def filled(place: Rooms, turns: int) -> Session:
    context_id = await place.open()
    session = await place.sessions.get(context_id)
    await said(place, session, turns)
    return session


async def said(place: Rooms, session: Session, turns: int) -> None:
    drafts = [Draft(role, f"{number} {WORDS}") for number in range(turns) for role in ("user", "assistant")]
    if drafts:
        await appended(place, session, drafts)


async def looked(place: Rooms, session: Session) -> str:
    """A turn with a tool's long result; the id of that."""
    call = ToolCall("c", "look", "{}")
    drafts = [
        Draft("user", "Look."),
        Draft("assistant", "", tool_calls=(call,)),
        Draft("tool", WORDS * 3, tool_call_id="c", name="look"),
        Draft("assistant", "Seen."),
    ]
    return (await appended(place, session, drafts))[2].id


async def appended(place: Rooms, session: Session, drafts: list[Draft]) -> list[MessageView]:
    """Without the guard's looking on."""
    place.conversations.guard, guard = Unguarded(), place.conversations.guard  # type: ignore[assignment]  # of no state
    messages, _ = await place.conversations.append(session.id, drafts)
    place.conversations.guard = guard
    return messages


class Unguarded:
    async def grown(self, *_: object) -> None:
        """Nothing is done about it."""


def compressions(place: Rooms) -> int:
    return len(place.told("compressed"))


async def test_what_was_undone_meanwhile_is_not_compressed_after_all(place: Rooms, server: Waiting) -> None:
    session = await filled(place, 6)
    place.background.start(session, Aim("hybrid", 100, None, "guard"))
    await server.asked.wait()
    await place.conversations.clear(session.id)
    await place.conversations.undo(session.id, None)
    server.go.set()
    await place.background.settled(session)
    assert compressions(place) == 0
    assert len(session.state.messages) == 12


async def test_a_request_that_waits_is_made_to_fit_what_was_said_meanwhile(place: Rooms, server: Waiting) -> None:
    session = await filled(place, 9)
    chat = asyncio.create_task(place.chats.chat(session.id, "And?", AnswerOptions(), lambda _: None))
    await server.asked.wait()
    await said(place, session, 7)
    server.go.set()
    assert (await chat).stop_reason == "stop"
    assert (await place.sessions.usage(session)).tokens <= USABLE


async def test_a_result_that_was_pinned_meanwhile_is_not_masked(place: Rooms, server: Waiting) -> None:
    session = await filled(place, 4)
    result = await looked(place, session)
    await said(place, session, 2)
    tokens = (await place.sessions.usage(session)).tokens
    compressing = asyncio.create_task(place.compressions.reduce(session, Aim("hybrid", tokens * 6 // 10)))
    await server.asked.wait()
    await place.conversations.pin(session.id, result, pinned=True)
    server.go.set()
    assert await compressing is not None
    assert result not in session.state.masked
    assert result in session.state.ids


async def test_undoing_out_of_order_leaves_no_mark_behind(place: Rooms, server: Waiting) -> None:
    server.go.set()
    session = await filled(place, 0)
    await looked(place, session)
    await said(place, session, 3)
    before = session.state
    tokens = (await place.sessions.usage(session)).tokens
    masking = await place.compressions.reduce(session, Aim("hybrid", tokens - 50))
    assert masking is not None
    assert masking.reduced_by == ("toolResults",)
    leaving = await place.compressions.reduce(session, Aim("truncate", tokens // 3))
    assert leaving is not None
    await place.conversations.undo(session.id, masking.operation_id)
    await place.conversations.undo(session.id, leaving.operation_id)
    assert (session.state.ids, session.state.masked) == (before.ids, frozenset())


async def test_what_has_to_stay_near_the_threshold_is_no_loop(place: Rooms, server: Waiting) -> None:
    """Pins fill most of the window: making room gains little, and is not tried again at every turn."""
    server.go.set()
    context_id = await place.open()
    session = await place.sessions.get(context_id)
    await place.conversations.append(context_id, [Draft("user", WORDS * 11, pinned=True)])
    for number in range(8):
        await place.chats.chat(context_id, f"{number} {WORDS}"[:60], AnswerOptions(), lambda _: None)
        await place.background.settled(session)
    assert compressions(place) <= 3


async def test_a_summary_goes_with_a_message_that_it_saw_and_does_not_stand_for(place: Rooms, server: Waiting) -> None:
    server.go.set()
    server.summary = GOOD.replace("The port is 8443", "The secret is swordfish")
    session = await filled(place, 6)
    [secret], _ = await place.conversations.append(session.id, [Draft("user", "The secret is swordfish.")])
    result = await place.compressions.compress(session.id, "hybrid")
    assert result.summary is not None
    assert "swordfish" in result.summary.content
    assert secret.id not in (result.summary.summary_of or ())
    await place.archive.forget(session.id, secret.id)
    history, _ = await place.conversations.messages(session.id, "history", None, 1000)
    assert not [message for message in history if "swordfish" in message.content]


async def test_others_are_answered_while_a_plan_is_made(place: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await filled(place, 6)
    loop, answered = asyncio.get_running_loop(), threading.Event()

    def planned(weighed: Weighed, demand: Demand) -> Plan | None:
        loop.call_soon_threadsafe(answered.set)
        assert answered.wait(timeout=10), "the event loop was held up"
        return plan(weighed, demand)

    monkeypatch.setattr(compression, "plan", planned)
    assert (await place.compressions.compress(session.id, "truncate")).removed
