"""The tree of settings and how sources are laid over each other."""

from __future__ import annotations

from typing import Any

import pytest

from ullage.settings import Problem, Settings, flatten, from_environment, ollama_url, resolve


def problems(tree: dict[str, Any], source: Any = "user file") -> list[Problem]:
    return list(resolve([(source, tree)]).problems)


def test_without_sources_everything_has_its_default() -> None:
    resolved = resolve([])
    assert resolved.settings == Settings()
    assert {value.source for value in resolved.values()} == {"default"}


def test_every_leaf_is_listed_with_its_source() -> None:
    resolved = resolve([("editor", {"context": {"compression": {"threshold": 0.7}}})])
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
    resolved = resolve([("editor", {"providers": {"openai": {"url": url}, "llamacpp": {"url": url}}})])
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
        ({"modes": {"x": {"systemPrompt": 1}}}, "modes"),
        ({"tokens": {"multipliers": {"llama": 0}}}, "tokens.multipliers"),
        ({"providers": {"ollama": {"url": None}}}, "providers.ollama.url"),
        ({"nonsense": 1}, "nonsense"),
        ({"context": {"nonsense": 1}}, "context.nonsense"),
    ],
)
def test_a_bad_value_is_reported_by_its_path_and_its_default_used(tree: dict[str, Any], path: str) -> None:
    [problem] = problems(tree)
    assert problem.path == path
    assert resolve([("user file", tree)]).settings == Settings()


@pytest.mark.parametrize(
    "tree",
    [
        {"providers": {"ollama": {"url": "http://elsewhere"}}},
        {"providers": {"embedded": {"model": "evil.gguf"}}},
        {"providers": {"openai": {"apiKeyEnv": "SECRET"}}},
        {"storageDirectory": "here"},
        {"modes": {"x": {"systemPrompt": "obey"}}},
        {"context": {"snapshots": {"maxCount": 1}}},
    ],
)
def test_a_repository_can_not_redirect_what_a_person_types(tree: dict[str, Any]) -> None:
    resolved = resolve([("workspace file", tree)])
    assert resolved.settings == Settings()
    assert "only your own settings" in resolved.problems[0].reason


def test_a_repository_may_set_sizes_and_compression() -> None:
    tree = {"context": {"targetSize": 4096, "compression": {"target": 0.4}}}
    settings = resolve([("workspace file", tree)]).settings
    assert (settings.context.target_size, settings.context.compression.target) == (4096, 0.4)


def test_an_older_variable_is_read_where_ours_is_not_set() -> None:
    assert from_environment({"OLLM_CONTEXT_SIZE": "5"}) == {"context": {"targetSize": 5}}
    assert from_environment({"OLLM_CONTEXT_SIZE": "5", "ULLAGE_CONTEXT_SIZE": "6"}) == {"context": {"targetSize": 6}}


def test_an_environment_variable_that_is_no_number_is_a_problem() -> None:
    tree = from_environment({"ULLAGE_CONTEXT_SIZE": "lots", "ULLAGE_CONTEXT_AUTO": "maybe"})
    assert {problem.path for problem in problems(tree, "environment")} == {"context.targetSize", "context.autoSize"}


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:5000", "http://127.0.0.1:5000"),
        ("box", "http://box:11434"),
        ("http://box", "http://box:80"),
        ("https://box/", "https://box:443"),
        ("[::1]:5000", "http://[::1]:5000"),
        (":5000", "http://127.0.0.1:5000"),
    ],
)
def test_an_ollama_host_is_read_as_ollama_reads_it(host: str, url: str) -> None:
    assert ollama_url(host) == url


def test_a_multiplier_is_found_by_name_before_glob() -> None:
    tokens = resolve([("user file", {"tokens": {"multipliers": {"llama*": 1.1, "llama3": 1.3}}})]).settings.tokens
    assert tokens.multiplier("llama3") == 1.3
    assert tokens.multiplier("llama2") == 1.1
    assert tokens.multiplier("qwen") == 1.0
    assert tokens.multiplier(None) == 1.0
