"""Files of settings: when they are read, and which are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ullage.app import settings_file
from ullage.app.settings_file import SettingsFile, workspace_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def of(folder: Path) -> SettingsFile:
    file = workspace_file(folder.as_uri())
    assert file is not None
    file.refresh()
    return file


def reason(file: SettingsFile) -> str:
    assert file.tree is None
    assert file.problem is not None
    assert file.problem.source == "workspace file"
    assert file.problem.place == str(file.path)
    return file.problem.reason


def test_a_folders_file_lies_at_its_root(folder: Path) -> None:
    (folder / ".ullage.yaml").write_text("context: {minSize: 300}")
    assert of(folder).tree == {"context": {"minSize": 300}}


def test_a_folder_without_a_file_is_no_problem(folder: Path) -> None:
    file = of(folder)
    assert (file.tree, file.problem) == (None, None)


@pytest.mark.parametrize(
    "uri",
    ["vscode-remote://ssh/home/me", "untitled:x", "file://elsewhere/home/me", "file:relative", "http://[", "nonsense"],
)
def test_what_is_no_folder_of_this_machine_has_no_file(uri: str) -> None:
    assert workspace_file(uri) is None


def test_a_folder_with_blanks_and_bytes_in_its_name_is_found(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"a b \xe9 %41")
    folder.mkdir()
    (folder / ".ullage.yaml").write_text("a: 1")
    file = of(folder)
    assert file.tree == {"a": 1}
    assert file.place is not None
    file.place.encode()


def test_a_link_inside_of_the_folder_is_followed(folder: Path) -> None:
    (folder / "settings.yaml").write_text("a: 1")
    (folder / ".ullage.yaml").symlink_to("settings.yaml")
    assert of(folder).tree == {"a": 1}


def test_a_link_out_of_the_folder_is_not_followed(folder: Path) -> None:
    (folder.parent / "secret.yaml").write_text("password: swordfish")
    (folder / ".ullage.yaml").symlink_to("../secret.yaml")
    assert reason(of(folder)) == "it is a link that leads out of the folder; its settings are not in force"


def test_a_link_through_a_linked_folder_is_not_followed(folder: Path) -> None:
    (folder.parent / "secret.yaml").write_text("password: swordfish")
    (folder / "in").symlink_to("..")
    (folder / ".ullage.yaml").symlink_to("in/secret.yaml")
    assert "leads out" in reason(of(folder))


def test_a_neighbour_whose_name_begins_alike_is_outside(folder: Path) -> None:
    neighbour = folder.with_name("project-two")
    neighbour.mkdir()
    (neighbour / "x.yaml").write_text("a: 1")
    (folder / ".ullage.yaml").symlink_to("../project-two/x.yaml")
    assert "leads out" in reason(of(folder))


def test_a_folder_that_is_itself_a_link_is_its_target(folder: Path) -> None:
    (folder / ".ullage.yaml").write_text("a: 1")
    (folder.parent / "link").symlink_to("project")
    assert of(folder.parent / "link").tree == {"a": 1}


def test_a_link_in_a_circle_is_a_problem(folder: Path) -> None:
    (folder / ".ullage.yaml").symlink_to(".ullage.yaml")
    assert "can't be read" in reason(of(folder))


def test_a_pipe_keeps_nobody_waiting(folder: Path) -> None:
    os.mkfifo(folder / ".ullage.yaml")
    assert "no plain file" in reason(of(folder))


def test_a_folder_in_the_files_place_is_a_problem(folder: Path) -> None:
    (folder / ".ullage.yaml").mkdir()
    assert "no plain file" in reason(of(folder))


def test_of_a_large_file_no_more_is_read_than_the_bound(folder: Path) -> None:
    with (folder / ".ullage.yaml").open("wb") as file:
        file.truncate(2**40)
    assert "over 1 MiB" in reason(of(folder))


def test_bad_yaml_is_told_with_its_line(folder: Path) -> None:
    (folder / ".ullage.yaml").write_text("a: 1\nb: [\n")
    assert reason(of(folder)).startswith("the file is not valid YAML, line ")


def test_a_file_is_read_again_when_it_has_changed_and_not_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / ".ullage.yaml"
    path.write_text("a: 1")
    file = of(folder)
    monkeypatch.setattr(settings_file, "SETTLED_NS", 0)
    assert not file.refresh()
    opened: list[bytes] = []

    def counted(content: bytes) -> object:
        opened.append(content)
        return {"a": 2}

    monkeypatch.setattr(settings_file, "tree_of", counted)
    assert not file.refresh()
    assert opened == []
    path.write_text("a: 22")
    assert file.refresh()
    assert (file.tree, len(opened)) == ({"a": 2}, 1)


def test_a_file_that_changes_within_a_tick_of_the_clock_is_not_missed(folder: Path) -> None:
    path = folder / ".ullage.yaml"
    path.write_text("a: 1")
    file = of(folder)
    told = path.stat()
    path.write_text("a: 2")
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))
    file._stamp = settings_file._stamp_of(path)
    assert file.refresh()
    assert file.tree == {"a": 2}


def test_a_file_that_comes_and_goes_is_noticed(folder: Path) -> None:
    file = of(folder)
    path = folder / ".ullage.yaml"
    path.write_text("a: 1")
    assert file.refresh()
    path.unlink()
    assert file.refresh()
    assert (file.tree, file.problem) == (None, None)
    assert not file.refresh()


def test_a_file_written_anew_in_another_form_has_not_changed(folder: Path) -> None:
    path = folder / ".ullage.yaml"
    path.write_text("a: 1")
    file = of(folder)
    path.write_text("# a comment\na:   1\n")
    assert not file.refresh()


def test_the_persons_own_file_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "dotfiles.yaml").write_text("a: 1")
    (tmp_path / "config.yaml").symlink_to("dotfiles.yaml")
    file = SettingsFile(tmp_path / "config.yaml", "user file")
    assert file.refresh()
    assert file.tree == {"a": 1}
