"""Compressions behind the conversation: at most one for each context, and a person's question goes first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define

from support.filling import LIMIT, USABLE, Filling, filling
from support.guarding import HIGH, guarded, ids, press
from support.rooms import WORKSPACE, Answering
from ullage.contexts.drafts import Draft
from ullage.contexts.making_room.compression import Aim
from ullage.contexts.making_room.precedence import MOST_FIRST
from ullage.contexts.session import Session
from ullage.providers.base import ChatRequest, Delta, Finished
from ullage.settings import CompressionSettings

AIM = Aim("hybrid", USABLE // 3, None, "guard")


@define(eq=False)
class Slow(Answering):
    """Summaries wait until they are let go; ``begun`` is set when one is asked for."""

    begun: asyncio.Event = Factory(asyncio.Event)
    go: asyncio.Event = Factory(asyncio.Event)
    summaries: int = 0

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Delta | Finished]:
        if request.options.response_schema:
            self.summaries += 1
            self.begun.set()
            await self.go.wait()
        async for item in Answering.chat(self, request):
            yield item


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Filling]:
    async with filling(tmp_path, Slow(limit=LIMIT), compression=CompressionSettings(threshold=1.0)) as made:
        await made.fill(0.6, messages=20)
        yield made


@pytest.fixture
def server(here: Filling) -> Slow:
    assert isinstance(here.server, Slow)
    return here.server


async def begun(here: Filling, server: Slow) -> None:
    """A compression runs, and waits for its summary."""
    here.process.background.start(here.session, AIM)
    await asyncio.wait_for(server.begun.wait(), 10)


async def finished(here: Filling, server: Slow) -> None:
    server.go.set()
    await asyncio.wait_for(here.process.background.settled(here.session), 10)


def compressed(here: Filling) -> int:
    return len(here.process.told("compressed"))


async def active_of(here: Filling) -> Any:
    return await here.process.sessions.models.active(here.session.state.record)


async def test_it_runs_behind_what_is_said(here: Filling, server: Slow) -> None:
    await begun(here, server)
    [said], _ = await here.process.conversations.append(here.session.id, [Draft("user", "And one more thing.")])
    assert compressed(here) == 0
    await finished(here, server)
    assert (compressed(here), here.session.state.ids[-1]) == (1, said.id)


async def test_there_is_one_for_each_context_at_most(here: Filling, server: Slow) -> None:
    await begun(here, server)
    here.process.background.start(here.session, AIM)
    await finished(here, server)
    assert (server.summaries, compressed(here)) == (1, 1)


async def test_when_it_has_ended_another_may_begin(here: Filling, server: Slow) -> None:
    await begun(here, server)
    await finished(here, server)
    assert here.session.compressing is None
    await here.fill(0.6, messages=20)
    here.process.background.start(here.session, AIM)
    await finished(here, server)
    assert compressed(here) == 2


async def test_it_gives_way_to_a_question_and_is_taken_up_again(here: Filling, server: Slow) -> None:
    await begun(here, server)
    result = await asyncio.wait_for(here.chat(), 10)
    assert (result.message.content, result.compressed) == ("I heard you.", None)
    await finished(here, server)
    assert (server.summaries, compressed(here)) == (2, 1)


async def test_a_question_in_another_context_goes_first_too(here: Filling, server: Slow) -> None:
    await begun(here, server)
    other = Filling(here.process, server, await another(here), here.settings)
    assert (await asyncio.wait_for(other.chat(), 10)).message.content == "I heard you."
    await finished(here, server)
    assert (server.summaries, compressed(here)) == (2, 1)


async def another(here: Filling) -> Session:
    opened = await here.process.directory.open(WORKSPACE, "other")
    return await here.process.sessions.get(opened.id)


async def test_that_of_a_context_which_needs_it_goes_on(here: Filling, server: Slow) -> None:
    await begun(here, server)
    async with here.process.precedence.question(await active_of(here), needing=here.session):
        await finished(here, server)
    assert (server.summaries, compressed(here)) == (1, 1)


async def test_one_that_asks_no_model_goes_on(here: Filling, server: Slow) -> None:
    here.process.background.start(here.session, Aim("truncate", USABLE // 3, None, "guard"))
    async with here.process.precedence.question(await active_of(here)):
        await finished(here, server)
    assert (server.summaries, compressed(here)) == (0, 1)


async def test_one_that_gave_way_is_begun_anew_when_the_question_is_answered(here: Filling, server: Slow) -> None:
    await begun(here, server)
    async with here.process.precedence.question(await active_of(here)):
        assert server.summaries == 1
    await finished(here, server)
    assert (server.summaries, compressed(here)) == (2, 1)


async def test_one_that_gave_way_to_another_context_goes_on_when_its_own_needs_it(here: Filling, server: Slow) -> None:
    await begun(here, server)
    precedence, active = here.process.precedence, await active_of(here)
    async with precedence.question(active), precedence.question(active, needing=here.session):
        await finished(here, server)
    assert (server.summaries, compressed(here)) == (2, 1)


async def test_it_gives_way_also_to_a_question_under_new_settings(here: Filling, server: Slow) -> None:
    await begun(here, server)
    await here.process.sessions.models.reset(keep_servers=True)
    async with here.process.precedence.question(await active_of(here)):
        pass
    await finished(here, server)
    assert (server.summaries, compressed(here)) == (2, 1)


async def let_questions_go_first(here: Filling, server: Slow, count: int) -> None:
    """One after the other, each when the summary is asked for."""
    for _ in range(count):
        await asyncio.wait_for(server.begun.wait(), 10)
        server.begun.clear()
        async with here.process.precedence.question(await active_of(here)):
            pass


async def test_one_by_request_goes_on_beside_questions_when_it_has_let_many_go_first(
    here: Filling, server: Slow
) -> None:
    request = asyncio.create_task(here.process.compressions.compress(here.session.id, "hybrid"))
    await let_questions_go_first(here, server, MOST_FIRST)
    await asyncio.wait_for(server.begun.wait(), 10)
    async with here.process.precedence.question(await active_of(here)):
        server.go.set()
        await asyncio.wait_for(request, 10)
    assert (server.summaries, compressed(here)) == (MOST_FIRST + 1, 1)


async def test_one_that_nobody_waits_for_gives_way_to_every_question(here: Filling, server: Slow) -> None:
    await begun(here, server)
    await let_questions_go_first(here, server, MOST_FIRST + 3)
    await finished(here, server)
    assert (server.summaries, compressed(here)) == (MOST_FIRST + 4, 1)


async def test_what_was_forgotten_while_one_gave_way_is_not_sent_again(here: Filling, server: Slow) -> None:
    [secret], _ = await here.process.conversations.append(here.session.id, [Draft("user", "xyzzy")])
    request = asyncio.create_task(here.process.compressions.compress(here.session.id, "hybrid"))
    await asyncio.wait_for(server.begun.wait(), 10)
    async with here.process.precedence.question(await active_of(here)):
        await here.process.archive.forget(here.session.id, secret.id)
    server.go.set()
    await asyncio.wait_for(request, 10)
    assert compressed(here) == 1
    assert server.requests != []
    assert all("xyzzy" not in message.content for each in server.requests for message in each.messages)


async def test_stopping_ends_what_gave_way(here: Filling, server: Slow) -> None:
    await begun(here, server)
    async with here.process.precedence.question(await active_of(here)):
        await here.process.background.stop(here.session)
    assert (here.session.compressing, server.summaries) == (None, 1)


async def test_cancelling_a_wait_leaves_it_running(here: Filling, server: Slow) -> None:
    await begun(here, server)
    waiting = asyncio.create_task(here.process.background.settled(here.session))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert here.session.compressing is not None
    await finished(here, server)
    assert compressed(here) == 1


async def test_a_failure_nobody_thought_of_is_logged_without_words_and_ends_nothing(
    here: Filling, server: Slow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise ValueError("what somebody said")

    with monkeypatch.context() as patch, caplog.at_level(logging.INFO):
        patch.setattr(type(here.process.compressions), "reduce", fail)
        here.process.background.start(here.session, AIM)
        await finished(here, server)
    assert "ValueError" in caplog.text
    assert "somebody" not in caplog.text
    here.process.background.start(here.session, AIM)
    await finished(here, server)
    assert compressed(here) == 1


async def test_the_memory_guards_compression_runs_behind_the_conversation_too(tmp_path: Path) -> None:
    """So that a question goes first and the person can see and end it."""
    async with guarded(tmp_path) as (made, session):
        window = ids(session)
        running: list[bool] = []
        real = made.process.background.compressions.reduce

        class Watched:
            async def reduce(self, *arguments: Any) -> Any:
                running.append(session.compressing is not None)
                return await real(*arguments)

        made.process.background.compressions = Watched()  # type: ignore[assignment]
        await press(made, session, HIGH)
        await made.guard.look()
        assert running == [True]
        assert len(ids(session)) < len(window)
