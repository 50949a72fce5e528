from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.first_form import FirstForm, write_first_form
from support.store_values import appending, message
from ullage.conversation.operations import UNDONE_BY_DEFAULT
from ullage.store.database import APPLICATION_ID
from ullage.store.examination import check
from ullage.store.folder import StorageFolder
from ullage.store.migrations import MIGRATIONS, first_form, migrate, schema, schema_at, version
from ullage.store.opening import open_store
from ullage.store.records import LoggedOperation, StoredWindow
from ullage.store.store import Store

RELEASED = {
    "first_form": "fe1185c5fc579f9997ec2d954d0c551888b7fbb2f38daf51edb4353cb31e8477",
    "masked_and_forgotten": "cd12d06788c8282df449a621d9e7a170889a1610a17953572297c19566daf697",
}
"""What each step makes of the schema, as a hash: a step that people have run already must never change."""


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    yield connection
    connection.close()


def add_colour(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE context ADD COLUMN colour TEXT")


def fail_half_way(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE context ADD COLUMN half TEXT")
    raise RuntimeError("half way")


@pytest.mark.parametrize("number", range(1, len(MIGRATIONS) + 1))
def test_a_released_step_is_never_changed(number: int) -> None:
    digest = hashlib.sha256(repr(schema_at(number)).encode()).hexdigest()
    assert digest == RELEASED[MIGRATIONS[number - 1].__name__]


def test_an_empty_database_is_brought_to_the_present_form(connection: sqlite3.Connection) -> None:
    migrate(connection)
    assert schema(connection) == schema_at(len(MIGRATIONS))
    assert version(connection) == len(MIGRATIONS)


def test_a_database_is_marked_as_ours(connection: sqlite3.Connection) -> None:
    migrate(connection)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


def test_steps_are_recorded_by_their_names(connection: sqlite3.Connection) -> None:
    migrate(connection, [*MIGRATIONS, add_colour])
    names = connection.execute("SELECT number, name FROM migration ORDER BY number").fetchall()
    assert names[-1] == (len(MIGRATIONS) + 1, "add_colour")


def test_a_step_is_made_once(connection: sqlite3.Connection) -> None:
    for _ in range(2):
        migrate(connection, [*MIGRATIONS, add_colour])
    assert version(connection) == len(MIGRATIONS) + 1


def test_a_step_that_fails_leaves_the_form_before_it(connection: sqlite3.Connection) -> None:
    with pytest.raises(RuntimeError, match="half way"):
        migrate(connection, [*MIGRATIONS, fail_half_way])
    assert schema(connection) == schema_at(len(MIGRATIONS))
    assert version(connection) == len(MIGRATIONS)


class TestFromTheFirstForm:
    @pytest.fixture
    def written(self, folder: StorageFolder) -> list[FirstForm]:
        return write_first_form(folder, contexts=3)

    @pytest.fixture
    def store(self, folder: StorageFolder, written: list[FirstForm]) -> Iterator[Store]:
        opened = open_store(folder)
        yield opened.store
        assert opened.set_aside is None
        assert opened.store.check() == []
        opened.store.close()

    def test_the_contexts_are_there(self, store: Store, written: list[FirstForm]) -> None:
        assert store.contexts() == [each.record for each in written]

    def test_the_windows_are_there(self, store: Store, written: list[FirstForm]) -> None:
        for each in written:
            marked = frozenset({each.messages[0].id})
            assert store.window(each.record.id) == StoredWindow(3, each.messages, marked, marked, frozenset())

    def test_the_histories_are_there(self, store: Store, written: list[FirstForm]) -> None:
        for each in written:
            assert store.history(each.record.id, None, 10) == (each.messages, False)

    def test_the_operations_are_there(self, store: Store, written: list[FirstForm]) -> None:
        for each in written:
            expected = LoggedOperation(each.operation, each.change, undone=False)
            assert store.latest_undoable(each.record.id, UNDONE_BY_DEFAULT) == expected

    def test_the_factors_are_there(self, store: Store) -> None:
        assert store.learned("model") == 1.5

    def test_everything_said_is_found(self, store: Store, written: list[FirstForm]) -> None:
        assert len(store.search("word1 said", None, 10)) == len(written)

    def test_it_goes_on(self, store: Store, written: list[FirstForm]) -> None:
        later = message("later")
        store.commit(appending(written[0].record.id, later, masked=frozenset({later.id})))
        assert store.window(written[0].record.id).masked == {later.id}

    def test_the_older_programs_statements_fail(self, store: Store, folder: StorageFolder) -> None:
        older = sqlite3.connect(folder.database)
        with pytest.raises(sqlite3.OperationalError, match="no such column"):
            older.execute("UPDATE context SET revision = revision + 1, seal = 0")
        older.close()


@pytest.mark.parametrize("column", ["name = 'another'", "revision = 4", "seal = seal + 1", "said = 4"])
def test_a_context_that_was_damaged_before_stays_recognisable(connection: sqlite3.Connection, column: str) -> None:
    folder = StorageFolder(Path(connection.execute("PRAGMA database_list").fetchone()[2]).parent)
    write_first_form(folder, contexts=2)
    connection.execute(f"UPDATE context SET {column} WHERE number = 2")
    migrate(connection)
    assert check(connection) == ["1 rows of context are not what was written"]


def test_a_context_damaged_in_the_first_form_is_found_at_the_opening(folder: StorageFolder) -> None:
    write_first_form(folder)
    with sqlite3.connect(folder.database) as connection:
        connection.execute("UPDATE context SET workspace_uri = 'file:///projecu'")
    connection.close()
    opened = open_store(folder)
    opened.store.close()
    assert opened.set_aside is not None


def test_a_message_damaged_in_the_first_form_is_found_where_damage_is_suspected(folder: StorageFolder) -> None:
    write_first_form(folder)
    with sqlite3.connect(folder.database) as connection:
        connection.execute("UPDATE message SET content = 'x' WHERE content = 'word1 said'")
    connection.close()
    folder.suspect.touch()
    opened = open_store(folder)
    opened.store.close()
    assert opened.set_aside is not None


def test_a_migration_that_fails_leaves_the_first_form(folder: StorageFolder) -> None:
    write_first_form(folder)
    connection = sqlite3.connect(folder.database, isolation_level=None)
    before = connection.execute("SELECT * FROM context").fetchall()
    connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        migrate(connection)
    assert (version(connection), schema(connection)) == (1, schema_at(1, [first_form]))
    assert connection.execute("SELECT * FROM context").fetchall() == before
    connection.close()
