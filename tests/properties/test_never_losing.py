"""Whatever is done to a conversation, in whatever order, nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from support.rooms import Answering, Rooms, rooms
from ullage.contexts.drafts import Draft
from ullage.contexts.session import Session
from ullage.contexts.state import ContextState
from ullage.contexts.values import MessageView
from ullage.conversation.messages import ToolCall
from ullage.errors import CannotReduce, ContextOverflow, NothingToUndo
from ullage.providers.base import AnswerOptions
from ullage.settings import CompressionSettings, SnapshotSettings, Strategy

T = TypeVar("T")

LIMIT = 512
"""Tokens: a few messages fill it."""

texts = st.builds(lambda word, count: f"{word} " * count, st.text("abcxyz", min_size=1, max_size=9), st.integers(1, 60))


class Conversation(RuleBasedStateMachine):
    """Against a plain list of what was acknowledged."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp())
        self.said: list[str] = []
        self.snapshots: list[str] = []
        self.place, self.context_id = self.started()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def started(self) -> tuple[Rooms, str]:
        async def start() -> tuple[Rooms, str]:
            place = rooms(
                self.folder,
                Answering(limit=LIMIT),
                compression=CompressionSettings(enabled=False),
                snapshots=SnapshotSettings(auto_create=False),
            )
            return place, await place.open()

        return self.run(start())

    def teardown(self) -> None:
        self.run(self.place.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    @property
    def session(self) -> Session:
        return self.run(self.place.sessions.get(self.context_id))

    def history(self) -> list[MessageView]:
        messages, more = self.run(self.place.conversations.messages(self.context_id, "history", None, 1000))
        assert not more
        return messages

    def pins_in_view(self) -> set[str]:
        state = self.session.state
        return set(state.ids) & state.pinned

    def append(self, *drafts: Draft) -> None:
        messages, _ = self.run(self.place.conversations.append(self.context_id, drafts))
        self.said += [message.id for message in messages]

    @initialize(turns=st.integers(0, 12))
    def begin(self, turns: int) -> None:
        for number in range(turns):
            self.append(Draft("user", f"question {number} " * 8), Draft("assistant", f"answer {number} " * 12))

    @rule(text=texts, pinned=st.sampled_from([False] * 9 + [True]))
    def ask(self, text: str, *, pinned: bool) -> None:
        self.append(Draft("user", text, pinned=pinned))

    @rule(text=texts)
    def answer(self, text: str) -> None:
        self.append(Draft("assistant", text))

    @rule(result=texts)
    def use_a_tool(self, result: str) -> None:
        call = ToolCall("c", "look", "{}")
        self.append(
            Draft("assistant", "", tool_calls=(call,)), Draft("tool", result * 3, tool_call_id="c", name="look")
        )

    @rule(text=texts)
    def talk(self, text: str) -> None:
        with suppress(ContextOverflow):  # where pins fill the window the question stays, unanswered
            self.run(self.place.chats.chat(self.context_id, text, AnswerOptions(), lambda _: None))
        fresh = [message.id for message in self.history() if message.id not in self.said]
        assert 1 <= len(fresh) <= 2
        self.said += fresh

    @rule(strategy=st.sampled_from(["truncate", "hybrid", "summarize"]))
    def compress(self, strategy: Strategy) -> None:
        pins = self.pins_in_view()
        try:
            result = self.run(self.place.compressions.compress(self.context_id, strategy))
        except CannotReduce:
            return
        event(f"compressed by {' and '.join(result.reduced_by)}")
        assert result.compressed_tokens < result.original_tokens
        assert self.pins_in_view() == pins
        if result.summary is not None:
            self.said.append(result.summary.id)

    @rule(strategy=st.sampled_from(["truncate", "hybrid", "summarize"]))
    def compress_and_undo(self, strategy: Strategy) -> None:
        before = self.session.state
        try:
            result = self.run(self.place.compressions.compress(self.context_id, strategy))
        except CannotReduce:
            return
        if result.summary is not None:
            self.said.append(result.summary.id)
        self.run(self.place.conversations.undo(self.context_id, None))
        self.check_same(before)

    @rule()
    def clear(self) -> None:
        pins = self.pins_in_view()
        self.run(self.place.conversations.clear(self.context_id))
        assert self.pins_in_view() == pins

    @rule()
    def clear_and_undo(self) -> None:
        before = self.session.state
        self.run(self.place.conversations.clear(self.context_id))
        if self.session.state.ids != before.ids:
            self.run(self.place.conversations.undo(self.context_id, None))
        self.check_same(before)

    @rule()
    def undo(self) -> None:
        try:
            self.run(self.place.conversations.undo(self.context_id, None))
        except NothingToUndo:
            return

    @rule(data=st.data())
    def undo_by_id(self, data: st.DataObject) -> None:
        with suppress(NothingToUndo):  # what changed nothing, or is undone already
            chosen = data.draw(st.sampled_from(self.operations()))
            self.run(self.place.conversations.undo(self.context_id, chosen))

    @rule(data=st.data())
    def undo_by_id_and_take_that_back(self, data: st.DataObject) -> None:
        before, count = self.session.state, len(self.operations())
        self.undo_by_id(data)
        if len(self.operations()) > count:
            self.run(self.place.conversations.undo(self.context_id, self.operations()[-1]))
        self.check_same(before)

    def operations(self) -> list[str]:
        return [each.id for each in self.run(self.place.conversations.history([self.context_id], None, 1000))]

    @rule()
    def keep(self) -> None:
        self.snapshots.append(self.run(self.place.snapshots.create(self.context_id)).id)

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        self.run(self.place.snapshots.restore(data.draw(st.sampled_from(self.snapshots)), self.context_id))

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def restore_and_undo(self, data: st.DataObject) -> None:
        before = self.session.state
        self.restore(data)
        self.undo()
        self.check_same(before)

    def check_same(self, before: ContextState) -> None:
        after = self.session.state
        assert after.ids == before.ids
        assert (after.pinned, after.carried, after.masked) == (before.pinned, before.carried, before.masked)

    @rule()
    def crash_and_reopen(self) -> None:
        before = self.session.state
        self.run(self.place.crash())
        self.place, self.context_id = self.started()
        self.check_same(before)

    @invariant()
    def everything_said_is_in_the_history_once_and_in_order(self) -> None:
        assert [message.id for message in self.history()] == self.said

    @invariant()
    def the_window_is_part_of_the_history_and_holds_nothing_twice(self) -> None:
        ids = self.session.state.ids
        assert len(set(ids)) == len(ids)
        assert set(ids) <= set(self.said)

    @invariant()
    def no_result_in_the_window_is_without_its_call(self) -> None:
        messages = list(self.session.state.messages)
        carried = self.session.state.carried
        waiting = 0
        for message in messages:
            if message.id in carried:
                continue
            if message.role == "tool":
                waiting -= 1
                assert waiting >= 0
            elif message.role == "assistant":
                waiting = len(message.tool_calls)


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
