from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

import pytest
from attrs import evolve

from support.store_values import appending, message, new_id, operation, record, undoing, windowing
from ullage.conversation.messages import Message, ToolCall
from ullage.conversation.operations import UNDONE_BY_DEFAULT, MarkChange, WindowChange
from ullage.errors import InvalidArgument, NothingToUndo, UnknownContext, UnknownMessage
from ullage.store.folder import StorageFolder
from ullage.store.opening import open_store
from ullage.store.records import Commit, ContextRecord
from ullage.store.store import Store

T = TypeVar("T")

FULL_MESSAGE = Message(
    new_id(),
    "assistant",
    'Zwölf Boxkämpfer 🥊 \0 \x1f\r\n "quoted"',
    2**53,
    name="näme",
    tool_calls=(ToolCall("call-1", "search", '{"q": "not closed'), ToolCall("call-2", "read", "")),
    tool_call_id="call-0",
    reasoning="because",
    summary_of=(new_id(), new_id()),
)


COUNTED = ("context", "message", "window", "pinned", "carried", "masked", "forgotten", "operation")


def said(store: Store, context: str, count: int) -> list[Message]:
    messages = [message(str(number)) for number in range(count)]
    store.commit(appending(context, *messages))
    return messages


def marking(context: str, mark: str, *ids: str) -> Commit:
    marks = {mark: frozenset(ids)}
    return Commit(operation(context, "compress"), **marks)  # type: ignore[arg-type]  # one of two


class TestContexts:
    def test_every_field_of_a_record_comes_back(self, store: Store) -> None:
        full = record(
            mode="reviewer",
            provider="ollama",
            model="llama3",
            system_prompt="Be brief. 🙂",
            dormant=True,
            own_prompt="Mine",
        )
        store.create(full, operation(full.id, "open"))
        assert store.context(full.id) == full

    def test_fields_that_are_unknown_stay_unknown(self, store: Store) -> None:
        bare = record()
        store.create(bare, operation(bare.id, "open"))
        assert store.context(bare.id) == bare

    def test_contexts_are_listed_in_the_order_of_their_making(self, store: Store) -> None:
        made = [record(name) for name in ("zebra", "ant", "monkey")]
        for each in made:
            store.create(each, operation(each.id, "open"))
        assert store.contexts() == made

    def test_a_context_is_found_by_workspace_and_name(self, store: Store) -> None:
        made = [record(name, uri) for name in ("main", "side") for uri in ("file:///one", "file:///two")]
        for each in made:
            store.create(each, operation(each.id, "open"))
        assert [store.find(each.workspace_uri, each.name) for each in made] == made

    def test_what_is_not_there_is_none(self, store: Store) -> None:
        absent = new_id()
        found = [store.context(absent), store.find("file:///", "main"), store.revision(absent)]
        assert found == [None, None, None]

    def test_a_name_is_given_once_in_a_workspace(self, store: Store, context: str) -> None:
        again = record()
        with pytest.raises(InvalidArgument) as caught:
            store.create(again, operation(again.id, "open"))
        assert caught.value.path == "name"

    def test_a_refused_context_leaves_no_operation_behind(self, store: Store, context: str) -> None:
        again = record()
        with pytest.raises(InvalidArgument):
            store.create(again, operation(again.id, "open"))
        assert [logged.operation.kind for logged in store.operations(None, None, 10)] == ["open"]

    def test_renaming_to_a_name_that_is_taken_is_refused(self, store: Store, context: str) -> None:
        other = record("side")
        store.create(other, operation(other.id, "open"))
        with pytest.raises(InvalidArgument):
            store.commit(Commit(operation(other.id, "rename"), record=evolve(other, name="main")))

    def test_a_commit_may_replace_the_record(self, store: Store, context: str) -> None:
        changed = evolve(store.contexts()[0], name="renamed", model="llama3", dormant=True)
        store.commit(Commit(operation(context, "update"), record=changed))
        assert store.context(context) == changed

    def test_every_commit_raises_the_revision_by_one(self, store: Store, context: str) -> None:
        revisions = [store.revision(context), *(store.commit(appending(context, message())) for _ in range(3))]
        assert revisions == [1, 2, 3, 4]

    def test_another_contexts_commit_leaves_the_revision(self, store: Store, context: str) -> None:
        other = record("side")
        store.create(other, operation(other.id, "open"))
        store.commit(appending(other.id, message()))
        assert store.revision(context) == 1


