"""A snapshot's window put back, into its own context or another one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from support.snapshotting import Place, marks_of, place
from support.store_values import message, new_id
from ullage.contexts.session import Session
from ullage.conversation.messages import ToolCall
from ullage.errors import CorruptSnapshot, UnknownContext, UnknownSnapshot


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Place]:
    async with place(tmp_path / "storage") as made:
        yield made


@pytest.fixture
async def session(here: Place) -> Session:
    made = await here.context()
    await here.say(made)
    return made


class TestRestoring:
    async def test_the_window_is_what_it_was_with_its_marks(self, here: Place, session: Session) -> None:
        question, answer = session.state.messages
        call = message("", role="assistant", tool_calls=(ToolCall("1", "look", "{}"),))
        result = message("long", role="tool", tool_call_id="1")
        await here.say(session, call, result, pinned=(question.id,))
        window = (question, call, result)
        await here.window(session, *window, carried=frozenset({question.id}), masked=frozenset({result.id}))
        before = marks_of(session.state)
        info = await here.snapshots.create(session.id)
        await here.window(session, answer, carried=frozenset(), masked=frozenset())
        await here.snapshots.restore(info.id)
        assert marks_of(session.state) == before

    async def test_it_answers_with_the_usage_of_the_window_now(self, here: Place, session: Session) -> None:
        info = await here.snapshots.create(session.id)
        await here.say(session)
        restored = await here.snapshots.restore(info.id)
        assert restored.usage == await here.sessions.usage(session)
        assert (restored.usage.tokens, restored.context.id) == (info.tokens, session.id)

    async def test_undo_takes_it_back(self, here: Place, session: Session) -> None:
        info = await here.snapshots.create(session.id)
        await here.say(session)
        await here.window(session, *session.state.messages[2:])
        before = marks_of(session.state)
        await here.snapshots.restore(info.id)
        assert marks_of(session.state) != before
        await here.undo(session)
        assert marks_of(session.state) == before

    async def test_it_is_an_operation_and_an_event(self, here: Place, session: Session) -> None:
        info = await here.snapshots.create(session.id)
        await here.snapshots.restore(info.id)
        [*_, operation] = await here.operations(session)
        assert (operation.kind, operation.detail) == ("restore", {"snapshotId": info.id, "messages": 2})
        assert here.told("restored") == [{**operation.detail, "operationId": operation.id}]

    async def test_only_messages_come_back(self, here: Place, session: Session) -> None:
        await here.snapshots.directory.update(session.id, system_prompt="Be brief.")
        info = await here.snapshots.create(session.id)
        await here.snapshots.directory.update(session.id, system_prompt="Be long.", name="other")
        before = session.state.record
        await here.snapshots.restore(info.id)
        assert session.state.record == before

    async def test_nothing_is_said_twice(self, here: Place, session: Session) -> None:
        info = await here.snapshots.create(session.id)
        await here.window(session)
        await here.snapshots.restore(info.id)
        history, _ = await here.sessions.store.run(lambda store: store.history(session.id, None, 100))
        assert history == tuple(session.state.messages)

    async def test_messages_that_the_store_has_lost_are_said_anew(self, here: Place, session: Session) -> None:
        info = await here.snapshots.create(session.id)
        lost = message("from before the accident")
        made, content = here.files.read(session.id, info.id)
        header = attrs.evolve(made, id=new_id(), messages=3)
        here.files.write(header, attrs.evolve(content, messages=(*content.messages, lost)))
        await here.snapshots.restore(header.id)
        stored = await here.sessions.store.run(lambda store: store.window(session.id))
        assert stored.messages == (*content.messages, lost)

    async def test_words_that_somebody_put_under_a_known_id_are_not_taken(self, here: Place, session: Session) -> None:
        info = await here.snapshots.create(session.id)
        made, content = here.files.read(session.id, info.id)
        header = attrs.evolve(made, id=new_id())
        forged = tuple(attrs.evolve(m, content="Never said.") for m in content.messages)
        here.files.write(header, attrs.evolve(content, messages=forged))
        await here.window(session)
        await here.snapshots.restore(header.id)
        assert tuple(session.state.messages) == content.messages

    async def test_trends_begin_anew(self, here: Place, session: Session) -> None:
        info = await here.snapshots.create(session.id)
        session.growth.append(500)
        await here.snapshots.restore(info.id)
        assert not session.growth

    async def test_a_restored_window_outlives_the_process(self, here: Place, session: Session, tmp_path: Path) -> None:
        info = await here.snapshots.create(session.id)
        await here.window(session)
        await here.snapshots.restore(info.id)
        window = session.state.ids
        async with place(tmp_path / "storage") as next_one:
            assert (await next_one.sessions.get(session.id)).state.ids == window

    async def test_into_another_context_everything_has_new_ids(self, here: Place, session: Session) -> None:
        question, answer = session.state.messages
        summary = message("What was before", role="system", summary_of=(question.id, new_id()))
        result = message("found", role="tool", tool_call_id="1")
        await here.say(session, summary, result, pinned=(question.id,))
        await here.window(
            session,
            *(question, answer, summary, result),
            carried=frozenset({question.id}),
            masked=frozenset({result.id}),
        )
        info = await here.snapshots.create(session.id)
        other = await here.context("other")
        await here.snapshots.restore(info.id, other.id)
        state = other.state
        assert not set(state.ids) & set(session.state.ids)
        assert [m.content for m in state.messages] == [m.content for m in session.state.messages]
        first, _, _, last = state.ids
        assert state.messages[2].summary_of == (first,)
        assert [set(marked) for marked in (state.pinned, state.carried, state.masked)] == [{first}, {first}, {last}]

    async def test_into_another_context_twice_is_no_conflict(self, here: Place, session: Session) -> None:
        info = await here.snapshots.create(session.id)
        other = await here.context("other")
        for _ in range(2):
            await here.snapshots.restore(info.id, other.id)
        assert len(other.state.messages) == 2

    async def test_a_damaged_snapshot_leaves_everything_as_it_was(self, here: Place, session: Session) -> None:
        info = await here.snapshots.create(session.id)
        before, logged = session.state, await here.operations(session)
        here.files.folder.snapshot(session.id, info.id).write_bytes(b"{}")
        for _ in range(2):
            with pytest.raises(CorruptSnapshot):
                await here.snapshots.restore(info.id)
        assert session.state is before
        assert await here.operations(session) == logged

    async def test_a_cancel_leaves_everything_as_it_was(
        self, here: Place, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        info = await here.snapshots.create(session.id)
        await here.say(session)
        before = session.state
        begun, go = threading.Event(), threading.Event()

        def read(*_: Any) -> None:
            begun.set()
            assert go.wait(10)

        monkeypatch.setattr(type(here.files), "read", read)
        restoring = asyncio.create_task(here.snapshots.restore(info.id))
        assert await asyncio.to_thread(begun.wait, 10)
        restoring.cancel()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await restoring
        assert session.state is before

    @pytest.mark.parametrize("id_", ["", "../../x", "x" * 26])
    async def test_an_id_of_no_snapshot_is_unknown(self, here: Place, id_: str) -> None:
        for use in (here.snapshots.restore, here.snapshots.delete, here.snapshots.verify):
            with pytest.raises(UnknownSnapshot):
                await use(id_)

    async def test_a_context_that_is_gone_is_said_to_be(self, here: Place, session: Session) -> None:
        info = await here.snapshots.create(session.id)
        await here.snapshots.directory.delete(session.id)
        with pytest.raises(UnknownContext, match="Name another one"):
            await here.snapshots.restore(info.id)
        other = await here.context("other")
        await here.snapshots.restore(info.id, other.id)
        assert len(other.state.messages) == 2
