from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ullage.store.database import APPLICATION_ID
from ullage.store.migrations import MIGRATIONS, migrate, schema, schema_at, version

RELEASED = {"first_form": "fe1185c5fc579f9997ec2d954d0c551888b7fbb2f38daf51edb4353cb31e8477"}
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