class TestMessages:
    def test_every_field_of_a_message_comes_back(self, store: Store, context: str) -> None:
        store.commit(appending(context, FULL_MESSAGE))
        assert store.window(context).messages == (FULL_MESSAGE,)
        assert store.message(context, FULL_MESSAGE.id) == FULL_MESSAGE

    def test_an_empty_summary_is_not_no_summary(self, store: Store, context: str) -> None:
        empty = message(summary_of=())
        store.commit(appending(context, empty))
        assert store.message(context, empty.id) == empty

    def test_a_message_of_a_megabyte_comes_back(self, store: Store, context: str) -> None:
        large = message("🙂x\n" * 250_000)
        store.commit(appending(context, large))
        assert store.message(context, large.id) == large

    def test_appended_messages_stand_at_the_windows_end_in_their_order(self, store: Store, context: str) -> None:
        messages = said(store, context, 3) + said(store, context, 2)
        assert store.window(context).messages == tuple(messages)

    def test_a_message_can_be_said_without_entering_the_window(self, store: Store, context: str) -> None:
        aside = message()
        store.commit(Commit(operation(context), (aside,)))
        assert store.window(context).messages == ()
        assert store.history(context, None, 10) == ((aside,), False)

    def test_a_message_out_of_the_window_can_be_appended_again(self, store: Store, context: str) -> None:
        first, second = said(store, context, 2)
        store.commit(windowing(context, [second.id]))
        store.commit(Commit(operation(context, "restore"), appended=(first.id,)))
        assert store.window(context).messages == (second, first)

    def test_a_window_is_replaced_as_a_whole(self, store: Store, context: str) -> None:
        messages = said(store, context, 4)
        summary = message("In short", summary_of=(messages[0].id,))
        order = [summary, messages[3], messages[1]]
        store.commit(windowing(context, [each.id for each in order], messages=(summary,)))
        assert store.window(context).messages == tuple(order)

    def test_an_append_follows_a_replaced_window(self, store: Store, context: str) -> None:
        messages = said(store, context, 3)
        store.commit(windowing(context, [messages[2].id]))
        assert store.window(context).messages == (messages[2],)
        later = said(store, context, 1)
        assert store.window(context).messages == (messages[2], *later)

    @pytest.mark.parametrize("kind", ["append", "window"])
    def test_a_message_stands_in_the_window_once(self, store: Store, context: str, kind: str) -> None:
        (only,) = said(store, context, 1)
        twice = Commit(operation(context), appended=(only.id,))
        if kind == "window":
            twice = windowing(context, [only.id, only.id])
        with pytest.raises(ValueError, match="once only"):
            store.commit(twice)
        assert store.window(context).messages == (only,)

    def test_an_id_is_said_once_in_a_context(self, store: Store, context: str) -> None:
        (only,) = said(store, context, 1)
        with pytest.raises(InvalidArgument) as caught:
            store.commit(appending(context, message("Other", only.id)))
        assert caught.value.path == "messages"

    def test_an_id_is_said_once_in_all_contexts(self, store: Store, context: str) -> None:
        (only,) = said(store, context, 1)
        other = record("side")
        store.create(other, operation(other.id, "open"))
        with pytest.raises(InvalidArgument):
            store.commit(appending(other.id, only))

    def test_a_refused_commit_leaves_nothing_behind(self, store: Store, context: str) -> None:
        (only,) = said(store, context, 1)
        before = store.window(context), store.operations(None, None, 10)
        with pytest.raises(InvalidArgument):
            store.commit(appending(context, message(), message(), only, pinned=(only.id,)))
        assert (store.window(context), store.operations(None, None, 10)) == before
        assert [only, *said(store, context, 1)] == list(store.history(context, None, 10)[0])

    def test_another_contexts_message_is_not_found(self, store: Store, context: str) -> None:
        (only,) = said(store, context, 1)
        other = record("side")
        store.create(other, operation(other.id, "open"))
        assert store.message(other.id, only.id) is None

    @pytest.mark.parametrize("field", ["appended", "window", "pinned", "unpinned", "carried", "masked"])
    def test_another_contexts_message_enters_no_window_and_bears_no_mark(
        self, store: Store, context: str, field: str
    ) -> None:
        (only,) = said(store, context, 1)
        other = record("side")
        store.create(other, operation(other.id, "open"))
        with pytest.raises(UnknownMessage):
            store.commit(Commit(operation(other.id), **{field: (only.id,)}))  # type: ignore[arg-type]  # one field of several

    def test_messages_come_in_the_order_of_the_ids_asked_for(self, store: Store, context: str) -> None:
        messages = said(store, context, 3)
        assert store.messages_by_id(context, [each.id for each in messages[::-1]]) == messages[::-1]

    def test_one_unknown_id_among_others_is_told(self, store: Store, context: str) -> None:
        (only,) = said(store, context, 1)
        with pytest.raises(UnknownMessage):
            store.messages_by_id(context, [only.id, new_id()])

    def test_text_that_no_file_can_keep_is_refused_without_repeating_it(self, store: Store, context: str) -> None:
        with pytest.raises(InvalidArgument) as caught:
            store.commit(appending(context, message("secret \ud800")))
        assert "secret" not in caught.value.message
        assert caught.value.__cause__ is None

    def test_half_a_character_in_a_tool_call_is_refused_too(self, store: Store, context: str) -> None:
        with pytest.raises(InvalidArgument):
            store.commit(appending(context, message(tool_calls=(ToolCall("1", "f", "\udfff"),))))


