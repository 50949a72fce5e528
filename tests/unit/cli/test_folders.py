"""Which contexts belong to a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from ullage.cli.folders import absolute, contexts_of, folder_of, named


def context(uri: str, name: str = "main", used: int = 0) -> dict[str, object]:
    return {"workspaceUri": uri, "name": name, "lastUsedAt": used}


@pytest.mark.parametrize("spelling", ["{uri}", "{uri}/", "{uri}/../my%20harbour"])
def test_a_folder_is_found_however_its_uri_is_spelled(spelling: str, tmp_path: Path) -> None:
    folder = tmp_path.resolve() / "my harbour"
    found = context(spelling.format(uri=folder.as_uri()))
    assert contexts_of([found], folder) == [found]


def test_a_folder_is_found_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    found = context((tmp_path / "link").as_uri())
    assert contexts_of([found], absolute(tmp_path / "real")) == [found]


def test_the_context_used_last_comes_first(tmp_path: Path) -> None:
    uri = tmp_path.as_uri()
    contexts = [context(uri, "old", 1), context(uri, "new", 2), context(uri + "/inside", "other", 3)]
    assert [c["name"] for c in contexts_of(contexts, absolute(tmp_path))] == ["new", "old"]


def test_other_schemes_name_no_folder() -> None:
    assert folder_of("vscode-remote://host/harbour") is None


def test_a_context_is_found_by_its_name() -> None:
    contexts = [context("file:///a", "main"), context("file:///a", "night")]
    assert named(contexts, "night") == contexts[1]
    assert named(contexts, "day") is None
