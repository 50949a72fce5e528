from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.store_values import new_id, operation, record
from ullage.errors import InvalidArgument, StoreFull, UnknownContext
from ullage.store.folder import StorageFolder, make_private, open_folder, read_small, write_atomically
from ullage.store.locks import ContextLocks
from ullage.store.opening import open_store

HOSTILE_IDS = [
    "",
    ".",
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\Windows\\system32",
    "CON",
    "NUL.lock",
    "01ARZ3NDEKTSV4RRFFQ69G5FA",
    "01ARZ3NDEKTSV4RRFFQ69G5FAVX",
    "01arz3ndektsv4rrffq69g5fav",
    "01ARZ3NDEKTSV4RRFFQ69G5FA/",
    "01ARZ3NDEKTSV4RRFFQ69G5FA\n",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV\n",
    "01ARZ3NDEKTSV4RRFFQ69G5FA\0",
    "\0" * 26,
    "../../../../../../../..//aa",
    "０１ARZ3NDEKTSV4RRFFQ69G5FA",
    "x" * 100_000,
]


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("no_umask")
async def test_files_are_0600_and_folders_0700_while_the_store_is_in_use(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "storage")
    store = open_store(folder).store
    made = record()
    store.create(made, operation(made.id, "open"))
    locks = ContextLocks(folder, "Editor")
    await locks.lock(made.id).acquire()
    locks.request_takeover(new_id())
    modes = {path.name: mode(path) for path in [folder.root, *folder.root.rglob("*")]}
    folders = {"storage", "locks", "takeovers", "erasures"}
    assert {"store.db-wal", "store.db-shm"} <= modes.keys()
    assert modes == {name: 0o700 if name in folders else 0o600 for name in modes}
    locks.release_all()
    store.close()


def test_a_folder_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir(mode=0o755)
    assert mode(open_folder(tmp_path / "storage").root) == 0o700


def test_a_database_that_others_could_read_is_closed_to_them(folder: StorageFolder) -> None:
    open_store(folder).store.close()
    folder.database.chmod(0o644)
    open_store(folder).store.close()
    assert mode(folder.database) == 0o600


def test_the_platform_names_the_folder_where_nobody_else_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_data_dir", lambda name, appauthor: str(tmp_path / name))
    assert open_folder().root == (tmp_path / "ullage").resolve()


@pytest.mark.parametrize("name", ["a file", "a file/below", "\0", "dangling", "loop"])
def test_what_can_be_no_folder_is_refused_without_naming_its_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "a file").write_text("")
    (tmp_path / "dangling").symlink_to("/proc/nowhere/at/all")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InvalidArgument) as caught:
        open_folder(f"{tmp_path}/{name}")
    assert caught.value.path == "storageDirectory"
    assert str(tmp_path) not in caught.value.message


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_below_one_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InvalidArgument):
        open_folder(tmp_path / "storage")
    tmp_path.chmod(0o700)


def test_a_link_to_the_folder_is_the_persons_own_wish(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "storage").symlink_to(tmp_path / "elsewhere")
    assert open_folder(tmp_path / "storage").root == (tmp_path / "elsewhere").resolve()


def test_a_link_inside_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    (tmp_path / "storage" / "locks").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidArgument):
        open_folder(tmp_path / "storage")
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", ["store.db", "store.db-wal", "store.db-shm"])
def test_a_database_that_is_a_link_is_refused_and_its_target_untouched(folder: StorageFolder, name: str) -> None:
    target = folder.root.parent / "precious"
    target.write_text("untouched")
    (folder.root / name).symlink_to(target)
    with pytest.raises(InvalidArgument):
        open_store(folder)
    assert target.read_text() == "untouched"


@pytest.mark.parametrize("name", ["store.db", "store.db-wal", "store.lock"])
def test_a_folder_in_a_files_place_is_told_by_its_name(folder: StorageFolder, name: str) -> None:
    (folder.root / name).mkdir(mode=0o755)
    with pytest.raises(InvalidArgument, match=rf"^{name}, in the storage folder, ") as caught:
        open_store(folder)
    assert caught.value.path == "storageDirectory"
    assert mode(folder.root / name) == 0o755


@pytest.mark.parametrize("call", ["touch", "chmod"])
def test_files_that_can_not_be_made_are_told(folder: StorageFolder, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, call, refuse)
    with pytest.raises(StoreFull, match="permissions"):
        open_store(folder)


@pytest.mark.parametrize("hostile", HOSTILE_IDS)
def test_a_hostile_id_names_no_file(folder: StorageFolder, hostile: str) -> None:
    before = sorted(folder.root.parent.rglob("*"))
    locks = ContextLocks(folder, "Editor")
    for attempt in (locks.lock, locks.request_takeover, locks.try_acquire, locks.holder):
        with pytest.raises(UnknownContext):
            attempt(hostile)
    assert sorted(folder.root.parent.rglob("*")) == before


@pytest.mark.parametrize("hostile", HOSTILE_IDS)
def test_a_hostile_id_is_an_unknown_context_to_the_store(folder: StorageFolder, hostile: str) -> None:
    store = open_store(folder).store
    before = sorted(folder.root.parent.rglob("*"))
    for attempt in (store.window, store.pinned, store.delete):
        with pytest.raises(UnknownContext):
            attempt(hostile)
    assert store.context(hostile) is None
    assert sorted(folder.root.parent.rglob("*")) == before
    store.close()


def test_a_small_file_is_written_whole_over_a_link_and_not_through_it(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("untouched")
    (tmp_path / "file").symlink_to(tmp_path / "precious")
    write_atomically(tmp_path / "file", b"new")
    assert read_small(tmp_path / "file", 100) == b"new"
    assert (tmp_path / "precious").read_text() == "untouched"


def test_what_a_killed_process_left_of_a_small_file_does_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pid in (1, 2, 3):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(os, "getpid", lambda pid=pid: pid)
            patch.setattr(Path, "replace", killed)
            write_atomically(tmp_path / "file", b"new")
    assert len(list(tmp_path.iterdir())) == 1
    write_atomically(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_reading_a_small_file_follows_no_link_and_opens_no_pipe(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    os.mkfifo(tmp_path / "pipe")
    assert [read_small(tmp_path / name, 100) for name in ("link", "pipe", "nothing")] == [None, None, None]


def test_a_small_file_that_is_large_is_not_read_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10_000)
    assert read_small(tmp_path / "file", 100) == b"x" * 100


def test_what_stands_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "locks").write_text("")
    with pytest.raises(InvalidArgument):
        make_private(tmp_path / "locks")