class TestHistory:
    def test_it_holds_what_left_the_window(self, store: Store, context: str) -> None:
        messages = said(store, context, 3)
        store.commit(windowing(context, []))
        assert store.history(context, None, 10) == (tuple(messages), False)

    def test_a_page_holds_the_newest_in_ascending_order(self, store: Store, context: str) -> None:
        messages = said(store, context, 5)
        assert store.history(context, None, 2) == (tuple(messages[3:]), True)

    def test_a_page_ends_before_the_message_that_is_named(self, store: Store, context: str) -> None:
        messages = said(store, context, 5)
        assert store.history(context, messages[3].id, 2) == (tuple(messages[1:3]), True)

    def test_the_first_page_knows_that_nothing_is_older(self, store: Store, context: str) -> None:
        messages = said(store, context, 5)
        assert store.history(context, messages[2].id, 2) == (tuple(messages[:2]), False)

    def test_before_the_first_message_is_nothing(self, store: Store, context: str) -> None:
        messages = said(store, context, 2)
        assert store.history(context, messages[0].id, 2) == ((), False)

    def test_it_keeps_contexts_apart(self, store: Store, context: str) -> None:
        other = record("side")
        store.create(other, operation(other.id, "open"))
        mine, theirs = [], []
        for _ in range(3):
            mine += said(store, context, 1)
            theirs += said(store, other.id, 2)
        assert store.history(context, None, 10)[0] == tuple(mine)
        assert store.history(other.id, None, 10)[0] == tuple(theirs)

    def test_an_unknown_message_before_is_told(self, store: Store, context: str) -> None:
        with pytest.raises(UnknownMessage):
            store.history(context, new_id(), 10)


