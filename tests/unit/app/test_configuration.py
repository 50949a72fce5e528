"""Where settings come from, and what becomes of bad ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from ullage.app.configuration import Configuration
from ullage.errors import InvalidArgument
from ullage.settings import Settings, resolve


@pytest.fixture(autouse=True)
def no_file_of_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "config.yaml"
    monkeypatch.setattr("ullage.app.configuration.user_file", lambda: file)
    return file


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    both = tmp_path / "a", tmp_path / "b"
    for folder in both:
        folder.mkdir()
    return both


def started(environment: dict[str, str] | None = None, options: object = None) -> Configuration:
    configuration = Configuration(environment=environment or {})
    configuration.start(options)
    return configuration


def say(folder: Path, text: str) -> str:
    """Write the folder's file; its URI."""
    (folder / ".ullage.yaml").write_text(text)
    return folder.as_uri()


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
        ("context: [", "not valid YAML"),
        ("- a list", "table of settings"),
        ("just words", "table of settings"),
        ("x" * (2**20 + 1), "over 1 MiB"),
        ("a: &a [*a]", "anchors"),
    ],
)
def test_a_persons_file_that_is_no_settings_is_a_problem_and_no_error(
    no_file_of_a_person: Path, content: str, reason: str
) -> None:
    no_file_of_a_person.write_text(content)
    configuration = started()
    assert configuration.settings == Settings()
    [problem] = configuration.resolved.problems
    assert problem.source == "user file"
    assert reason in problem.reason


@pytest.mark.parametrize("options", [None, {}, [], "words", 5, {"context": {"context": {"context": 1}}}])
def test_whatever_an_editor_sends_the_server_starts(options: object) -> None:
    assert started(options=options).settings == Settings()


def test_settings_nested_deeper_than_python_can_call_are_a_problem_and_no_error() -> None:
    deep: object = 1
    for _ in range(5000):
        deep = {"context": deep}
    assert [problem.path for problem in started(options=deep).resolved.problems] == ["context.context"]


def test_a_folders_file_counts_for_its_own_contexts_alone(folders: tuple[Path, Path]) -> None:
    a, b = say(folders[0], "context: {compression: {target: 0.3}}"), folders[1].as_uri()
    configuration = started()
    configuration.open_folder(a)
    configuration.open_folder(b)
    assert configuration.settings_for(a).context.compression.target == 0.3
    assert configuration.settings_for(b) == configuration.settings_for(None) == configuration.settings == Settings()


def test_every_open_folder_has_its_own(folders: tuple[Path, Path]) -> None:
    targets = {say(folders[0], "context: {compression: {target: 0.3}}"): 0.3}
    targets[say(folders[1], "context: {compression: {target: 0.4}}")] = 0.4
    configuration = started()
    for uri in targets:
        configuration.open_folder(uri)
    assert {uri: configuration.settings_for(uri).context.compression.target for uri in targets} == targets


def test_a_folder_is_the_same_however_its_uri_is_spelled(folders: tuple[Path, Path]) -> None:
    uri = say(folders[0], "context: {compression: {target: 0.3}}")
    configuration = started()
    configuration.open_folder(uri + "/")
    assert configuration.settings_for(uri.replace("/a", "/%61")).context.compression.target == 0.3


def test_a_folder_that_is_not_open_has_no_say(folders: tuple[Path, Path]) -> None:
    uri = say(folders[0], "context: {compression: {target: 0.3}}")
    configuration = started()
    assert configuration.settings_for(uri) == Settings()
    configuration.open_folder(uri)
    configuration.close_folder(uri)
    assert configuration.settings_for(uri) == configuration.settings == Settings()


def test_a_folders_file_lies_between_the_persons_and_the_editor(
    no_file_of_a_person: Path, folders: tuple[Path, Path]
) -> None:
    no_file_of_a_person.write_text("context: {targetSize: 1, minSize: 1, vramBuffer: 1}")
    uri = say(folders[0], "context: {targetSize: 2, minSize: 2}")
    configuration = started(options={"context": {"targetSize": 3}})
    configuration.open_folder(uri)
    context = configuration.settings_for(uri).context
    assert (context.target_size, context.min_size, context.vram_buffer) == (3, 2, 1)
    listed = {value.path: value.source for value in configuration.resolved_for(uri).values()}
    assert listed["context.targetSize"] == "editor"
    assert listed["context.minSize"] == "workspace file"
    assert listed["context.vramBuffer"] == "user file"


def test_the_only_folders_file_may_set_what_belongs_to_the_model(folders: tuple[Path, Path]) -> None:
    uri = say(folders[0], "context: {targetSize: 5000, kvQuantization: f16}")
    configuration = started()
    configuration.open_folder(uri)
    assert configuration.settings.context.target_size == 5000
    assert configuration.settings.context.kv_quantization == "f16"
    assert configuration.resolved.origins["context.targetSize"] == "workspace file"


