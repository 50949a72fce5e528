from __future__ import annotations

import logging
import random
import resource
import sqlite3
from pathlib import Path

import pytest

from support.store_values import appending, message, new_id, operation, record, undoing, windowing
from ullage.conversation.messages import Message
from ullage.conversation.operations import MarkChange, Operation, WindowChange
from ullage.errors import NothingToUndo, StoreDamaged, UnknownMessage
from ullage.store.folder import StorageFolder
from ullage.store.opening import open_store
from ullage.store.records import Commit, LoggedOperation
from ullage.store.store import Store


def said(store: Store, context: str, count: int) -> list[Message]:
    messages = [message(f"word{number}") for number in range(count)]
    store.commit(appending(context, *messages))
    return messages


def forget(store: Store, context: str, message_id: str) -> frozenset[str]:
    done = operation(context, "forget")
    erased = store.forget(context, message_id, done)
    store.end_erasure(done.id)
    return erased


def logged(store: Store, context: str, done: Operation) -> LoggedOperation:
    found = store.operation(context, done.id)
    assert found
    return found


def on_disk(folder: StorageFolder) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.root.rglob("*")) if path.is_file())


class TestWhatIsGone:
    def test_it_leaves_window_history_and_lookup(self, store: Store, context: str) -> None:
        first, second, third = said(store, context, 3)
        assert forget(store, context, second.id) == {second.id}
        assert store.window(context).messages == (first, third)
        assert store.history(context, None, 10) == ((first, third), False)
        assert store.message(context, second.id) is None

    def test_its_marks_go_and_others_stay(self, store: Store, context: str) -> None:
        first, second = said(store, context, 2)
        ids = frozenset({first.id, second.id})
        store.commit(Commit(operation(context, "pin"), pinned=tuple(ids), carried=ids, masked=ids))
        forget(store, context, first.id)
        window = store.window(context)
        assert (window.pinned, window.carried, window.masked) == ({second.id},) * 3

    def test_summaries_that_stand_for_it_go_too(self, store: Store, context: str) -> None:
        earlier = message("In short", summary_of=(stands_for := new_id(),))
        store.commit(windowing(context, [earlier.id], messages=(earlier,)))
        folded = message("Shorter", summary_of=(earlier.id,))
        store.commit(windowing(context, [folded.id], messages=(folded, message("Said then", stands_for))))
        assert forget(store, context, stands_for) == {stands_for, earlier.id, folded.id}

    def test_summaries_that_were_written_after_it_go_too_and_earlier_ones_stay(
        self, store: Store, context: str
    ) -> None:
        (first,) = said(store, context, 1)
        earlier = message("Of the first", summary_of=(first.id,))
        store.commit(windowing(context, [earlier.id], messages=(earlier,)))
        (second,) = said(store, context, 1)
        later = message("Of the first, but it saw the second", summary_of=(first.id,))
        store.commit(windowing(context, [later.id, second.id], messages=(later,)))
        assert forget(store, context, second.id) == {second.id, later.id}
        assert store.history(context, None, 10)[0] == (first, earlier)

    def test_in_a_copy_summaries_that_were_written_after_it_go_too(self, store: Store, context: str) -> None:
        """There they come before what they had seen, and what they stood for is unknown."""
        later = message("It saw the secret", summary_of=(), created_at=7)
        earlier = message("It could not", summary_of=(), created_at=5)
        secret = message("Secret", created_at=6)
        store.commit(appending(context, later, earlier, secret))
        assert forget(store, context, secret.id) == {secret.id, later.id}
        assert store.history(context, None, 10)[0] == (earlier,)

    def test_a_summary_can_be_forgotten_by_itself(self, store: Store, context: str) -> None:
        (first,) = said(store, context, 1)
        summary = message("In short", summary_of=(first.id,))
        store.commit(windowing(context, [summary.id], messages=(summary,)))
        assert forget(store, context, summary.id) == {summary.id}
        assert store.history(context, None, 10)[0] == (first,)

    def test_it_is_not_found_and_others_are(self, store: Store, context: str) -> None:
        first, second = said(store, context, 2)
        assert len(store.search("word*", None, 10)) == 2
        forget(store, context, first.id)
        assert [each.message for each in store.search("word*", None, 10)] == [second]

    def test_other_contexts_keep_everything(self, store: Store, context: str) -> None:
        (first,) = said(store, context, 1)
        other = record("side")
        store.create(other, operation(other.id, "open"))
        kept = said(store, other.id, 3)
        forget(store, context, first.id)
        assert store.history(other.id, None, 10)[0] == store.window(other.id).messages == tuple(kept)

    def test_it_is_an_operation_that_does_not_name_it(self, store: Store, context: str) -> None:
        (first,) = said(store, context, 1)
        before = store.revision(context)
        done = operation(context, "forget")
        store.forget(context, first.id, done)
        assert logged(store, context, done) == LoggedOperation(done, None, undone=False)
        assert store.revision(context) == (before or 0) + 1

    def test_its_id_can_be_given_again(self, store: Store, context: str) -> None:
        (first,) = said(store, context, 1)
        forget(store, context, first.id)
        again = message("again", first.id)
        store.commit(appending(context, again))
        assert store.history(context, None, 10)[0] == store.window(context).messages == (again,)