class TestMarks:
    def test_pins_are_kept_and_released(self, store: Store, context: str) -> None:
        first, second = said(store, context, 2)
        store.commit(Commit(operation(context, "pin"), pinned=(first.id, second.id)))
        store.commit(Commit(operation(context, "unpin"), unpinned=(first.id,)))
        assert store.pinned(context) == store.window(context).pinned == {second.id}

    def test_pinning_twice_needs_one_release(self, store: Store, context: str) -> None:
        (only,) = said(store, context, 1)
        for _ in range(2):
            store.commit(Commit(operation(context, "pin"), pinned=(only.id,)))
        store.commit(Commit(operation(context, "unpin"), unpinned=(only.id,)))
        assert store.pinned(context) == frozenset()

    def test_releasing_what_is_not_pinned_changes_nothing(self, store: Store, context: str) -> None:
        first, second = said(store, context, 2)
        store.commit(Commit(operation(context, "pin"), pinned=(first.id,)))
        store.commit(Commit(operation(context, "unpin"), unpinned=(second.id,)))
        assert store.pinned(context) == {first.id}

    def test_a_new_message_can_be_pinned_with_its_append(self, store: Store, context: str) -> None:
        new = message()
        store.commit(appending(context, new, pinned=(new.id,)))
        assert store.pinned(context) == {new.id}

    def test_a_pin_outlives_the_window(self, store: Store, context: str) -> None:
        (only,) = said(store, context, 1)
        store.commit(Commit(operation(context, "pin"), pinned=(only.id,)))
        store.commit(windowing(context, []))
        assert store.pinned(context) == {only.id}

    @pytest.mark.parametrize("mark", ["carried", "masked"])
    def test_a_set_is_replaced_as_a_whole(self, store: Store, context: str, mark: str) -> None:
        first, second = said(store, context, 2)
        store.commit(marking(context, mark, first.id))
        store.commit(marking(context, mark, second.id))
        assert getattr(store.window(context), mark) == {second.id}

    @pytest.mark.parametrize("mark", ["carried", "masked"])
    def test_a_set_stays_where_a_commit_says_nothing_of_it(self, store: Store, context: str, mark: str) -> None:
        (only,) = said(store, context, 1)
        store.commit(marking(context, mark, only.id))
        said(store, context, 1)
        assert getattr(store.window(context), mark) == {only.id}

    @pytest.mark.parametrize("mark", ["carried", "masked"])
    def test_a_set_can_be_emptied(self, store: Store, context: str, mark: str) -> None:
        (only,) = said(store, context, 1)
        store.commit(marking(context, mark, only.id))
        store.commit(marking(context, mark))
        assert getattr(store.window(context), mark) == frozenset()

    @pytest.mark.parametrize("mark", ["carried", "masked"])
    def test_the_sets_are_apart(self, store: Store, context: str, mark: str) -> None:
        (only,) = said(store, context, 1)
        store.commit(marking(context, mark, only.id))
        window = store.window(context)
        assert {name for name in ("pinned", "carried", "masked") if getattr(window, name)} == {mark}


