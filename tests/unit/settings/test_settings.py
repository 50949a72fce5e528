"""The tree of settings and how sources are laid over each other."""

from __future__ import annotations

from typing import Any

import pytest

from ullage.settings import GuardSettings, Layer, Problem, Settings, SettingSource, flatten, resolve


def problems(tree: object, source: SettingSource = "user file") -> list[Problem]:
    return list(resolve([Layer(source, tree)]).problems)


def test_without_sources_everything_has_its_default() -> None:
    resolved = resolve([])
    assert resolved.settings == Settings()
    assert {value.source for value in resolved.values()} == {"default"}


def test_every_leaf_is_listed_with_its_source() -> None:
    resolved = resolve([Layer("editor", {"context": {"compression": {"threshold": 0.7}}})])
    listed = {value.path: (value.value, value.source) for value in resolved.values()}
    assert listed["context.compression.threshold"] == (0.7, "editor")
    assert len(listed) == len(list(flatten(Settings())))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://someone:secret@box:1/v1", "http://box:1/v1"),
        ("http://secret@box", "http://box"),
        ("http://someone:se@cret@box", "http://box"),
        ("http://someone:se/cr?et@box", "http://box"),
        ("someone:secret@box", "box"),
        ("http://box/v1?key=secret#secret", "http://box/v1"),
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434"),
        ("", ""),
    ],
)
def test_an_address_is_listed_without_what_could_be_a_secret(url: str, shown: str) -> None:
    resolved = resolve([Layer("editor", {"providers": {"openai": {"url": url}, "llamacpp": {"url": url}}})])
    listed = {value.path: value.value for value in resolved.values()}
    assert listed["providers.openai.url"] == listed["providers.llamacpp.url"] == shown
    assert resolved.settings.providers.openai.url == url


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        ({"context": {"targetSize": -1}}, "context.targetSize"),
        ({"context": {"targetSize": 1.5}}, "context.targetSize"),
        ({"context": {"targetSize": True}}, "context.targetSize"),
        ({"context": {"kvQuantization": "q3"}}, "context.kvQuantization"),
        ({"context": {"compression": {"threshold": float("nan")}}}, "context.compression.threshold"),
        ({"context": 5}, "context"),
        ({"context": {"kvQuantization": ["f16"]}}, "context.kvQuantization"),
        ({"context": {"compression": {"threshold": 10**400}}}, "context.compression.threshold"),
        ({"pool": {"burstCpu": 10**400}}, "pool.burstCpu"),
        ({"modes": {"x": {"systemPrompt": 1}}}, "modes"),
        ({"modes": {"x": {"nonsense": 1}}}, "modes"),
        ({"modes": {"x": 5}}, "modes"),
        ({"modes": {"x": {"systemPrompt": "\ud800"}}}, "modes"),
        ({"tokens": {"multipliers": {"\ud800": 1}}}, "tokens.multipliers"),
        ({"storageDirectory": "\ud800"}, "storageDirectory"),
        ({"memory": {"guard": {"clear": "yes"}}}, "memory.guard.clear"),
        ({"tokens": {"multipliers": {"llama": 0}}}, "tokens.multipliers"),
        ({"providers": {"ollama": {"url": None}}}, "providers.ollama.url"),
        ({"nonsense": 1}, "nonsense"),
        ({"context": {"nonsense": 1}}, "context.nonsense"),
        ({"context.nonsense": 1}, "context.nonsense"),
        ({"context.context.minSize": 1}, "context.context.minSize"),
        ({"modes.x": {"model": "m"}}, "modes.x"),
        ({"context": {1: 2}}, "context.1"),
        ([], "settings"),
        ("all", "settings"),
    ],
)
def test_a_bad_value_is_reported_by_its_path_and_its_default_used(tree: object, path: str) -> None:
    [problem] = problems(tree)
    assert problem.path == path
    assert resolve([Layer("user file", tree)]).settings == Settings()


