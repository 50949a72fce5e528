"""What was said, taken out and brought in, found again, and erased for good."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from support.store_values import message
from support.talking import Talking, talking
from ullage.contexts.conversation import Conversations
from ullage.contexts.keeping import archive as archive_module
from ullage.contexts.keeping.archive import Archive
from ullage.contexts.session import Session
from ullage.contexts.state import replacing
from ullage.conversation.messages import Message, ToolCall
from ullage.conversation.transfer.document import Format
from ullage.errors import ContextBusy, InvalidArgument, StoreFull, UnknownContext, UnknownMessage
from ullage.settings import Mode
from ullage.store.records import Commit

UNKNOWN = "01J00000000000000000000000"
CALL = ToolCall("c1", "look", "{}")


@define
class Place:
    """``forgotten`` is what the snapshots were told to forget."""

    talking: Talking
    archive: Archive = field(init=False)
    forgotten: list[tuple[str, frozenset[str]]] = field(factory=list)
    snapshots_fail: bool = False

    def __attrs_post_init__(self) -> None:
        self.archive = Archive(self.talking.sessions, self._forget, self.talking.process.guard)

    async def _forget(self, context_id: str, ids: frozenset[str]) -> None:
        self.forgotten.append((context_id, ids))
        if self.snapshots_fail:
            raise StoreFull("The disk is full. Make room.")

    async def session(self, context_id: str) -> Session:
        return await self.talking.sessions.get(context_id)

    async def export(self, context_id: str) -> dict[str, object]:
        exported: dict[str, object] = json.loads(await self.archive.export(context_id, "json"))
        return exported


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with talking(tmp_path) as made:
        yield Place(made)


async def compacted(place: Place, name: str = "main") -> tuple[str, list[Message]]:
    """A context in which a summary stands for its first turn, a pin is carried and a tool result is masked."""
    context_id = await place.talking.open(name)
    said = [
        message("Where?"),
        message("Let me look.", role="assistant", tool_calls=(CALL,), reasoning="Hm."),
        message("There.", role="tool", tool_call_id="c1", name="look"),
        message("Over there."),
    ]
    await place.talking.say(context_id, *said)
    state = (await place.session(context_id)).state
    summary = message("They looked.", role="system", summary_of=(said[0].id,))
    operation = place.talking.sessions.operation(context_id, "compress", {})
    pins = frozenset({said[1].id, said[2].id})
    planned = replacing(
        operation, state, (summary, *said[1:]), frozenset(pins), masked=frozenset({said[2].id}), messages=(summary,)
    )
    await place.talking.commit(planned.commit)
    pinning = place.talking.sessions.operation(context_id, "pin", {})
    await place.talking.commit(Commit(pinning, pinned=tuple(sorted(pins))))
    return context_id, [*said, summary]


class TestExport:
    async def test_the_whole_history_is_in_it_and_what_of_it_is_in_the_window(self, place: Place) -> None:
        context_id, said = await compacted(place)
        document = await place.export(context_id)
        messages = document["messages"]
        assert isinstance(messages, list)
        assert [each["content"] for each in messages] == [each.content for each in said]
        assert [each.get("windowPosition") for each in messages] == [None, 1, 2, 3, 0]

    async def test_the_context_is_described(self, place: Place) -> None:
        context_id = await place.talking.open("review")
        await place.talking.directory.update(context_id, system_prompt="Be brief.")
        document = await place.export(context_id)
        assert document["context"] == {"name": "review", "mode": None, "model": None, "systemPrompt": "Be brief."}

    async def test_a_long_history_is_read_in_pages_and_is_whole(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(archive_module, "HISTORY_PAGE", 3)
        context_id = await place.talking.open()
        said = [message(f"m{number}") for number in range(10)]
        await place.talking.say(context_id, *said)
        assert await place.archive._history(context_id) == tuple(said)

    async def test_it_changes_nothing_and_opens_nothing(self, place: Place) -> None:
        context_id, _ = await compacted(place)
        await place.talking.directory.close(context_id)
        before = await place.talking.sessions.store.run(lambda store: store.revision(context_id))
        await place.archive.export(context_id, "markdown")
        assert await place.talking.sessions.store.run(lambda store: store.revision(context_id)) == before
        assert place.talking.sessions.opened() == []

    async def test_an_unknown_context_is_unknown(self, place: Place) -> None:
        with pytest.raises(UnknownContext):
            await place.archive.export(UNKNOWN, "json")


class TestImport:
    @pytest.mark.parametrize("language", ["json", "markdown"])
    async def test_an_export_comes_back_as_it_was_in_a_store_that_does_not_know_it(
        self, place: Place, tmp_path: Path, language: Format
    ) -> None:
        context_id, _ = await compacted(place)
        await place.talking.directory.update(context_id, system_prompt="Be brief.")
        before = (await place.session(context_id)).state
        document = await place.archive.export(context_id, language)
        async with talking(tmp_path / "other") as elsewhere:
            other = Place(elsewhere)
            there = await elsewhere.open()
            imported = await other.archive.import_(there, language, document)
            state = (await other.session(there)).state
            assert imported.messages == 5
            assert imported.usage.messages == 4
            assert await elsewhere.history(there) == await place.talking.history(context_id)
            assert tuple(state.messages) == tuple(before.messages)
            assert (state.pinned, state.carried, state.masked) == (before.pinned, before.carried, before.masked)
            assert state.record.system_prompt == "Be brief."

    async def test_what_is_in_memory_is_what_is_in_the_store(self, place: Place) -> None:
        context_id, _ = await compacted(place)
        await place.archive.import_(context_id, "json", await place.archive.export(context_id, "json"))
        state = (await place.session(context_id)).state
        stored = await place.talking.sessions.store.run(lambda store: store.window(context_id))
        assert tuple(state.messages) == stored.messages
        assert (state.pinned, state.carried, state.masked) == (stored.pinned, stored.carried, stored.masked)
        assert state.revision == stored.revision

    async def test_it_goes_behind_what_there_is(self, place: Place) -> None:
        context_id = await place.talking.open()
        await place.talking.say(context_id, message("first"))
        await place.archive.import_(context_id, "markdown", "## User\n\nsecond\n\n## Assistant\n\nthird")
        assert await place.talking.window(context_id) == ["first", "second", "third"]

    async def test_a_copy_gets_new_ids_and_stays_consistent(self, place: Place) -> None:
        context_id, said = await compacted(place)
        other = await place.talking.open("copy")
        await place.archive.import_(other, "json", await place.archive.export(context_id, "json"))
        copy = await place.talking.history(other)
        assert [m.content for m in copy] == [m.content for m in said]
        assert not {m.id for m in copy} & {m.id for m in said}
        assert copy[-1].summary_of == (copy[0].id,)
        state = (await place.session(other)).state
        assert state.pinned == state.carried == {copy[1].id, copy[2].id}
        assert state.masked == {copy[2].id}

    async def test_undo_by_its_id_takes_the_whole_import_back(self, place: Place) -> None:
        context_id, _ = await compacted(place)
        before = (await place.session(context_id)).state
        await place.archive.import_(context_id, "json", await place.archive.export(context_id, "json"))
        unguarded: Any = None
        conversations = Conversations(place.talking.sessions, place.talking.directory, unguarded)
        [*_, operation] = await conversations.history([context_id], None, 10)
        assert (operation.kind, operation.detail["messages"]) == ("import", 5)
        undone = await conversations.undo(context_id, operation.id)
        after = (await place.session(context_id)).state
        assert undone.undone == operation
        assert after.ids == before.ids
        assert (after.carried, after.masked) == (before.carried, before.masked)
        assert len(await place.talking.history(context_id)) == 10

    async def test_a_pin_keeps_its_call_partners(self, place: Place) -> None:
        context_id = await place.talking.open()
        call = {"id": "c1", "name": "look", "arguments": "{}"}
        chat = [
            {"role": "assistant", "content": "", "toolCalls": [call]},
            {"role": "tool", "toolCallId": "c1", "content": "There.", "pinned": True},
            {"role": "user", "content": "Thanks."},
        ]
        await place.archive.import_(context_id, "json", json.dumps(chat))
        state = (await place.session(context_id)).state
        assert state.pinned == set(state.ids[:2])

    async def test_a_system_prompt_of_ones_own_stays_in_force(self, place: Place) -> None:
        source = await place.talking.open("source")
        await place.talking.directory.update(source, system_prompt="Theirs.")
        target = await place.talking.open("target")
        await place.talking.directory.update(target, system_prompt="Mine.")
        await place.archive.import_(target, "json", await place.archive.export(source, "json"))
        assert (await place.session(target)).state.record.system_prompt == "Mine."

    async def test_a_prompt_that_is_taken_in_a_mode_stays_when_the_mode_ends(self, place: Place) -> None:
        place.talking.set_modes(fast=Mode())
        source = await place.talking.open("source")
        await place.talking.directory.update(source, system_prompt="Theirs.")
        target = await place.talking.open("target", mode="fast")
        await place.archive.import_(target, "json", await place.archive.export(source, "json"))
        await place.talking.directory.update(target, mode="")
        assert (await place.session(target)).state.record.system_prompt == "Theirs."

    async def test_the_log_says_whether_the_prompt_was_taken_and_not_what_it_says(self, place: Place) -> None:
        source = await place.talking.open("source")
        await place.talking.directory.update(source, system_prompt="Theirs.")
        target = await place.talking.open("target")
        await place.archive.import_(target, "json", await place.archive.export(source, "json"))
        [*_, last] = await place.talking.sessions.store.run(lambda store: store.operations([target], None, 10))
        assert last.operation.detail == {"messages": 0, "format": "json", "systemPromptTaken": True}

    async def test_an_empty_export_changes_nothing(self, place: Place) -> None:
        context_id = await place.talking.open()
        document = await place.archive.export(context_id, "markdown")
        before = (await place.session(context_id)).state
        assert (await place.archive.import_(context_id, "markdown", document)).messages == 0
        assert (await place.session(context_id)).state is before

    async def test_it_never_fails_for_the_windows_size(self, place: Place) -> None:
        context_id = await place.talking.open()
        chat = [{"role": "user", "content": "word " * 20_000}] * 20
        imported = await place.archive.import_(context_id, "json", json.dumps(chat))
        assert imported.usage.tokens > 100_000

    async def test_a_text_that_is_refused_changes_nothing(self, place: Place) -> None:
        context_id, _ = await compacted(place)
        before = (await place.session(context_id)).state
        with pytest.raises(InvalidArgument) as caught:
            await place.archive.import_(context_id, "json", '[{"role": "user", "content": "x"}, {"role": "user"}]')
        assert caught.value.path == "messages[1].content"
        assert (await place.session(context_id)).state is before

    async def test_a_large_import_is_not_committed_on_the_loop(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = place.talking.sessions.store
        sizes: list[int] = []
        in_place = store.commit_in_place

        def watched(commit: Commit) -> int | None:
            revision = in_place(commit)
            if revision is not None:
                sizes.append(len(commit.messages))
            return revision

        monkeypatch.setattr(store, "commit_in_place", watched)
        monkeypatch.setattr(store, "_commit_s", 0.0)
        context_id = await place.talking.open()
        await place.archive.import_(context_id, "json", json.dumps([{"role": "user", "content": "x"}] * 1000))
        assert len((await place.session(context_id)).state.messages) == 1000
        assert max(sizes, default=0) <= 1


class TestSearch:
    async def test_hits_tell_message_context_and_excerpt(self, place: Place) -> None:
        one, two = await place.talking.open("one"), await place.talking.open("two")
        said = [message("The quick brown fox"), message("A lazy dog"), message("quick thinking")]
        await place.talking.say(one, *said[:2])
        await place.talking.say(two, said[2])
        hits = await place.archive.search("quick", None, 10)
        assert {(hit.context_id, hit.message.id) for hit in hits} == {(one, said[0].id), (two, said[2].id)}
        assert all("**quick**" in hit.excerpt for hit in hits)

    async def test_messages_are_shown_as_their_context_has_them(self, place: Place) -> None:
        context_id, said = await compacted(place)
        [hit] = await place.archive.search("There.", [context_id], 1)
        assert hit.message.pinned
        assert hit.message.tokens > 0
        assert hit.message.id in {each.id for each in said}

    async def test_only_the_contexts_that_are_named_are_searched(self, place: Place) -> None:
        one, two = await place.talking.open("one"), await place.talking.open("two")
        await place.talking.say(one, message("fox"))
        await place.talking.say(two, message("fox"))
        assert [hit.context_id for hit in await place.archive.search("fox", [two], 10)] == [two]

    async def test_what_left_the_window_is_found_without_opening_its_context(self, place: Place) -> None:
        context_id, said = await compacted(place)
        await place.talking.directory.close(context_id)
        hits = await place.archive.search("Where", None, 10)
        assert [hit.message.id for hit in hits] == [said[0].id]
        assert place.talking.sessions.opened() == []

    @pytest.mark.parametrize("query", ["", "  \n", "x" * 100_000])
    async def test_a_query_without_words_or_without_end_is_refused(self, place: Place, query: str) -> None:
        with pytest.raises(InvalidArgument) as caught:
            await place.archive.search(query, None, 10)
        assert caught.value.path == "query"


class TestForget:
    async def test_the_message_is_gone_from_the_window_and_the_history(self, place: Place) -> None:
        context_id, said = await compacted(place)
        await place.archive.forget(context_id, said[3].id)
        assert "Over there." not in await place.talking.window(context_id)
        assert said[3].id not in {m.id for m in await place.talking.history(context_id)}

    async def test_summaries_that_stand_for_it_go_too_also_in_the_snapshots(self, place: Place) -> None:
        context_id, said = await compacted(place)
        await place.archive.forget(context_id, said[0].id)
        assert await place.talking.window(context_id) == [m.content for m in said[1:4]]
        assert place.forgotten == [(context_id, frozenset({said[0].id, said[4].id}))]

    async def test_nothing_that_is_kept_of_the_window_holds_it(self, place: Place) -> None:
        context_id, said = await compacted(place)
        session = await place.session(context_id)
        before = (await place.talking.sessions.usage(session)).tokens
        await place.archive.forget(context_id, said[3].id)
        assert session.counted is None
        assert (await place.talking.sessions.usage(session)).tokens < before
        assert "Over there." not in repr(place.talking.sessions.counts)

    async def test_the_cache_of_counts_holds_no_text(self, place: Place) -> None:
        context_id = await place.talking.open()
        await place.talking.say(context_id, message("xyzzy plugh"))
        await place.talking.sessions.usage(await place.session(context_id))
        assert len(place.talking.sessions.counts) > 0
        assert "xyzzy" not in repr(place.talking.sessions.counts._entries)

    async def test_the_conversation_goes_on_after_it(self, place: Place) -> None:
        context_id, said = await compacted(place)
        await place.archive.forget(context_id, said[3].id)
        await place.talking.say(context_id, message("And now?"))
        assert (await place.talking.window(context_id))[-1] == "And now?"

    async def test_the_log_tells_of_it_without_the_id(self, place: Place) -> None:
        context_id, said = await compacted(place)
        await place.archive.forget(context_id, said[3].id)
        [*_, last] = await place.talking.sessions.store.run(lambda store: store.operations([context_id], None, 10))
        assert (last.operation.kind, last.operation.detail) == ("forget", {})

    async def test_a_context_that_is_answering_is_busy(self, place: Place) -> None:
        context_id, said = await compacted(place)
        (await place.session(context_id)).answering = True
        with pytest.raises(ContextBusy) as caught:
            await place.archive.forget(context_id, said[0].id)
        assert caught.value.data == {"reason": "answering"}
        assert len(await place.talking.history(context_id)) == 5

    async def test_an_unknown_message_is_unknown_and_still_erased_from_snapshots(self, place: Place) -> None:
        context_id, _ = await compacted(place)
        before = (await place.session(context_id)).state
        with pytest.raises(UnknownMessage):
            await place.archive.forget(context_id, UNKNOWN)
        assert place.forgotten == [(context_id, frozenset({UNKNOWN}))]
        assert (await place.session(context_id)).state is before

    async def test_snapshots_that_fail_are_told_and_the_message_is_gone_all_the_same(self, place: Place) -> None:
        context_id, said = await compacted(place)
        place.snapshots_fail = True
        with pytest.raises(StoreFull):
            await place.archive.forget(context_id, said[3].id)
        assert "Over there." not in await place.talking.window(context_id)

    async def test_another_try_erases_from_snapshots_what_the_first_could_not(self, place: Place) -> None:
        """The summaries, too, of which the conversation knows nothing any more."""
        context_id, said = await compacted(place)
        place.snapshots_fail = True
        with pytest.raises(StoreFull):
            await place.archive.forget(context_id, said[0].id)
        place.snapshots_fail = False
        with pytest.raises(UnknownMessage):
            await place.archive.forget(context_id, said[0].id)
        assert place.forgotten[1] == place.forgotten[0] == (context_id, frozenset({said[0].id, said[4].id}))