class TestOperations:
    def test_an_operation_comes_back_with_its_change(self, store: Store, context: str) -> None:
        marks = MarkChange((new_id(),), (new_id(), new_id()))
        change = WindowChange((new_id(),), (new_id(), new_id()), (new_id(),), carried=marks, pinned=marks)
        clear = operation(context, "clear", count=3, nested={"list": [1, None, "ü"]})
        store.commit(Commit(clear, change=change))
        logged = store.operation(context, clear.id)
        assert logged is not None
        assert (logged.operation, logged.change, logged.undone) == (clear, change, False)

    def test_several_contexts_merge_in_the_order_of_the_commits(self, store: Store, context: str) -> None:
        other = record("side")
        store.create(other, operation(other.id, "open"))
        commits = [appending(each, message()) for each in (context, other.id, other.id, context)]
        for commit in commits:
            store.commit(commit)
        merged = [logged.operation for logged in store.operations([other.id, context], None, 4)]
        assert merged == [commit.operation for commit in commits]

    def test_a_context_that_is_named_often_is_one_context(self, store: Store, context: str) -> None:
        assert store.operations([context] * 300_000, None, 10) == store.operations([context], None, 10)

    def test_more_contexts_than_anybody_has_are_refused(self, store: Store, context: str) -> None:
        with pytest.raises(InvalidArgument, match="1,000") as caught:
            store.operations([new_id() for _ in range(1001)], None, 10)
        assert caught.value.path == "contextIds"

    def test_one_contexts_operations_are_its_own(self, store: Store, context: str) -> None:
        other = record("side")
        store.create(other, operation(other.id, "open"))
        commit = appending(context, message())
        store.commit(commit)
        listed = [logged.operation for logged in store.operations([context], None, 10)]
        assert [each.kind for each in listed] == ["open", "append"]

    def test_pages_follow_each_other_without_gap(self, store: Store, context: str) -> None:
        for _ in range(4):
            said(store, context, 1)
        everything = store.operations(None, None, 100)
        newest = store.operations(None, None, 2)
        older = store.operations(None, newest[0].operation.id, 100)
        assert older + newest == everything

    def test_an_unknown_operation_before_is_told(self, store: Store, context: str) -> None:
        with pytest.raises(InvalidArgument) as caught:
            store.operations(None, new_id(), 10)
        assert caught.value.path == "before"

    @pytest.mark.parametrize("limit", [0, -1])
    def test_a_page_holds_at_least_one(self, store: Store, context: str, limit: int) -> None:
        for attempt in (lambda: store.operations(None, None, limit), lambda: store.history(context, None, limit)):
            with pytest.raises(InvalidArgument):
                attempt()

    def test_another_contexts_operation_is_not_found(self, store: Store, context: str) -> None:
        other = record("side")
        opened = operation(other.id, "open")
        store.create(other, opened)
        assert store.operation(context, opened.id) is None

    def test_the_latest_undoable_is_the_newest_of_the_kinds(self, store: Store, context: str) -> None:
        commits = [windowing(context, [], kind) for kind in ("clear", "compress")]
        for commit in commits:
            store.commit(commit)
        said(store, context, 1)
        latest = store.latest_undoable(context, UNDONE_BY_DEFAULT)
        assert latest and latest.operation == commits[1].operation

    def test_what_is_undone_is_undoable_no_more(self, store: Store, context: str) -> None:
        commits = [windowing(context, [], kind) for kind in ("clear", "compress")]
        for commit in commits:
            store.commit(commit)
        store.commit(undoing(context, commits[1].operation.id))
        latest = store.latest_undoable(context, UNDONE_BY_DEFAULT)
        assert latest and latest.operation == commits[0].operation

    def test_nothing_undoable_is_none(self, store: Store, context: str) -> None:
        said(store, context, 1)
        assert store.latest_undoable(context, UNDONE_BY_DEFAULT) is None

    @pytest.mark.parametrize("times", range(6))
    def test_undoing_an_undo_does_it_again_and_so_on(self, store: Store, context: str, times: int) -> None:
        clear = windowing(context, [])
        store.commit(clear)
        last = clear.operation.id
        for _ in range(times):
            commit = undoing(context, last)
            store.commit(commit)
            last = commit.operation.id
        logged = store.operation(context, clear.operation.id)
        assert logged and logged.undone is (times % 2 == 1)

    def test_an_operation_stays_undone_while_one_of_two_undos_stands(self, store: Store, context: str) -> None:
        clear = windowing(context, [])
        undos = [undoing(context, clear.operation.id) for _ in range(2)]
        for commit in (clear, *undos, undoing(context, undos[0].operation.id)):
            store.commit(commit)
        logged = store.operation(context, clear.operation.id)
        assert logged and logged.undone

    def test_undoing_an_unknown_operation_is_refused(self, store: Store, context: str) -> None:
        with pytest.raises(NothingToUndo):
            store.commit(undoing(context, new_id()))
        assert store.revision(context) == 1

    def test_undoing_another_contexts_operation_is_refused(self, store: Store, context: str) -> None:
        other = record("side")
        opened = operation(other.id, "open")
        store.create(other, opened)
        with pytest.raises(NothingToUndo):
            store.commit(undoing(context, opened.id))


class TestUnknownContexts:
    @pytest.mark.parametrize(
        "attempt",
        [
            lambda store, id_: store.commit(appending(id_, message())),
            lambda store, id_: store.window(id_),
            lambda store, id_: store.history(id_, None, 1),
            lambda store, id_: store.messages_by_id(id_, []),
            lambda store, id_: store.operations([id_], None, 1),
            lambda store, id_: store.latest_undoable(id_, ["clear"]),
            lambda store, id_: store.pinned(id_),
            lambda store, id_: store.delete(id_),
            lambda store, id_: store.forget(id_, new_id(), operation(id_, "forget")),
            lambda store, id_: store.search("word", [id_], 1),
            lambda store, id_: store.search("", [id_], 1),
            lambda store, id_: store.index([id_]),
        ],
    )
    def test_an_unknown_context_is_told(self, store: Store, attempt: Callable[[Store, str], object]) -> None:
        with pytest.raises(UnknownContext):
            attempt(store, new_id())


