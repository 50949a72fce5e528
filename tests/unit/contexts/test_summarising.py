"""What a model is asked for a summary, and what is made of its answer."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from support.rooms import Answering, Rooms, rooms
from support.summarising_stub import GOOD
from ullage.contexts.drafts import Draft
from ullage.contexts.making_room.summarising import ANSWER_SHARE, OutOfDate
from ullage.contexts.session import Session
from ullage.providers.base import ChatRequest, Delta, Finished
from ullage.settings import CompressionSettings

LIMIT = 2048
ROOM = 128
WORDS = "word " * 40
NEVER = CompressionSettings(enabled=False)


@pytest.fixture
async def server() -> Answering:
    return Answering(limit=LIMIT)


@pytest.fixture
async def place(tmp_path: Path, server: Answering) -> AsyncGenerator[Rooms]:
    made = rooms(tmp_path, server, compression=NEVER)
    yield made
    await made.close()


async def filled(place: Rooms, tokens: int) -> Session:
    """A conversation of as many turns as stay below ``tokens``."""
    session = await place.sessions.get(await place.open())
    number = 0
    while (await place.sessions.usage(session)).tokens < tokens - 120:
        drafts = [Draft(role, f"{number} {WORDS}") for role in ("user", "assistant")]
        await place.conversations.append(session.id, drafts)
        number += 1
    return session


async def summary(place: Rooms, session: Session, leaving: int) -> str | None:
    """What is to stand for the first messages."""
    state = session.state
    summariser = place.compressions.summariser
    return await summariser.summarise(session, state, tuple(state.messages)[:leaving], ROOM)


async def asked(place: Rooms, session: Session, server: Answering) -> tuple[list[str], int]:
    """Of the conversation what was sent before the request, and what prompt and answer can take together."""
    [request] = server.requests
    counter = place.sessions.counter(session.state.record)
    prompt = await counter.counter.prompt(request.messages)
    return [message.content for message in request.messages[:-1]], prompt + (request.options.max_tokens or 0)


def contents(session: Session) -> list[str]:
    return [message.content for message in session.state.messages]


async def test_where_there_is_room_the_request_follows_the_whole_conversation(place: Rooms, server: Answering) -> None:
    session = await filled(place, LIMIT // 2)
    assert await summary(place, session, 4)
    sent, tokens = await asked(place, session, server)
    assert sent == contents(session)
    assert tokens <= LIMIT


async def test_else_it_follows_the_longest_beginning_that_leaves_room(place: Rooms, server: Answering) -> None:
    session = await filled(place, LIMIT - 50)
    assert await summary(place, session, 4)
    sent, tokens = await asked(place, session, server)
    assert sent == contents(session)[: len(sent)]
    assert 4 <= len(sent) < len(session.state.messages)
    assert tokens <= LIMIT < tokens + 120, "another turn would have been too much"


async def test_what_leaves_is_handed_over_as_text_where_it_is_too_long_for_that(
    place: Rooms, server: Answering
) -> None:
    session = await filled(place, LIMIT - 50)
    assert await summary(place, session, len(session.state.messages))
    assert len(server.requests) > 1
    assert all("<history>" in request.messages[-1].content for request in server.requests)


async def test_nothing_more_of_it_is_sent_when_the_window_is_another(
    place: Rooms, server: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await filled(place, LIMIT - 50)
    chat = Answering.chat

    async def clearing(self: Answering, request: ChatRequest) -> AsyncGenerator[Delta | Finished]:
        async for item in chat(self, request):
            yield item
        await place.conversations.clear(session.id)

    monkeypatch.setattr(Answering, "chat", clearing)
    with pytest.raises(OutOfDate):
        await summary(place, session, len(session.state.messages))
    assert len(server.requests) == 1
    assert session.rejected_summaries == 0


async def test_the_answer_may_be_longer_than_the_summary_since_json_is(place: Rooms, server: Answering) -> None:
    session = await filled(place, LIMIT // 2)
    await summary(place, session, 4)
    assert server.requests[0].options.max_tokens == int(ROOM * ANSWER_SHARE)


async def test_a_summary_that_is_a_little_too_long_loses_what_can_be_missed_first(
    place: Rooms, server: Answering
) -> None:
    session = await filled(place, LIMIT // 2)
    server.summary = json.dumps(json.loads(GOOD) | {"done": [f"Thing {n} was done today" for n in range(15)]})
    content = await summary(place, session, 4)
    assert content is not None
    assert "Never use tabs" in content
    assert "Thing 0" in content
    assert "Thing 14" not in content
    assert len(content) // 4 <= ROOM


async def test_a_summary_that_is_far_too_long_is_none(place: Rooms, server: Answering) -> None:
    session = await filled(place, LIMIT // 2)
    server.summary = json.dumps(json.loads(GOOD) | {"done": [f"Thing {n} was done today" for n in range(60)]})
    assert await summary(place, session, 4) is None
    assert session.rejected_summaries == 1