@pytest.mark.parametrize(
    "tree",
    [
        {"providers": {"ollama": {"url": "http://elsewhere"}}},
        {"providers": {"embedded": {"model": "evil.gguf"}}},
        {"providers": {"openai": {"apiKeyEnv": "SECRET"}}},
        {"storageDirectory": "here"},
        {"modes": {"x": {"systemPrompt": "obey"}}},
        {"context": {"snapshots": {"maxCount": 1}}},
        {"context.snapshots": {"maxCount": 1}},
        {"context.snapshots.maxAgeDays": 1},
        {"memory": {"guard": {"clear": False}}},
    ],
)
def test_a_repository_can_not_redirect_what_a_person_types(tree: dict[str, Any]) -> None:
    resolved = resolve([Layer("workspace file", tree)])
    assert resolved.settings == Settings()
    assert "only your own settings" in resolved.problems[0].reason


def test_a_repository_may_set_sizes_and_compression() -> None:
    tree = {"context": {"targetSize": 4096, "compression": {"target": 0.4}}}
    settings = resolve([Layer("workspace file", tree)]).settings
    assert (settings.context.target_size, settings.context.compression.target) == (4096, 0.4)


def test_a_multiplier_is_found_by_name_before_glob() -> None:
    tokens = resolve([Layer("user file", {"tokens": {"multipliers": {"llama*": 1.1, "llama3": 1.3}}})]).settings.tokens
    assert tokens.multiplier("llama3") == 1.3
    assert tokens.multiplier("llama2") == 1.1
    assert tokens.multiplier("qwen") == 1.0
    assert tokens.multiplier(None) == 1.0


def test_dotted_keys_are_tables_in_tables() -> None:
    resolved = resolve(
        [Layer("user file", {"context.compression.target": 0.3, "context.compression": {"enabled": False}})]
    )
    compression = resolved.settings.context.compression
    assert (compression.target, compression.enabled, resolved.problems) == (0.3, False, ())


def test_a_section_with_nothing_in_it_says_nothing() -> None:
    assert problems({"context": None, "memory": {"guard": None}}) == []
    assert problems(None) == []


def test_what_nobody_has_set_is_null_from_an_editor_and_a_bad_value_elsewhere() -> None:
    assert problems({"context": {"targetSize": None}}, "editor") == []
    assert [problem.path for problem in problems({"context": {"targetSize": None}})] == ["context.targetSize"]


def test_a_problem_names_the_file_that_it_stands_in() -> None:
    layer = Layer("workspace file", {"context": {"minSize": 0}}, place="/home/me/project/.ullage.yaml")
    [problem] = resolve([layer]).problems
    assert str(problem).startswith("Setting context.minSize (workspace file /home/me/project/.ullage.yaml): must be")


def test_a_problem_shows_no_more_of_a_key_than_a_person_can_read() -> None:
    [problem] = problems({"x" * 10_000: 1})
    assert len(problem.path) < 100
    [problem] = problems({"a\n\x1b[2J\ud800": 1})
    assert problem.path.isprintable()
    problem.path.encode()


def test_a_source_full_of_nonsense_is_told_in_a_few_sentences() -> None:
    told = problems({f"nonsense{number}": 1 for number in range(1000)})
    assert len(told) == 20
    assert "980 more" in told[-1].reason


@pytest.mark.parametrize("path", ["context.targetSize", "context.autoSize", "context.kvQuantization"])
def test_what_the_folders_share_no_folder_of_several_decides(path: str) -> None:
    valid = {"context.autoSize": False, "context.kvQuantization": "f16"}
    layer = Layer("workspace file", {path: valid.get(path, 5000)}, alone=False)
    resolved = resolve([layer])
    assert resolved.settings == Settings()
    assert [problem.path for problem in resolved.problems] == [path]


def test_what_is_of_one_context_every_folder_decides_for_its_own() -> None:
    tree = {"context": {"reserveOutput": 100, "compression": {"target": 0.4}}}
    resolved = resolve([Layer("workspace file", tree, alone=False)])
    context = resolved.settings.context
    assert (context.reserve_output, context.compression.target) == (100, 0.4)
    assert resolved.problems == ()


def test_the_guard_may_do_everything_until_it_is_told_otherwise() -> None:
    assert Settings().memory.guard == GuardSettings(compress=True, reduce=True, clear=True, notify=True)
    guard = resolve([Layer("editor", {"memory": {"guard": {"clear": False}}})]).settings.memory.guard
    assert guard == GuardSettings(clear=False)