class TestTheLog:
    def test_details_lose_the_id_wherever_it_stands(self, store: Store, context: str) -> None:
        first, second = said(store, context, 2)
        detail = {"list": [first.id, second.id], "one": first.id, "in": {"text": f"of {first.id}!"}, first.id: 1}
        done = operation(context, "pin", **detail, count=3)
        store.commit(Commit(done))
        forget(store, context, first.id)
        assert logged(store, context, done).operation.detail == {
            "list": [second.id],
            "one": None,
            "in": {"text": "of !"},
            "count": 3,
        }

    def test_changes_lose_the_id_in_every_field(self, store: Store, context: str) -> None:
        first, second = said(store, context, 2)
        both, done = (first.id, second.id), operation(context, "clear")
        marks, left = MarkChange(both, both), MarkChange((second.id,), (second.id,))
        store.commit(Commit(done, change=WindowChange(both, both, both, marks, marks, marks)))
        forget(store, context, first.id)
        assert logged(store, context, done).change == WindowChange(*[(second.id,)] * 3, left, left, left)

    def test_a_change_of_nothing_else_stays_a_change(self, store: Store, context: str) -> None:
        first = message()
        commit = appending(context, first)
        store.commit(commit)
        forget(store, context, first.id)
        assert logged(store, context, commit.operation).change == WindowChange()

    def test_other_contexts_operations_lose_it_too(self, store: Store, context: str) -> None:
        (first,) = said(store, context, 1)
        other = record("side")
        opened = operation(other.id, "open", copiedFrom=first.id)
        store.create(other, opened)
        forget(store, context, first.id)
        assert logged(store, other.id, opened).operation.detail == {"copiedFrom": None}

    def test_operations_that_do_not_name_it_stay_as_they_are(self, store: Store, context: str) -> None:
        first, _ = said(store, context, 2)
        commits = [windowing(context, [], "clear", change=WindowChange((new_id(),))), appending(context, message())]
        for commit in commits:
            store.commit(commit)
        before = store.operations([context], None, 2)
        forget(store, context, first.id)
        assert store.operations([context], None, 3)[:2] == before

    def test_an_operation_whose_marks_are_all_forgotten_can_be_undone(self, store: Store, context: str) -> None:
        first, second = said(store, context, 2)
        change = WindowChange((second.id,), (), (first.id, second.id), masked=MarkChange((first.id,)))
        compress = windowing(context, [first.id], "compress", change=change)
        store.commit(compress)
        forget(store, context, first.id)
        store.commit(undoing(context, compress.operation.id))
        assert logged(store, context, compress.operation).undone
        assert store.check() == []

    def test_an_undone_operation_stays_undone(self, store: Store, context: str) -> None:
        (first,) = said(store, context, 1)
        clear = windowing(context, [], change=WindowChange((first.id,), (), (first.id,)))
        store.commit(clear)
        store.commit(undoing(context, clear.operation.id))
        forget(store, context, first.id)
        assert logged(store, context, clear.operation).undone

    def test_an_undo_has_nothing_to_do_with_it_any_more(self, store: Store, context: str) -> None:
        first, second, third = said(store, context, 3)
        change = WindowChange((first.id, second.id), (), (first.id, second.id, third.id))
        clear = windowing(context, [third.id], "clear", change=change)
        store.commit(clear)
        forget(store, context, first.id)
        assert store.present_without(context, clear.operation.id) == {second.id: True}


