"""What is taken back, and taken back again, in whatever order: nothing that stands is lost, and all stays in order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from attrs import define

from support.rooms import Answering, Rooms, rooms
from ullage.contexts.drafts import Draft
from ullage.contexts.state import ContextState, Planned, replacing
from ullage.settings import CompressionSettings, SnapshotSettings, Strategy


@define(eq=False)
class Place:
    process: Rooms
    context_id: str

    async def say(self, *texts: str) -> str:
        """Questions and answers, as one operation; its id."""
        drafts = [Draft("assistant" if index % 2 else "user", text) for index, text in enumerate(texts)]
        await self.process.conversations.append(self.context_id, drafts)
        return await self.latest()

    async def clear(self) -> str:
        await self.process.conversations.clear(self.context_id)
        return await self.latest()

    async def compress(self, strategy: Strategy) -> str:
        return (await self.process.compressions.compress(self.context_id, strategy)).operation_id

    async def keep(self) -> str:
        return (await self.process.snapshots.create(self.context_id)).id

    async def restore(self, snapshot_id: str, context_id: str | None = None) -> str:
        await self.process.snapshots.restore(snapshot_id, context_id)
        return await self.latest(context_id)

    async def undo(self, operation_id: str | None = None) -> str:
        """The id of the undo."""
        await self.process.conversations.undo(self.context_id, operation_id)
        return await self.latest()

    async def latest(self, context_id: str | None = None) -> str:
        return (await self.process.conversations.history([context_id or self.context_id], None, 1))[0].id

    async def state(self) -> ContextState:
        return (await self.process.sessions.get(self.context_id)).state

    async def window(self) -> list[str]:
        """The first word of each message; SUM stands for a summary."""
        messages = (await self.state()).messages
        return ["SUM" if m.summary_of is not None else m.content.split()[0] for m in messages]

    async def pin(self, text: str, *, pinned: bool = True) -> None:
        message = next(m for m in (await self.state()).messages if m.content == text)
        await self.process.conversations.pin(self.context_id, message.id, pinned=pinned)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    process = rooms(
        tmp_path,
        Answering(limit=4096),
        compression=CompressionSettings(enabled=False, preserve_recent=64),
        snapshots=SnapshotSettings(auto_create=False),
    )
    yield Place(process, await process.open())
    await process.close()


def long(*names: str) -> list[str]:
    """Texts of which a few are more than what a compression preserves."""
    return [f"{name} " + "word " * 200 for name in names]


class TestTakenBackAgain:
    async def test_a_clear_behind_a_restore_is_undone_as_if_there_had_been_no_restore(self, place: Place) -> None:
        await place.say("a", "b")
        snapshot = await place.keep()
        await place.clear()
        await place.restore(snapshot)
        await place.undo()
        assert await place.window() == []
        await place.undo()
        assert await place.window() == ["a", "b"]

    async def test_a_clear_that_was_done_again_is_undone_again(self, place: Place) -> None:
        await place.say("a", "b")
        await place.clear()
        await place.undo(await place.undo())
        assert await place.window() == []
        await place.undo()
        assert await place.window() == ["a", "b"]

    @pytest.mark.parametrize("strategy", ["truncate", "hybrid"])
    async def test_a_compression_that_was_done_again_is_undone_again(self, place: Place, strategy: Strategy) -> None:
        await place.say(*long("a", "b", "c", "d"))
        await place.compress(strategy)
        compressed = await place.window()
        await place.undo(await place.undo())
        assert await place.window() == compressed
        await place.undo()
        assert await place.window() == ["a", "b", "c", "d"]

    async def test_what_was_said_comes_back_by_an_undo_of_its_undo(self, place: Place) -> None:
        await place.say("a")
        said = await place.say("b")
        await place.say("c")
        undone = await place.undo(said)
        assert await place.window() == ["a", "c"]
        await place.undo(undone)
        assert await place.window() == ["a", "b", "c"]

    async def test_what_was_said_comes_back_also_where_a_clear_had_hidden_its_undo(self, place: Place) -> None:
        await place.say("a")
        said = await place.say("b")
        await place.say("c")
        await place.clear()
        undone = await place.undo(said)
        await place.undo()
        assert await place.window() == ["a", "c"]
        await place.undo(undone)
        assert await place.window() == ["a", "b", "c"]

    async def test_pins_of_a_restore_come_back_by_an_undo_of_its_undo(self, place: Place) -> None:
        await place.say("a", "b")
        await place.pin("a")
        snapshot = await place.keep()
        await place.pin("a", pinned=False)
        await place.restore(snapshot)
        restored = await place.state()
        undone = await place.undo()
        assert (await place.state()).pinned == frozenset()
        await place.undo(undone)
        assert (await place.state()).pinned == restored.pinned != frozenset()

    async def test_a_pin_that_comes_back_is_sent_as_it_was_said(self, place: Place) -> None:
        await place.say("a", "b")
        await place.pin("b")
        snapshot = await place.keep()
        await place.pin("b", pinned=False)
        await place.restore(snapshot)
        undone = await place.undo()
        state = await place.state()
        masked = frozenset({state.ids[1]})

        async def mask(now: ContextState) -> Planned:
            return replacing(
                place.process.sessions.operation(now.record.id, "compress", {}), now, (*now.messages,), masked=masked
            )

        await place.process.sessions.change(await place.process.sessions.get(place.context_id), mask)
        await place.undo(undone)
        state = await place.state()
        assert (state.pinned, state.masked) == (masked, frozenset())


class TestWhatIsTakenOut:
    async def test_what_another_undo_has_taken_out_stays_out(self, place: Place) -> None:
        await place.say("a")
        said = await place.say("b")
        await place.clear()
        await place.undo(said)
        await place.undo()
        assert await place.window() == ["a"]

    async def test_what_a_restore_said_anew_stays_out_with_it(self, place: Place) -> None:
        await place.say("a", "b")
        snapshot = await place.keep()
        other = Place(place.process, await place.process.open("other"))
        restored = await other.restore(snapshot, other.context_id)
        await other.say("c")
        await other.clear()
        await other.undo(restored)
        await other.undo()
        assert await other.window() == ["c"]

    @pytest.mark.parametrize("strategy", [None, "truncate"])
    async def test_what_a_restore_had_brought_back_is_not_taken_for_undone(
        self, place: Place, strategy: Strategy | None
    ) -> None:
        said = await place.say(*long("a", "b"))
        await place.say(*long("c", "d"))
        snapshot = await place.keep()
        await place.undo(said)
        await place.restore(snapshot)
        await (place.compress(strategy) if strategy else place.clear())
        await place.undo()
        assert await place.window() == ["a", "b", "c", "d"]

    async def test_a_restore_that_is_undone_leaves_what_stands_without_it(self, place: Place) -> None:
        await place.say("a", "b")
        snapshot = await place.keep()
        cleared = await place.clear()
        restored = await place.restore(snapshot)
        await place.undo(cleared)
        await place.undo(restored)
        assert await place.window() == ["a", "b"]

    async def test_what_stands_in_no_order_of_undos_is_lost(self, place: Place) -> None:
        await place.say("a")
        first = await place.clear()
        await place.say("b")
        second = await place.clear()
        await place.say("c")
        for operation_id in (first, second):
            await place.undo(operation_id)
        assert await place.window() == ["a", "b", "c"]


class TestOrder:
    @pytest.mark.parametrize("strategy", ["truncate", "hybrid"])
    async def test_compressions_undone_the_older_first_leave_the_order_of_saying_and_no_summary(
        self, place: Place, strategy: Strategy
    ) -> None:
        await place.say(*long("a", "b", "c", "d"))
        older = await place.compress(strategy)
        await place.say(*long("e", "f", "g", "h"))
        newer = await place.compress(strategy)
        await place.say("i")
        summary = ["SUM"] if strategy == "hybrid" else []
        await place.undo(older)
        assert await place.window() == [*summary, "a", "b", "g", "h", "i"]
        await place.undo(newer)
        assert await place.window() == ["a", "b", "c", "d", "e", "f", "g", "h", "i"]

    async def test_it_does_not_depend_on_the_clock(self, place: Place) -> None:
        stamp = place.process.sessions.stamp
        await place.say("a")
        first = await place.clear()
        stamp.now = lambda: 1  # type: ignore[method-assign]  # the clock was set back
        await place.say("b")
        second = await place.clear()
        await place.undo(first)
        await place.undo(second)
        assert await place.window() == ["a", "b"]
