"""A look at the storage folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ullage.store.folder import StorageFolder
from ullage.store.locks import ContextLocks
from ullage.store.survey import sqlite_version, survey

CONTEXT = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
posix = pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")


def put(folder: StorageFolder, name: str, size: int) -> Path:
    path = folder.root / name
    path.write_bytes(b"x" * size)
    path.chmod(0o600)
    return path


def test_the_size_is_that_of_all_files(folder: StorageFolder) -> None:
    put(folder, "store.db", 100)
    put(folder, "locks/one", 11)
    assert survey(folder).bytes == 111


def test_links_are_not_followed(folder: StorageFolder, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 1000)
    (folder.root / "link").symlink_to(tmp_path / "large")
    found = survey(folder)
    assert (found.bytes, found.exposed) == (0, ())


def test_the_disks_free_space_is_told(folder: StorageFolder) -> None:
    assert (survey(folder).free_bytes or 0) > 0


def test_a_fresh_folder_is_closed_to_others(folder: StorageFolder) -> None:
    put(folder, "store.db", 1)
    assert survey(folder).exposed == ()


@posix
def test_what_others_may_read_is_named(folder: StorageFolder) -> None:
    put(folder, "store.db", 1).chmod(0o640)
    folder.root.chmod(0o701)
    assert survey(folder).exposed == (".", "store.db")


def test_databases_set_aside_are_found_with_their_logs(folder: StorageFolder) -> None:
    put(folder, "store.db.broken-20260101T000000-1", 100)
    put(folder, "store.db.broken-20260101T000000-1-wal", 20)
    [found] = survey(folder).set_aside
    assert (found.name, found.bytes) == ("store.db.broken-20260101T000000-1", 120)


def test_who_writes_a_context_is_told(folder: StorageFolder) -> None:
    locks = ContextLocks(folder, "an editor")
    assert locks.try_acquire(CONTEXT)
    [writer] = survey(folder).writers
    locks.release_all()
    assert (writer.context_id, writer.holder.pid, writer.holder.client) == (CONTEXT, os.getpid(), "an editor")
    assert writer.alive


def test_nobody_writes_once_the_lock_is_released(folder: StorageFolder) -> None:
    locks = ContextLocks(folder, "an editor")
    assert locks.try_acquire(CONTEXT)
    locks.release_all()
    assert survey(folder).writers == ()


def test_a_writer_that_has_ended_is_told_as_that(folder: StorageFolder) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    note_holder(folder, ended.pid, time.time())
    assert [writer.alive for writer in survey(folder).writers] == [False]


def test_another_process_with_the_number_of_one_that_ended_is_not_the_writer(folder: StorageFolder) -> None:
    note_holder(folder, os.getpid(), 1_000)
    assert [writer.alive for writer in survey(folder).writers] == [False]


@pytest.mark.parametrize("content", ["", "[]", '{"pid": 10000000000000000000000, "client": "a", "since": 1}', "{"])
def test_a_note_that_makes_no_sense_is_no_writer_alive(folder: StorageFolder, content: str) -> None:
    folder.holder(CONTEXT).write_text(content)
    assert not any(writer.alive for writer in survey(folder).writers)


def test_looking_changes_nothing(folder: StorageFolder) -> None:
    put(folder, "store.db", 1).chmod(0o644)
    survey(folder)
    assert (folder.root / "store.db").stat().st_mode & 0o777 == 0o644


def test_sqlite_tells_its_version() -> None:
    assert sqlite_version()[0].isdigit()


def note_holder(folder: StorageFolder, pid: int, at_s: float) -> None:
    folder.holder(CONTEXT).write_text(f'{{"pid": {pid}, "client": "an editor", "since": {int(at_s * 1000)}}}')
