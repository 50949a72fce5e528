"""Snapshot files: what is written comes back to the bit, or is not taken for it."""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.failing_disk import STEPS, break_disk, failing
from support.snapshot_values import everything, file_of, forged, names, put, snapshot, talk, trees_of
from support.store_values import message, new_id
from ullage.errors import CorruptSnapshot, InvalidArgument, StoreFull, UnknownContext, UnknownSnapshot
from ullage.store import snapshot_files, snapshot_format
from ullage.store.folder import StorageFolder
from ullage.store.snapshot_files import SnapshotFiles
from ullage.store.snapshot_format import Damaged, scan
from ullage.store.snapshot_records import SnapshotContent


@pytest.fixture
def files(folder: StorageFolder) -> SnapshotFiles:
    return SnapshotFiles(folder)


@pytest.fixture
def context_id() -> str:
    return new_id()


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


class TestRoundTrip:
    def test_every_kind_of_message_and_mark_comes_back(self, files: SnapshotFiles, context_id: str) -> None:
        made, content = snapshot(context_id, everything())
        files.write(made, content)
        assert files.read(context_id, made.id) == (made, content)

    def test_an_empty_window_comes_back(self, files: SnapshotFiles, context_id: str) -> None:
        made, content = snapshot(context_id, SnapshotContent(()))
        files.write(made, content)
        assert files.read(context_id, made.id) == (made, content)

    def test_a_message_that_runs_over_many_slices_comes_back(self, files: SnapshotFiles, context_id: str) -> None:
        long = "".join(map(chr, range(32, 1000))) * 2000
        made, content = snapshot(context_id, SnapshotContent((message(long), message("x"))))
        files.write(made, content)
        assert files.read(context_id, made.id) == (made, content)

    def test_100_000_messages_come_back_byte_for_byte(self, files: SnapshotFiles, context_id: str) -> None:
        made, content = snapshot(context_id, SnapshotContent(talk(100_000, "one of a hundred thousand, number ")))
        files.write(made, content)
        found, read = files.read(context_id, made.id)
        assert found == made
        assert read.messages == content.messages
        assert file_of(found, read) == files.folder.snapshot(context_id, made.id).read_bytes()

    def test_the_file_is_json_that_a_person_can_read(self, files: SnapshotFiles, context_id: str) -> None:
        made, content = snapshot(context_id)
        files.write(made, content)
        tree = json.loads(files.folder.snapshot(context_id, made.id).read_text())
        assert {key: tree[key] for key in list(tree)[:9]} == {
            "format": "ullage snapshot",
            "version": 1,
            "id": made.id,
            "contextId": context_id,
            "createdAt": made.created_at,
            "tokens": 12,
            "messages": 6,
            "summary": "What is this?",
            "trigger": "manual",
        }
        assert tree["metadata"] == {"model": "model", "contextSize": 4096, "compressionRatio": 0.5}
        assert list(tree)[-3:] == ["contentBytes", "content", "checksum"]


