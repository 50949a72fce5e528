"""An erasure that a kill cuts short is known to whoever opens the store next, and is brought to its end."""

from __future__ import annotations

import errno
import logging
import os
from typing import Any

import pytest

from support.failing_disk import failing
from support.store_values import appending, message, new_id, operation, record
from ullage.errors import StoreFull
from ullage.store import erasure
from ullage.store.erasure import Erasure
from ullage.store.folder import StorageFolder
from ullage.store.opening import open_store
from ullage.store.store import Store


class Killed(BaseException):
    """Stands for the end of the process."""


def killed(*_: Any) -> None:
    raise Killed


def on_disk(folder: StorageFolder) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.root.rglob("*")) if path.is_file())


@pytest.fixture
def secret(store: Store, context: str) -> str:
    """The id of a message that had another one before it and one after it."""
    said = [message("before"), message("PLANTED " * 500), message("after")]
    store.commit(appending(context, *said))
    return said[1].id


def test_it_is_unfinished_until_its_end_is_told(store: Store, context: str, secret: str) -> None:
    done = operation(context, "forget")
    erased = store.forget(context, secret, done)
    assert store.unfinished_erasures() == [Erasure(done.id, context, erased)]
    store.end_erasure(done.id)
    assert store.unfinished_erasures() == []


def test_what_is_being_erased_is_known_from_the_commit_to_the_end(store: Store, context: str, secret: str) -> None:
    done = operation(context, "forget")
    erased = store.forget(context, secret, done)
    assert store.being_erased(context) == erased
    assert store.being_erased(new_id()) == frozenset()
    store.end_erasure(done.id)
    assert store.being_erased(context) == frozenset()


def test_what_was_noted_and_not_committed_is_not_being_erased(
    store: Store, folder: StorageFolder, context: str, secret: str
) -> None:
    erasure.note(folder, Erasure(new_id(), context, frozenset({secret})))
    assert store.being_erased(context) == frozenset()


def test_one_killed_after_its_commit_is_brought_to_its_end(
    store: Store, folder: StorageFolder, context: str, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = operation(context, "forget")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(erasure, "remove_remnants", killed)
        store.forget(context, secret, done)
    assert b"PLANTED" in on_disk(folder)
    other = open_store(folder).store
    [unfinished] = other.unfinished_erasures()
    assert other.resume_erasure(unfinished)
    other.end_erasure(unfinished.id)
    left = on_disk(folder)
    assert (b"PLANTED" in left, secret.encode() in left, b"before" in left) == (False, False, True)
    assert other.check() == []
    other.close()


def test_one_killed_before_its_commit_has_erased_nothing(
    store: Store, folder: StorageFolder, context: str, secret: str
) -> None:
    unfinished = Erasure(new_id(), context, frozenset({secret}))
    erasure.note(folder, unfinished)
    before = store.history(context, None, 10)
    assert not store.resume_erasure(unfinished)
    assert store.history(context, None, 10) == before
    store.end_erasure(unfinished.id)
    assert store.unfinished_erasures() == []


def test_nothing_is_erased_where_that_can_not_be_noted(
    store: Store, context: str, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "write_durably", failing(errno.ENOSPC))
    with pytest.raises(StoreFull, match="nothing was erased"):
        store.forget(context, secret, operation(context, "forget"))
    with pytest.raises(StoreFull, match="nothing was erased"):
        store.delete(context)
    assert len(store.history(context, None, 10)[0]) == 3


def test_it_stays_unfinished_while_copies_are_left(
    store: Store, context: str, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = operation(context, "forget")
    with monkeypatch.context() as patch:
        patch.setattr(erasure, "remove_remnants", lambda _: False)
        store.forget(context, secret, done)
    store.end_erasure(done.id)
    [unfinished] = store.unfinished_erasures()
    assert store.resume_erasure(unfinished)
    store.end_erasure(done.id)
    assert store.unfinished_erasures() == []


def test_a_context_that_was_deleted_is_brought_to_its_end_too(
    store: Store, folder: StorageFolder, context: str, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(erasure, "remove_remnants", killed)
        store.delete(context)
    assert b"PLANTED" in on_disk(folder)
    other = open_store(folder).store
    [unfinished] = other.unfinished_erasures()
    assert unfinished == Erasure(context, context)
    folder.lock(context).touch()
    assert other.resume_erasure(unfinished)
    other.end_erasure(unfinished.id)
    left = on_disk(folder)
    assert (b"PLANTED" in left, secret.encode() in left) == (False, False)
    assert not folder.lock(context).exists()
    other.close()


def test_a_context_that_was_not_deleted_is_left_alone(store: Store, folder: StorageFolder, context: str) -> None:
    unfinished = Erasure(context, context)
    erasure.note(folder, unfinished)
    assert not store.resume_erasure(unfinished)
    assert store.context(context) is not None


def test_a_context_deleted_to_its_end_leaves_no_note(store: Store) -> None:
    made = record("side")
    store.create(made, operation(made.id, "open"))
    store.delete(made.id)
    assert store.unfinished_erasures() == []


@pytest.mark.parametrize(
    "content", ["", "{}", "[1]", '{"contextId": "../..", "messageIds": []}', '{"contextId": 1, "messageIds": [2]}']
)
def test_a_note_that_can_not_be_read_is_told_and_stays(
    store: Store, folder: StorageFolder, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    note = folder.erasures / f"{new_id()}.json"
    note.write_text(content)
    with caplog.at_level(logging.WARNING):
        assert store.unfinished_erasures() == []
    assert "can't be read" in caplog.text
    assert note.exists()


def test_drafts_of_killed_processes_are_swept(store: Store, folder: StorageFolder) -> None:
    abandoned = folder.erasures / f"{new_id()}.json.4194305-1.tmp"
    own = folder.erasures / f"{new_id()}.json.{os.getpid()}-1.tmp"
    for draft in (abandoned, own):
        draft.touch()
    assert store.unfinished_erasures() == []
    assert [abandoned.exists(), own.exists()] == [False, True]