class TestDeleting:
    @pytest.fixture
    def deleted(self, store: Store, context: str) -> ContextRecord:
        (found,) = store.contexts()
        secret = message("PLANTED-IN-CONTENT", reasoning="PLANTED-IN-REASONING")
        changed = evolve(found, system_prompt="PLANTED-IN-PROMPT" + "x" * 10_000)
        marks = {"carried": frozenset({secret.id}), "masked": frozenset({secret.id})}
        store.commit(appending(context, secret, pinned=(secret.id,), record=changed, **marks))
        store.commit(appending(context, message("PLANTED-LARGE" * 10_000), message("planted-indexed")))
        store.forget(context, store.window(context).ids[-1], operation(context, "forget"))
        store.commit(appending(context, message("planted-again")))
        assert len(store.search("planted*", None, 10)) == 3
        other = record("side")
        store.create(other, operation(other.id, "open"))
        store.commit(appending(other.id, message("kept")))
        store.delete(context)
        return other

    def test_the_context_is_gone_and_others_stay(self, store: Store, context: str, deleted: ContextRecord) -> None:
        assert store.contexts() == [deleted]
        assert [each.content for each in store.window(deleted.id).messages] == ["kept"]

    def test_no_row_is_left_over(self, store: Store, folder: StorageFolder, deleted: ContextRecord) -> None:
        with sqlite3.connect(folder.database) as connection:
            counts = {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in COUNTED}
        connection.close()
        left = {"context": 1, "message": 1, "window": 1, "operation": 2}
        assert counts == {table: left.get(table, 0) for table in COUNTED}

    def test_nothing_that_was_said_is_left_on_disk(
        self, store: Store, folder: StorageFolder, deleted: ContextRecord
    ) -> None:
        left = b"".join(path.read_bytes() for path in folder.root.rglob("*") if path.is_file())
        assert b"planted" not in left.lower()
        assert b"kept" in left

    def test_its_lock_files_go_too(self, store: Store, folder: StorageFolder, context: str) -> None:
        for path in folder.lock_files(context):
            path.touch()
        store.delete(context)
        assert [path for path in folder.lock_files(context) if path.exists()] == []

    def test_databases_set_aside_go_where_they_hold_the_context(
        self, store: Store, folder: StorageFolder, context: str
    ) -> None:
        holding, other = (folder.root / f"store.db.broken-{name}" for name in "12")
        holding.write_bytes(b"x" * (2**20 - 10) + context.encode())
        log = holding.with_name(holding.name + "-wal")
        log.write_bytes(b"log")
        other.write_bytes(b"x" * 2**20)
        store.delete(context)
        assert [path.exists() for path in (holding, log, other)] == [False, False, True]

    def test_a_new_context_may_take_the_name(self, store: Store, context: str, deleted: ContextRecord) -> None:
        again = record()
        store.create(again, operation(again.id, "open"))
        assert store.window(again.id).messages == ()


class TestFactors:
    def test_a_factor_is_kept_and_replaced(self, store: Store, folder: StorageFolder) -> None:
        store.learn("ollama/llama3", 1.25)
        store.learn("ollama/llama3", 1.5)
        store.close()
        assert open_once(folder, lambda store: store.learned("ollama/llama3")) == 1.5

    def test_an_unknown_factor_is_none(self, store: Store) -> None:
        assert store.learned("ollama/llama3") is None


class TestSeveralStores:
    def test_one_sees_at_once_what_another_committed(self, store: Store, folder: StorageFolder, context: str) -> None:
        other = open_store(folder).store
        (new,) = said(other, context, 1)
        assert (store.revision(context), store.window(context).messages) == (2, (new,))
        other.close()

    def test_a_store_that_is_opened_again_holds_the_same(
        self, store: Store, folder: StorageFolder, context: str
    ) -> None:
        said(store, context, 3)
        before = store.contexts(), store.window(context), store.operations(None, None, 10)
        store.close()
        after = open_once(
            folder, lambda store: (store.contexts(), store.window(context), store.operations(None, None, 10))
        )
        assert after == before

    def test_closing_twice_is_closing_once(self, store: Store) -> None:
        store.close()
        store.close()


def open_once(folder: StorageFolder, work: Callable[[Store], T]) -> T:
    store = open_store(folder).store
    try:
        return work(store)
    finally:
        store.close()
