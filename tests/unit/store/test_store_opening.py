from __future__ import annotations

import resource
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from support.store_values import appending, message, operation, record, windowing
from ullage.errors import ContextBusy, NotSupported, StoreDamaged, StoreFull
from ullage.store import opening
from ullage.store.folder import StorageFolder
from ullage.store.migrations import MIGRATIONS
from ullage.store.opening import open_store
from ullage.store.store import Store


def filled(folder: StorageFolder) -> str:
    """A store with one context of three messages, closed. Returns the context's id."""
    store = open_store(folder).store
    made = record()
    store.create(made, operation(made.id, "open"))
    store.commit(appending(made.id, *(message(str(number)) for number in range(3))))
    store.close()
    return made.id


def pragma(store: Store, name: str) -> object:
    return store._connection.execute(f"PRAGMA {name}").fetchone()[0]


def change(folder: StorageFolder, *statements: str) -> None:
    connection = sqlite3.connect(folder.database)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


class TestSettingUp:
    def test_commits_are_synced_and_rows_erased_for_good(self, store: Store) -> None:
        names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "busy_timeout")
        assert [pragma(store, name) for name in names] == ["wal", 2, 1, 1, 5000]

    def test_a_fresh_store_sets_nothing_aside(self, folder: StorageFolder) -> None:
        opened = open_store(folder)
        opened.store.close()
        assert opened.set_aside is None

    def test_a_whole_store_is_not_set_aside(self, folder: StorageFolder) -> None:
        filled(folder)
        opened = open_store(folder)
        assert (opened.set_aside, len(opened.store.contexts()), opened.store.check()) == (None, 1, [])
        opened.store.close()

    def test_an_empty_file_is_taken_for_one_that_was_just_made(self, folder: StorageFolder) -> None:
        folder.database.touch()
        opened = open_store(folder)
        opened.store.close()
        assert opened.set_aside is None

    def test_what_a_killed_maker_had_half_written_is_undone(self, folder: StorageFolder) -> None:
        making = sqlite3.connect(folder.root / "draft.db", isolation_level=None)
        making.execute("PRAGMA cache_size = 1")
        making.execute("BEGIN")
        making.execute("CREATE TABLE half (x)")
        making.executemany("INSERT INTO half VALUES (?)", [("x" * 4000,)] * 50)
        shutil.copy(folder.root / "draft.db", folder.database)
        shutil.copy(folder.root / "draft.db-journal", folder.companion("-journal"))
        making.close()
        opened = open_store(folder)
        assert (opened.set_aside, opened.store.contexts(), opened.store.check()) == (None, [], [])
        opened.store.close()

    def test_processes_that_open_at_the_same_time_share_one_store(self, folder: StorageFolder) -> None:
        script = (
            "import sys; from ullage.store.folder import open_folder; from ullage.store.opening import open_store;"
            "opened = open_store(open_folder(sys.argv[1])); print(opened.set_aside, opened.store.check())"
        )
        arguments = [sys.executable, "-c", script, str(folder.root)]
        children = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(6)]
        assert [child.communicate()[0] for child in children] == ["None []\n"] * 6

    def test_an_opening_that_takes_too_long_elsewhere_is_told(
        self, folder: StorageFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from filelock import FileLock

        monkeypatch.setattr(opening, "OPENING_TIMEOUT_S", 0.01)
        with FileLock(folder.opening_lock, thread_local=False), pytest.raises(ContextBusy) as caught:
            open_store(folder)
        assert caught.value.data == {"reason": "elsewhere", "holder": None}


class TestNewerVersions:
    @pytest.fixture
    def newer(self, folder: StorageFolder) -> StorageFolder:
        filled(folder)
        later = len(MIGRATIONS) + 1
        recorded = f"INSERT INTO migration VALUES ({later}, 'later')"
        change(folder, "CREATE TABLE later (x)", recorded, f"PRAGMA user_version = {later}")
        return folder

    def test_a_newer_store_asks_for_an_update(self, newer: StorageFolder) -> None:
        with pytest.raises(NotSupported, match="Update Ullage"):
            open_store(newer)

    def test_a_newer_store_is_left_untouched(self, newer: StorageFolder) -> None:
        before = newer.database.read_bytes()
        with pytest.raises(NotSupported):
            open_store(newer)
        assert newer.database.read_bytes() == before
        assert list(newer.root.glob("*broken*")) == []

    def test_a_newer_store_in_use_keeps_its_log(self, newer: StorageFolder) -> None:
        user = sqlite3.connect(newer.database)
        user.execute("INSERT INTO later VALUES (1)")
        user.commit()
        log = newer.companion("-wal").read_bytes()
        with pytest.raises(NotSupported):
            open_store(newer)
        assert newer.companion("-wal").read_bytes() == log
        user.close()

    def test_a_version_that_was_never_recorded_is_damage(self, folder: StorageFolder) -> None:
        filled(folder)
        change(folder, "PRAGMA user_version = 257")
        opened = open_store(folder)
        opened.store.close()
        assert opened.set_aside is not None


class TestDamage:
    @pytest.mark.parametrize("content", [b"not a database", b"\0" * 4096, b"SQLite format 3\0", b"x" * 100_000])
    def test_what_is_no_database_is_set_aside(self, folder: StorageFolder, content: bytes) -> None:
        folder.database.write_bytes(content)
        opened = open_store(folder)
        assert opened.set_aside is not None
        assert opened.set_aside.name.startswith("store.db.broken-")
        assert opened.set_aside.read_bytes() == content
        assert opened.store.check() == []
        opened.store.close()

    def test_a_foreign_database_is_set_aside(self, folder: StorageFolder) -> None:
        change(folder, "CREATE TABLE theirs (x)", "PRAGMA application_id = 7")
        opened = open_store(folder)
        opened.store.close()
        assert opened.set_aside is not None

    @pytest.mark.parametrize("size", [1, 100, 512, 4095, 4096, 8192, 20_000])
    def test_a_truncated_database_is_set_aside(self, folder: StorageFolder, size: int) -> None:
        filled(folder)
        with folder.database.open("r+b") as file:
            file.truncate(size)
        opened = open_store(folder)
        opened.store.close()
        assert opened.set_aside is not None
        assert opened.set_aside.stat().st_size == size

    def test_an_emptied_database_is_set_aside_with_its_log(self, folder: StorageFolder) -> None:
        folder.database.touch()
        folder.companion("-wal").write_bytes(b"x" * 100)
        opened = open_store(folder)
        opened.store.close()
        assert opened.set_aside is not None
        assert opened.set_aside.with_name(opened.set_aside.name + "-wal").read_bytes() == b"x" * 100

    @pytest.mark.parametrize("statement", ["DROP TABLE pinned", "CREATE TABLE other (x)", "DROP INDEX undo_of"])
    def test_other_tables_than_those_made_are_damage(self, folder: StorageFolder, statement: str) -> None:
        filled(folder)
        change(folder, statement)
        opened = open_store(folder)
        opened.store.close()
        assert opened.set_aside is not None

    def test_a_damaged_record_of_a_context_is_found_at_the_opening(self, folder: StorageFolder) -> None:
        filled(folder)
        change(folder, "UPDATE context SET workspace_uri = 'file:///projecu'")
        opened = open_store(folder)
        opened.store.close()
        assert opened.set_aside is not None

    def test_two_damaged_databases_are_both_kept(self, folder: StorageFolder) -> None:
        names = set()
        for content in (b"one", b"two"):
            folder.database.write_bytes(content)
            opened = open_store(folder)
            opened.store.close()
            assert opened.set_aside
            names.add(opened.set_aside.name)
        assert len(names) == 2

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE message SET content = '3' WHERE content = '2'",
            "UPDATE message SET role = 'system' WHERE content = '2'",
            "UPDATE window SET message = message + 1 WHERE position = 2",
            "UPDATE window SET position = 7 WHERE position = 2",
            "DELETE FROM window WHERE position = 2",
            "DELETE FROM message WHERE content = '2'",
            "UPDATE message SET number = number + 1 WHERE content = '2'",
            "INSERT INTO pinned SELECT context, message FROM window",
            "INSERT INTO carried SELECT context, message FROM window",
            "INSERT INTO masked SELECT context, message FROM window",
        ],
    )
    def test_a_window_that_is_not_what_was_committed_is_never_handed_out(
        self, folder: StorageFolder, statement: str
    ) -> None:
        context = filled(folder)
        change(folder, statement)
        store = open_store(folder).store
        with pytest.raises(StoreDamaged):
            store.window(context)
        store.close()

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE message SET content = '3' WHERE content = '1'",
            "DELETE FROM message WHERE content = '1'",
            "DELETE FROM message WHERE content = '2'",
            "DELETE FROM message WHERE content = '0'",
            "INSERT INTO forgotten SELECT context, message FROM window",
            "INSERT INTO forgotten VALUES (1, 3)",
            "UPDATE message SET number = number + 1 WHERE content = '2'",
        ],
    )
    def test_a_history_with_a_gap_or_a_changed_word_is_never_handed_out(
        self, folder: StorageFolder, statement: str
    ) -> None:
        context = filled(folder)
        change(folder, statement)
        store = open_store(folder).store
        with pytest.raises(StoreDamaged):
            store.history(context, None, 10)
        store.close()

    @pytest.mark.parametrize("column", ["kind = 'clear'", "at = 6", "undone = 1", "change = NULL", "context = 2"])
    def test_a_changed_operation_is_never_handed_out(self, folder: StorageFolder, column: str) -> None:
        filled(folder)
        change(folder, f"UPDATE operation SET {column}")
        store = open_store(folder).store
        with pytest.raises(StoreDamaged):
            store.operations(None, None, 10)
        store.close()

    def test_a_changed_factor_is_forgotten(self, folder: StorageFolder) -> None:
        store = open_store(folder).store
        store.learn("model", 1.5)
        change(folder, "UPDATE factor SET value = 2.5")
        assert store.learned("model") is None
        store.close()

    def test_a_damaged_window_can_be_replaced(self, folder: StorageFolder) -> None:
        context = filled(folder)
        change(folder, "UPDATE message SET content = '3' WHERE content = '2'")
        store = open_store(folder).store
        fresh = message("restored")
        store.commit(windowing(context, [fresh.id], "restore", messages=(fresh,)))
        assert store.window(context).messages == (fresh,)
        store.close()

    def test_a_damaged_context_can_be_deleted(self, folder: StorageFolder) -> None:
        context = filled(folder)
        store = open_store(folder).store
        change(folder, "UPDATE context SET name = 'changed'")
        store.delete(context)
        assert store.contexts() == []
        store.close()

    def test_the_full_check_counts_what_is_not_what_was_written(self, folder: StorageFolder) -> None:
        filled(folder)
        store = open_store(folder).store
        change(folder, "UPDATE message SET content = 'secret'")
        assert store.check() == ["3 rows of message are not what was written"]
        store.close()

    def test_damage_found_in_use_is_examined_at_the_next_opening(self, folder: StorageFolder) -> None:
        context = filled(folder)
        content = bytearray(folder.database.read_bytes())
        page = root_page(folder, "window")
        content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
        folder.database.write_bytes(content)
        store = open_store(folder).store
        with pytest.raises(StoreDamaged, match="sets a damaged file aside"):
            store.window(context)
        store.close()
        opened = open_store(folder)
        assert opened.set_aside is not None
        assert not folder.suspect.exists()
        opened.store.close()

    def test_a_table_that_is_gone_in_use_is_damage(self, store: Store, folder: StorageFolder, context: str) -> None:
        change(folder, "DROP TABLE window")
        with pytest.raises(StoreDamaged, match="sets a damaged file aside"):
            store.window(context)
        assert folder.suspect.exists()

    def test_a_mistaken_statement_is_no_damage(self, store: Store, folder: StorageFolder, context: str) -> None:
        store._connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 1)
        with pytest.raises(sqlite3.OperationalError, match="variable"):
            store.commit(appending(context, message()))
        assert not folder.suspect.exists()

    def test_a_store_that_a_newer_version_changed_in_use_asks_for_an_update(
        self, store: Store, folder: StorageFolder, context: str
    ) -> None:
        (version,) = store._connection.execute("PRAGMA user_version").fetchone()
        record_it = f"INSERT INTO migration SELECT {version + 1}, 'later'"
        change(folder, record_it, "ALTER TABLE window RENAME TO view_of", f"PRAGMA user_version = {version + 1}")
        with pytest.raises(NotSupported, match="Update Ullage"):
            store.window(context)
        assert not folder.suspect.exists()

    def test_a_suspicion_that_proves_unfounded_is_dropped(self, folder: StorageFolder) -> None:
        filled(folder)
        folder.suspect.touch()
        opened = open_store(folder)
        opened.store.close()
        assert (opened.set_aside, folder.suspect.exists()) == (None, False)