class TestDamage:
    def test_a_damaged_file_is_set_aside_and_kept(self, files: SnapshotFiles, context_id: str) -> None:
        made, content = snapshot(context_id)
        files.write(made, content)
        path = files.folder.snapshot(context_id, made.id)
        raw = path.read_bytes().replace(b"What is this?", b"What is that?")
        path.write_bytes(raw)
        with pytest.raises(CorruptSnapshot, match="checksum"):
            files.read(context_id, made.id)
        assert names(files) == [f"{context_id}/{made.id}.json.broken"]
        assert path.with_name(path.name + ".broken").read_bytes() == raw

    def test_a_second_damaged_file_does_not_take_the_place_of_the_first(
        self, files: SnapshotFiles, context_id: str
    ) -> None:
        id_ = new_id()
        for raw in (b"one", b"two"):
            put(files, context_id, raw, id_)
            files.listing()
        folder = files.folder.snapshots_of(context_id)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
            f"{id_}.json.broken": b"one",
            f"{id_}.json.broken-2": b"two",
        }

    def test_what_was_set_aside_is_told_in_every_list_and_beside_the_others(
        self, files: SnapshotFiles, context_id: str
    ) -> None:
        made, content = snapshot(context_id)
        files.write(made, content)
        broken = put(files, context_id, b"{}")
        for reader in (files, files, SnapshotFiles(files.folder)):
            listing = reader.listing(context_id)
            assert [each.header for each in listing.snapshots] == [made]
            assert [each.name for each in listing.unreadable] == [f"snapshots/{context_id}/{broken.name}.broken"]

    def test_a_whole_file_that_has_taken_the_place_of_a_damaged_one_stays(
        self, files: SnapshotFiles, context_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made, content = snapshot(context_id)
        path = put(files, context_id, b"damaged", made.id)

        def mended_meanwhile(*_: Any) -> Any:
            path.unlink()
            SnapshotFiles(files.folder).write(made, content)
            raise Damaged("it was")

        with monkeypatch.context() as patch:
            patch.setattr(snapshot_files, "scan", mended_meanwhile)
            with pytest.raises(CorruptSnapshot):
                files.read(context_id, made.id)
        assert files.read(context_id, made.id) == (made, content)


class TestWhatIsNotDamaged:
    def test_a_newer_version_is_told_and_left_where_it_is(self, files: SnapshotFiles, context_id: str) -> None:
        tree, lines = trees_of(*snapshot(context_id))
        path = put(files, context_id, forged({**tree, "version": 2, "more": {}}, lines), str(tree["id"]))
        with pytest.raises(CorruptSnapshot, match="newer version"):
            files.read(context_id, str(tree["id"]))
        [unreadable] = files.listing().unreadable
        assert "newer version" in unreadable.reason
        assert path.is_file()

    @pytest.mark.parametrize("other_context", [True, False])
    def test_a_file_under_another_name_than_its_own_is_refused_and_left(
        self, files: SnapshotFiles, context_id: str, other_context: bool
    ) -> None:
        made, content = snapshot(context_id)
        files.write(made, content)
        place = (new_id(), made.id) if other_context else (context_id, new_id())
        path = put(files, place[0], files.folder.snapshot(context_id, made.id).read_bytes(), place[1])
        with pytest.raises(CorruptSnapshot, match="another snapshot"):
            files.read(*place)
        assert path.is_file()
        assert [each.header for each in files.listing().snapshots] == [made]
        assert files.find(made.id) == context_id

    def test_a_file_that_may_not_be_read_now_is_left_and_read_later(
        self, files: SnapshotFiles, context_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made, content = snapshot(context_id)
        files.write(made, content)
        later = SnapshotFiles(files.folder)
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", failing(errno.EACCES))
            [unreadable] = later.listing().unreadable
            assert "Permission denied" in unreadable.reason
            with pytest.raises(CorruptSnapshot, match="can't be read now"):
                later.read(context_id, made.id)
        assert later.read(context_id, made.id) == (made, content)
        assert [each.header for each in later.listing().snapshots] == [made]

    def test_a_disk_that_fails_while_it_reads_leaves_the_file(
        self, files: SnapshotFiles, context_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made, content = snapshot(context_id)
        files.write(made, content)
        with monkeypatch.context() as patch:
            patch.setattr(snapshot_files, "decode", failing(errno.EIO))
            with pytest.raises(CorruptSnapshot, match="can't be read now"):
                files.read(context_id, made.id)
        assert files.read(context_id, made.id) == (made, content)

    def test_other_files_in_the_folder_are_none_of_its_business(self, files: SnapshotFiles, context_id: str) -> None:
        folder = put(files, context_id, b"x").parent
        files.listing()
        before = {"notes.txt", "x.json", f"{new_id()}.json.5-1.tmp", ".hidden"}
        for name in before:
            (folder / name).write_text("somebody's")
        (files.folder.snapshots / "not a context").mkdir()
        listing = files.listing()
        assert (listing.snapshots, len(listing.unreadable)) == ((), 1)
        assert before <= {path.name for path in folder.iterdir()}


class TestWriting:
    @pytest.mark.usefixtures("no_umask")
    def test_folders_are_0700_and_files_0600(self, files: SnapshotFiles, context_id: str) -> None:
        files.write(*snapshot(context_id))
        found = [files.folder.snapshots, *files.folder.snapshots.rglob("*")]
        modes = [stat.S_IMODE(path.stat().st_mode) for path in found]
        assert modes == [0o700, 0o700, 0o600]

    def test_the_file_is_synced_before_it_is_named_and_its_folder_after(
        self, files: SnapshotFiles, context_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files.write(*snapshot(context_id))
        steps: list[str] = []
        real_sync, real_replace = os.fsync, Path.replace

        def sync(descriptor: int) -> None:
            steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
            real_sync(descriptor)

        def replace(self: Path, target: Path) -> Path:
            steps.append("rename")
            return real_replace(self, target)

        monkeypatch.setattr(os, "fsync", sync)
        monkeypatch.setattr(Path, "replace", replace)
        files.write(*snapshot(context_id))
        assert steps == ["file", "rename", "folder"]

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
    @pytest.mark.parametrize("step", STEPS)
    def test_a_disk_that_refuses_leaves_nothing_and_touches_nothing_else(
        self, files: SnapshotFiles, context_id: str, step: str, code: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept, content = snapshot(context_id)
        files.write(kept, content)
        before = names(files)
        places = [new_id()] if step == "mkdir" else [context_id, new_id()]  # a folder that is there is not made
        for place in places:
            with monkeypatch.context() as patch:
                break_disk(patch, step, code)
                with pytest.raises(StoreFull):
                    files.write(*snapshot(place))
        assert names(files) == before
        assert files.read(context_id, kept.id) == (kept, content)
        files.write(*snapshot(context_id))

    @pytest.mark.parametrize("limit", ["LARGEST_CONTENT_BYTES", "MOST_MESSAGES", "LARGEST_HEAD_BYTES"])
    def test_a_window_over_the_quota_is_refused(
        self, files: SnapshotFiles, context_id: str, limit: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(snapshot_format, limit, 5)
        with pytest.raises(StoreFull, match="too large"):
            files.write(*snapshot(context_id))
        assert not files.folder.snapshots.exists()

    def test_a_file_over_the_quota_is_not_read(
        self, files: SnapshotFiles, context_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made, content = snapshot(context_id)
        files.write(made, content)
        monkeypatch.setattr(snapshot_format, "LARGEST_FILE_BYTES", 100)
        with pytest.raises(CorruptSnapshot, match="larger"):
            files.read(context_id, made.id)

    def test_drafts_of_killed_processes_go_with_a_process_s_first_snapshot(
        self, files: SnapshotFiles, context_id: str
    ) -> None:
        folder = files.folder.snapshots_of(context_id)
        folder.mkdir(parents=True)
        living, killed, forgotten = (folder / f"{new_id()}.json.{pid}-1.tmp" for pid in (os.getpid(), 2**31 - 5, 1))
        for draft in (living, killed, forgotten):
            draft.touch()
        os.utime(forgotten, (time.time() - 3700,) * 2)
        files.write(*snapshot(context_id))
        assert [draft.exists() for draft in (living, killed, forgotten)] == [True, False, False]

    def test_what_a_snapshot_costs_does_not_grow_with_their_number(
        self, files: SnapshotFiles, context_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files.write(*snapshot(context_id))
        monkeypatch.setattr(os, "listdir", lambda _: pytest.fail("looked at every file"))
        files.write(*snapshot(context_id))


class TestLinks:
    def test_a_snapshot_that_is_a_link_is_refused_and_what_it_points_to_untouched(
        self, files: SnapshotFiles, context_id: str, tmp_path: Path
    ) -> None:
        made, content = snapshot(context_id)
        files.write(made, content)
        path = files.folder.snapshot(context_id, made.id)
        target = path.rename(tmp_path / "elsewhere.json")
        path.symlink_to(target)
        with pytest.raises(CorruptSnapshot, match="link"):
            files.read(context_id, made.id)
        assert [each.name for each in files.listing().unreadable] == [f"snapshots/{context_id}/{path.name}"]
        files.delete(made.id)
        assert target.is_file()
        assert not path.is_symlink()

    @pytest.mark.parametrize("level", ["snapshots", "context"])
    def test_nothing_is_written_or_read_through_a_folder_that_is_a_link(
        self, files: SnapshotFiles, context_id: str, tmp_path: Path, level: str
    ) -> None:
        elsewhere = tmp_path / "elsewhere"
        inside = elsewhere / context_id if level == "snapshots" else elsewhere
        inside.mkdir(parents=True)
        made, content = snapshot(context_id)
        (inside / f"{made.id}.json").write_bytes(file_of(made, content))
        if level == "context":
            files.folder.snapshots.mkdir()
        link = files.folder.snapshots if level == "snapshots" else files.folder.snapshots_of(context_id)
        link.symlink_to(elsewhere)
        before = sorted(elsewhere.rglob("*"))
        assert files.listing().snapshots == ()
        assert ["link" in each.reason for each in files.listing().unreadable] == [True]
        with pytest.raises(InvalidArgument):
            files.write(*snapshot(context_id))
        for use in (files.find, files.delete, lambda id_: files.read(context_id, id_)):
            with pytest.raises(CorruptSnapshot, match="link"):
                use(made.id)
        with pytest.raises(CorruptSnapshot, match="link"):
            files.forget(context_id, [content.messages[0].id])
        with pytest.raises(CorruptSnapshot, match="link"):
            files.erase_context(context_id)
        assert sorted(elsewhere.rglob("*")) == before

    @pytest.mark.parametrize("hostile", ["", "..", "../../x", "/etc/passwd", "CON", "\0" * 26, "x" * 100_000])
    def test_only_ids_become_part_of_a_path(self, files: SnapshotFiles, context_id: str, hostile: str) -> None:
        files.write(*snapshot(context_id))
        before = sorted(files.folder.root.parent.rglob("*"))
        for use in (files.find, files.delete, lambda id_: files.read(context_id, id_)):
            with pytest.raises(UnknownSnapshot):
                use(hostile)
        for refuse in (files.listing, files.erase_context, lambda id_: files.read(id_, new_id())):
            with pytest.raises(UnknownContext):
                refuse(hostile)
        assert sorted(files.folder.root.parent.rglob("*")) == before


class TestListing:
    def test_snapshots_come_in_the_order_of_their_making(self, files: SnapshotFiles) -> None:
        made = [snapshot(new_id(), created_at=at) for at in (5, 1, 3)]
        for each in made:
            files.write(*each)
        assert [each.header.created_at for each in files.listing().snapshots] == [1, 3, 5]

    def test_a_context_s_list_has_its_own_only_with_the_size_of_the_file(
        self, files: SnapshotFiles, context_id: str
    ) -> None:
        made, content = snapshot(context_id)
        files.write(made, content)
        files.write(*snapshot(new_id()))
        [listed] = files.listing(context_id).snapshots
        assert listed.header == made
        assert listed.size_bytes == files.folder.snapshot(context_id, made.id).stat().st_size

    def test_a_file_is_read_once_as_long_as_it_stays_the_same(
        self, files: SnapshotFiles, context_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made, content = snapshot(context_id)
        files.write(made, content)
        scans: list[int] = []

        def counting(file: Any, size: int) -> Any:
            scans.append(size)
            return scan(file, size)

        monkeypatch.setattr(snapshot_files, "scan", counting)
        fresh = SnapshotFiles(files.folder)
        for reader in (files, fresh, fresh):
            assert [each.header for each in reader.listing().snapshots] == [made]
        assert len(scans) == 1
        os.utime(files.folder.snapshot(context_id, made.id), ns=(1, 1))
        fresh.listing()
        assert len(scans) == 2

    def test_a_folder_that_can_t_be_read_keeps_no_other_from_being_listed(
        self, files: SnapshotFiles, tmp_path: Path
    ) -> None:
        link, other = sorted([new_id(), new_id()])
        made, content = snapshot(other)
        files.write(made, content)
        files.folder.snapshots_of(link).symlink_to(tmp_path)
        listing = files.listing()
        assert [each.header for each in listing.snapshots] == [made]
        assert [each.name for each in listing.unreadable] == [f"snapshots/{link}"]

    def test_what_another_process_did_is_seen(self, files: SnapshotFiles, context_id: str) -> None:
        other = SnapshotFiles(files.folder)
        first, second = snapshot(context_id), snapshot(context_id)
        files.write(*first)
        other.listing()
        files.write(*second)
        files.discard(context_id, first[0].id)
        assert [each.header for each in other.listing().snapshots] == [second[0]]