class TestHoles:
    @pytest.mark.parametrize("limit", range(1, 8))
    def test_pages_follow_each_other_across_them(self, store: Store, context: str, limit: int) -> None:
        messages = said(store, context, 12)
        for index in (0, 3, 4, 5, 8, 11):
            forget(store, context, messages[index].id)
        left = [messages[index] for index in (1, 2, 6, 7, 9, 10)]
        pages: list[Message] = []
        before, more = None, True
        while more:
            page, more = store.history(context, before, limit)
            assert page
            pages, before = [*page, *pages], page[0].id
        assert pages == left
        assert store.check() == []

    def test_nothing_left_is_an_empty_history(self, store: Store, context: str) -> None:
        for each in said(store, context, 2):
            forget(store, context, each.id)
        assert (store.history(context, None, 1), store.window(context).messages) == (((), False), ())

    def test_the_window_goes_on_behind_them(self, store: Store, context: str) -> None:
        first, second, third = said(store, context, 3)
        forget(store, context, third.id)
        forget(store, context, first.id)
        later = said(store, context, 1)
        assert store.window(context).messages == store.history(context, None, 9)[0] == (second, *later)

    def test_they_outlive_the_process(self, store: Store, folder: StorageFolder, context: str) -> None:
        first, second = said(store, context, 2)
        forget(store, context, first.id)
        store.close()
        folder.suspect.touch()
        opened = open_store(folder)
        assert opened.set_aside is None
        assert opened.store.history(context, None, 9) == ((second,), False)
        opened.store.close()

    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM forgotten",
            "UPDATE forgotten SET message = message + 1",
            "DELETE FROM message WHERE content = 'word3'",
        ],
    )
    def test_a_gap_that_nobody_asked_for_is_damage(
        self, store: Store, folder: StorageFolder, context: str, statement: str
    ) -> None:
        messages = said(store, context, 5)
        forget(store, context, messages[1].id)
        change(folder, statement)
        with pytest.raises(StoreDamaged):
            store.history(context, None, 10)


class TestRefusals:
    def test_an_unknown_message_is_told(self, store: Store, context: str) -> None:
        said(store, context, 1)
        with pytest.raises(UnknownMessage):
            forget(store, context, new_id())

    def test_another_contexts_message_is_unknown(self, store: Store, context: str) -> None:
        (first,) = said(store, context, 1)
        other = record("side")
        store.create(other, operation(other.id, "open"))
        with pytest.raises(UnknownMessage):
            forget(store, other.id, first.id)
        assert store.message(context, first.id) == first

    def test_what_is_forgotten_is_unknown(self, store: Store, context: str) -> None:
        (first,) = said(store, context, 1)
        forget(store, context, first.id)
        with pytest.raises(UnknownMessage):
            forget(store, context, first.id)
        with pytest.raises(UnknownMessage):
            store.history(context, first.id, 1)

    def test_a_damaged_message_can_be_forgotten(self, store: Store, folder: StorageFolder, context: str) -> None:
        first, second = said(store, context, 2)
        change(folder, "UPDATE message SET content = 'changed' WHERE content = 'word0'")
        forget(store, context, first.id)
        assert (store.window(context).messages, store.check()) == ((second,), [])

    def test_nothing_is_erased_where_a_summary_cannot_be_read(
        self, store: Store, folder: StorageFolder, context: str
    ) -> None:
        (first,) = said(store, context, 1)
        store.commit(appending(context, message("In short", summary_of=(new_id(),))))
        change(folder, "UPDATE message SET summary_of = '[]' WHERE content = 'In short'")
        with pytest.raises(StoreDamaged):
            forget(store, context, first.id)
        assert store.message(context, first.id) == first

    def test_forgetting_is_not_undone(self, store: Store, context: str) -> None:
        (first,) = said(store, context, 1)
        forget(store, context, first.id)
        assert store.latest_undoable(context, ["clear", "compress", "restore", "trim"]) is None
        with pytest.raises(NothingToUndo):
            store.commit(undoing(context, first.id))


