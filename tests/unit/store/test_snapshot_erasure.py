"""What a person wants gone is gone from the snapshots, and nothing else is."""

from __future__ import annotations

import errno
import os

import attrs
import pytest

from support.failing_disk import break_disk
from support.snapshot_values import everything, forged, forged_packed, names, put, snapshot, trees_of
from support.store_values import message, new_id
from ullage.errors import CorruptSnapshot, StoreFull, UnknownSnapshot
from ullage.store.folder import StorageFolder
from ullage.store.snapshot_files import SnapshotFiles
from ullage.store.snapshot_records import SnapshotContent


@pytest.fixture
def files(folder: StorageFolder) -> SnapshotFiles:
    return SnapshotFiles(folder)


@pytest.fixture
def context_id() -> str:
    return new_id()


class TestErasing:
    def test_delete_removes_the_file_and_nothing_else(self, files: SnapshotFiles, context_id: str) -> None:
        first, second = snapshot(context_id), snapshot(context_id)
        files.write(*first)
        files.write(*second)
        files.delete(first[0].id)
        assert names(files) == [f"{context_id}/{second[0].id}.json"]
        with pytest.raises(UnknownSnapshot):
            files.delete(first[0].id)

    def test_delete_removes_copies_that_were_set_aside(self, files: SnapshotFiles, context_id: str) -> None:
        path = put(files, context_id, b"damaged")
        files.listing()
        files.delete(path.stem)
        assert names(files) == []

    def test_erasing_a_context_leaves_nothing_of_it_and_all_of_others(
        self, files: SnapshotFiles, context_id: str
    ) -> None:
        other = snapshot(new_id())
        files.write(*other)
        files.write(*snapshot(context_id))
        folder = put(files, context_id, b"damaged").parent
        files.listing()
        (folder / f"{new_id()}.json.1-1.tmp").write_text("half a snapshot")
        files.erase_context(context_id)
        assert not folder.exists()
        assert [each.header for each in files.listing().snapshots] == [other[0]]
        files.erase_context(context_id)


class TestForgetting:
    def test_the_message_is_gone_from_every_snapshot_and_the_rest_stays(
        self, files: SnapshotFiles, context_id: str
    ) -> None:
        content = everything()
        secret = content.messages[2]
        holding = [snapshot(context_id, content), snapshot(new_id(), content)]
        untouched = snapshot(context_id)
        for each in (*holding, untouched):
            files.write(*each)
        before = files.folder.snapshot(context_id, untouched[0].id).stat()
        files.forget(context_id, [secret.id])
        for made, _ in holding:
            found, read = files.read(made.context_id, made.id)
            assert read == content.without([secret.id])
            assert found == attrs.evolve(made, messages=made.messages - 1)
        assert files.folder.snapshot(context_id, untouched[0].id).stat() == before

    def test_a_summary_that_quotes_it_becomes_another(self, files: SnapshotFiles, context_id: str) -> None:
        said = (message("The first question"), message("My password  is hunter2, and " + "so on " * 100))
        made, content = snapshot(context_id, SnapshotContent(said), summary="My password is hunter2, and so…")
        files.write(made, content)
        files.forget(context_id, [said[1].id])
        [listed] = files.listing().snapshots
        assert listed.header.summary == "The first question"
        assert b"hunter2" not in files.folder.snapshot(context_id, made.id).read_bytes()

    def test_copies_set_aside_go_where_they_hold_it_and_stay_where_they_don_t(
        self, files: SnapshotFiles, context_id: str
    ) -> None:
        content = everything()
        for owner, said in ((context_id, content), (new_id(), content), (context_id, None), (new_id(), None)):
            made, kept = snapshot(owner, said)
            files.write(made, kept)
            path = files.folder.snapshot(owner, made.id)
            path.write_bytes(path.read_bytes().replace(b"What", b"Whet"))
        files.listing()
        assert len(names(files)) == 4
        files.forget(context_id, [content.messages[0].id])
        assert len(names(files)) == 2

    def test_an_own_copy_that_tells_nothing_goes_and_a_stranger_s_stays(
        self, files: SnapshotFiles, context_id: str
    ) -> None:
        put(files, context_id, b"nobody can tell what this was")
        stranger = put(files, new_id(), b"nobody can tell what this was")
        files.listing()
        files.forget(context_id, [new_id()])
        assert names(files) == [f"{stranger.parent.name}/{stranger.name}.broken"]

    def test_a_damaged_file_that_holds_it_goes_although_nobody_knew_of_the_damage(
        self, files: SnapshotFiles, context_id: str
    ) -> None:
        made, content = snapshot(context_id)
        files.write(made, content)
        path = files.folder.snapshot(context_id, made.id)
        path.write_bytes(path.read_bytes()[:-100])
        files.forget(context_id, [content.messages[0].id])
        assert names(files) == []

    def test_a_forged_file_of_the_context_that_can_t_be_unpacked_goes(
        self, files: SnapshotFiles, context_id: str
    ) -> None:
        tree, _ = trees_of(*snapshot(context_id))
        put(files, context_id, forged_packed({**tree, "contentBytes": 10}, b"not zstd"), str(tree["id"]))
        files.forget(context_id, [new_id()])
        assert names(files) == []

    def test_drafts_of_killed_processes_go_and_those_of_others_stay(
        self, files: SnapshotFiles, context_id: str
    ) -> None:
        files.write(*snapshot(context_id))
        folder = files.folder.snapshots_of(context_id)
        living, killed = (folder / f"{new_id()}.json.{pid}-1.tmp" for pid in (os.getpid(), 2**31 - 5))
        for draft in (living, killed):
            draft.touch()
        files.forget(context_id, [new_id()])
        assert (living.exists(), killed.exists()) == (True, False)

    def test_one_that_can_t_be_read_is_told_when_the_others_are_done(
        self, files: SnapshotFiles, context_id: str
    ) -> None:
        content = everything()
        tree, lines = trees_of(*snapshot(context_id, content))
        put(files, context_id, forged({**tree, "version": 2}, lines), str(tree["id"]))
        made, _ = snapshot(context_id, content)
        files.write(made, content)
        with pytest.raises(CorruptSnapshot, match="newer version"):
            files.forget(context_id, [content.messages[0].id])
        assert files.read(context_id, made.id)[1] == content.without([content.messages[0].id])

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
    def test_a_full_disk_leaves_the_snapshot_as_it_was(
        self, files: SnapshotFiles, context_id: str, code: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made, content = snapshot(context_id)
        files.write(made, content)
        with monkeypatch.context() as patch:
            break_disk(patch, "write", code)
            with pytest.raises(StoreFull):
                files.forget(context_id, [content.messages[0].id])
        assert files.read(context_id, made.id) == (made, content)
        assert len(names(files)) == 1