def root_page(folder: StorageFolder, table: str) -> int:
    connection = sqlite3.connect(folder.database)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    connection.close()
    return int(page)


class TestSettingAsideUnderAnother:
    def test_nothing_is_acknowledged_that_went_into_a_file_set_aside(
        self, store: Store, folder: StorageFolder, context: str
    ) -> None:
        opening.set_aside(folder)
        folder.database.touch()
        with pytest.raises(StoreDamaged, match="set aside as damaged by another process"):
            store.commit(appending(context, message()))

    def test_the_one_set_aside_does_not_take_the_fresh_ones_log_with_it(
        self, store: Store, folder: StorageFolder, context: str
    ) -> None:
        opening.set_aside(folder)
        fresh = open_store(folder).store
        made = record()
        fresh.create(made, operation(made.id, "open"))
        store.close()
        assert folder.companion("-wal").exists()
        assert fresh.contexts() == [made]
        fresh.close()

    def test_a_deleted_database_is_told_before_anything_is_acknowledged(
        self, store: Store, folder: StorageFolder, context: str
    ) -> None:
        shutil.rmtree(folder.root)
        with pytest.raises(StoreDamaged, match="was removed"):
            store.commit(appending(context, message()))


class TestFullDisks:
    def test_nothing_is_acknowledged_and_everything_can_be_read(self, store: Store, context: str) -> None:
        kept = message("kept")
        store.commit(appending(context, kept))
        store._connection.execute(f"PRAGMA max_page_count = {pragma(store, 'page_count')}")
        with pytest.raises(StoreFull, match="Free some space"):
            store.commit(appending(context, message("x" * 100_000)))
        assert store.window(context).messages == (kept,)

    def test_it_goes_on_when_there_is_room_again(self, store: Store, context: str) -> None:
        store._connection.execute(f"PRAGMA max_page_count = {pragma(store, 'page_count')}")
        with pytest.raises(StoreFull):
            store.commit(appending(context, message("x" * 100_000)))
        store._connection.execute("PRAGMA max_page_count = 1073741823")
        later = message("later")
        store.commit(appending(context, later))
        assert store.window(context).messages == (later,)

    def test_a_log_that_may_not_grow_acknowledges_nothing(self, store: Store, context: str) -> None:
        kept = message("kept")
        store.commit(appending(context, kept))
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (store_size(store) + 5000, limits[1]))
        try:
            with pytest.raises(StoreFull):
                store.commit(appending(context, message("x" * 1_000_000)))
            assert store.window(context).messages == (kept,)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert store.check() == []

    def test_a_store_that_may_only_be_read_says_so(self, store: Store, context: str) -> None:
        store._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(StoreFull, match="permissions"):
            store.commit(appending(context, message()))
        assert store.window(context).messages == ()

    def test_a_writer_that_does_not_end_elsewhere_is_told(
        self, store: Store, folder: StorageFolder, context: str
    ) -> None:
        store._connection.execute("PRAGMA busy_timeout = 1")
        other = sqlite3.connect(folder.database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ContextBusy) as caught:
            store.commit(appending(context, message()))
        other.close()
        assert caught.value.data == {"reason": "elsewhere", "holder": None}


def store_size(store: Store) -> int:
    return max(path.stat().st_size for path in store._folder.root.glob("store.db*"))


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_sync_comes_before_every_acknowledgement(folder: StorageFolder, tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "support" / "appending_process.py"
    trace = tmp_path / "trace"
    traced = ["strace", "-f", "-e", "trace=fsync,fdatasync,write", "-o", str(trace), sys.executable, str(script)]
    done = subprocess.run([*traced, str(folder.root), "20"], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 20
    synced, acknowledged = False, 0
    for line in trace.read_text().splitlines():
        if "sync(" in line:
            synced = True
        elif "write(1, " in line:
            assert synced, "an acknowledgement without a sync since the one before"
            synced, acknowledged = False, acknowledged + 1
    assert acknowledged == 20