class TestOnDisk:
    def test_nothing_of_it_is_left(self, store: Store, folder: StorageFolder, context: str) -> None:
        secret = message(
            "PLANTED-IN-CONTENT plantedword " * 500, reasoning="PLANTED-IN-REASONING", name="PLANTED-IN-NAME"
        )
        summary = message("PLANTED-IN-SUMMARY", summary_of=(secret.id,))
        said(store, context, 3)
        store.commit(appending(context, secret, message("kept"), pinned=(secret.id,)))
        store.search("plantedword", None, 1)
        store.commit(windowing(context, [summary.id], "compress", messages=(summary,)))
        forget(store, context, secret.id)
        left = on_disk(folder)
        assert b"planted" not in left.lower()
        assert (secret.id.encode() in left, summary.id.encode() in left) == (False, False)
        assert b"kept" in left

    @pytest.mark.parametrize("seed", range(5))
    def test_no_copy_is_left_where_it_once_stood(self, store: Store, folder: StorageFolder, seed: int) -> None:
        chance = random.Random(seed)
        contexts = [record(f"context {number}") for number in range(3)]
        for made in contexts:
            store.create(made, operation(made.id, "open"))
        living: list[tuple[str, Message]] = []
        for number in range(250):
            made = chance.choice(contexts)
            new = message(f"PLANTED{number:05d}. " + "x " * chance.choice([1, 30, 300, 3000]))
            store.commit(appending(made.id, new))
            living.append((made.id, new))
        gone = [living.pop(chance.randrange(len(living))) for _ in range(20)]
        for context_id, each in gone:
            forget(store, context_id, each.id)
        left = on_disk(folder)
        assert [each.content[:13] for _, each in gone if each.content[:13].encode() in left] == []
        assert all(each.content[:13].encode() in left for _, each in living)
        assert store.check() == []

    def test_databases_set_aside_go_where_they_hold_it(self, store: Store, folder: StorageFolder, context: str) -> None:
        (first,) = said(store, context, 1)
        summary = message("In short", summary_of=(first.id,))
        store.commit(windowing(context, [summary.id], messages=(summary,)))
        holding, standing_for, other = (folder.root / f"store.db.broken-{name}" for name in "123")
        holding.write_bytes(b"x" * (2**20 - 10) + first.id.encode())
        standing_for.write_bytes(b"x")
        log = standing_for.with_name(standing_for.name + "-wal")
        log.write_bytes(summary.id.encode())
        other.write_bytes(context.encode())
        forget(store, context, first.id)
        assert [path.exists() for path in (holding, standing_for, log, other)] == [False, False, False, True]

    def test_a_log_that_another_process_reads_is_told(
        self, store: Store, folder: StorageFolder, context: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        (first,) = said(store, context, 1)
        store._connection.execute("PRAGMA busy_timeout = 1")
        reader = sqlite3.connect(folder.database, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM context").fetchall()
        with caplog.at_level(logging.WARNING):
            forget(store, context, first.id)
        reader.close()
        assert "Copies of erased text stay" in caplog.text
        assert first.content not in caplog.text

    def test_a_disk_without_room_for_a_fresh_copy_is_told(
        self, store: Store, context: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        (first,) = said(store, context, 1)
        store.commit(appending(context, message("x" * 1_000_000)))
        store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
        try:
            with caplog.at_level(logging.WARNING):
                forget(store, context, first.id)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert "Copies of erased text stay" in caplog.text
        assert (store.message(context, first.id), store.check()) == (None, [])


def change(folder: StorageFolder, *statements: str) -> None:
    connection = sqlite3.connect(Path(folder.database))
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
