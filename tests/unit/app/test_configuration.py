"""Where settings come from, and what becomes of bad ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from ullage.app.configuration import Configuration, read_user_file


@pytest.fixture(autouse=True)
def no_file_of_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "config.yaml"
    monkeypatch.setattr("ullage.app.configuration.user_file", lambda: file)
    return file


def test_stronger_sources_lie_over_weaker_ones(no_file_of_a_person: Path) -> None:
    no_file_of_a_person.write_text("context: {targetSize: 1000, minSize: 500, vramBuffer: 100}\n")
    configuration = Configuration(environment={"ULLAGE_CONTEXT_SIZE": "3000"})
    configuration.start({"context": {"targetSize": 2000, "minSize": 600}})
    context = configuration.settings.context
    assert (context.target_size, context.min_size, context.vram_buffer) == (3000, 600, 100)
    origins = configuration.resolved.origins
    assert origins["context.targetSize"] == "environment"
    assert origins["context.minSize"] == "editor"
    assert origins["context.vramBuffer"] == "user file"


def test_a_bad_value_is_reported_and_the_next_lower_source_is_used(no_file_of_a_person: Path) -> None:
    no_file_of_a_person.write_text("context: {targetSize: 1000}\n")
    configuration = Configuration(environment={})
    configuration.start({"context": {"targetSize": "many"}})
    assert configuration.settings.context.target_size == 1000
    [problem] = configuration.resolved.problems
    assert (problem.path, problem.source) == ("context.targetSize", "editor")


def test_what_nobody_has_set_an_editor_sends_as_null() -> None:
    configuration = Configuration(environment={})
    configuration.start({"context": {"targetSize": None, "compression": {"threshold": None}}})
    assert configuration.resolved.problems == ()


def test_a_change_of_the_editors_settings_replaces_the_one_before() -> None:
    configuration = Configuration(environment={})
    configuration.start({"context": {"minSize": 300}})
    configuration.change({"context": {"targetSize": 1000}})
    configuration.change({"context": {"vramBuffer": 1}})
    context = configuration.settings.context
    assert (context.min_size, context.target_size, context.vram_buffer) == (300, 16384, 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"context: [", "not valid YAML"),
        (b"\xff\xfe\x00", "not valid YAML"),
        (b"- a list", "table of settings"),
        (b"just words", "table of settings"),
        (b"x" * (2**20 + 1), "over 1 MiB"),
        (b"a: &a [*a]" + b"[" * 5000, "not valid YAML"),
    ],
)
def test_a_file_that_is_no_settings_is_a_problem_and_no_error(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    tree, [problem] = read_user_file(file)
    assert tree == {}
    assert reason in problem.reason


def test_a_folder_in_the_files_place_is_a_problem(tmp_path: Path) -> None:
    tree, [problem] = read_user_file(tmp_path)
    assert tree == {}
    assert "can't be read" in problem.reason