def test_of_several_folders_none_sets_what_belongs_to_the_model(folders: tuple[Path, Path]) -> None:
    a, b = say(folders[0], "context: {targetSize: 5000}"), folders[1].as_uri()
    configuration = started()
    configuration.open_folder(a)
    assert configuration.open_folder(b) == [a, b]
    assert configuration.settings_for(a).context.target_size == configuration.settings.context.target_size == 16384
    [problem] = configuration.resolved_for(a).problems
    assert problem.path == "context.targetSize"
    configuration.close_folder(b)
    assert configuration.settings.context.target_size == 5000


def test_a_bad_value_in_a_folders_file_names_that_file(folders: tuple[Path, Path]) -> None:
    uri = say(folders[0], "context: {targetSize: many}\nproviders: {ollama: {url: http://evil}}")
    configuration = started()
    configuration.open_folder(uri)
    told = configuration.untold_problems()
    assert [problem.path for problem in told] == ["context.targetSize", "providers.ollama.url"]
    assert {(problem.source, problem.place) for problem in told} == {
        ("workspace file", str(folders[0] / ".ullage.yaml"))
    }


def test_a_change_of_a_folders_file_is_noticed_for_that_folder(folders: tuple[Path, Path]) -> None:
    a, b = (say(folder, "context: {reserveOutput: 10}") for folder in folders)
    configuration = started()
    configuration.open_folder(a)
    configuration.open_folder(b)
    assert configuration.refresh() == []
    say(folders[1], "context: {reserveOutput: 11}")
    assert configuration.refresh() == [b]
    assert configuration.settings_for(b).context.reserve_output == 11
    assert configuration.refresh() == []


def test_a_change_of_the_persons_file_is_noticed_everywhere(
    no_file_of_a_person: Path, folders: tuple[Path, Path]
) -> None:
    a, b = folders[0].as_uri(), say(folders[1], "context: {reserveOutput: 10}")
    configuration = started()
    configuration.open_folder(a)
    configuration.open_folder(b)
    no_file_of_a_person.write_text("context: {reserveOutput: 11}")
    assert configuration.refresh() == [None, a]
    assert configuration.settings.context.reserve_output == 11


def test_a_command_goes_above_all() -> None:
    configuration = started({"ULLAGE_CONTEXT_AUTO": "true"})
    assert configuration.command("context.autoSize", value=False) == [None]
    assert not configuration.settings.context.auto_size
    assert configuration.resolved.origins["context.autoSize"] == "command"
    configuration.change({"context": {"autoSize": True}})
    assert not configuration.settings.context.auto_size


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("context.autoSize", "maybe", "must be true or false"),
        ("context.nonsense", 1, "there is no such setting"),
        ("context", 1, "must be a table"),
        ("context.targetSize", None, "must be a whole number"),
        ("context.compression.threshold", 0.4, "must be above context.compression.target, which is 0.5"),
    ],
)
def test_a_command_that_makes_no_sense_changes_nothing(path: str, value: object, reason: str) -> None:
    configuration = started()
    configuration.command("context.minSize", 700)
    before = configuration.resolved
    with pytest.raises(InvalidArgument, match=reason) as refused:
        configuration.command(path, value)
    assert refused.value.path == path
    assert configuration.resolved == before


def test_a_command_is_not_refused_for_what_another_one_has_become() -> None:
    configuration = started()
    configuration.command("context.compression.threshold", 0.6)
    configuration.change({"context": {"compression": {"target": 0.7, "threshold": 0.9}}})
    configuration.command("context.minSize", 700)
    assert configuration.settings.context.min_size == 700


def test_a_bad_value_is_told_once_and_not_at_every_change() -> None:
    configuration = started(options={"context": {"targetSize": "many"}})
    assert [problem.path for problem in configuration.untold_problems()] == ["context.targetSize"]
    configuration.change({"context": {"minSize": 0}})
    assert [problem.path for problem in configuration.untold_problems()] == ["context.minSize"]
    configuration.change({"context": {"minSize": 0, "vramBuffer": 3}})
    assert configuration.untold_problems() == ()


def test_a_bad_value_that_was_mended_and_comes_back_is_told_again() -> None:
    configuration = started(options={"context": {"minSize": 0}})
    assert len(configuration.untold_problems()) == 1
    configuration.change({"context": {"minSize": 5}})
    configuration.start({"context": {"minSize": 5}})
    assert configuration.untold_problems() == ()
    configuration.change({"context": {"minSize": 0}})
    assert len(configuration.untold_problems()) == 1


def test_a_problem_of_all_folders_is_told_once(folders: tuple[Path, Path]) -> None:
    configuration = started({"ULLAGE_CONTEXT_SIZE": ""})
    for folder in folders:
        configuration.open_folder(folder.as_uri())
    [problem] = configuration.untold_problems()
    assert problem.place == "ULLAGE_CONTEXT_SIZE"


def test_before_anything_is_known_the_defaults_count() -> None:
    assert Configuration(environment={"ULLAGE_CONTEXT_SIZE": "5"}).resolved == resolve([])
