"""Environment variables as settings."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ullage.settings import Resolved, from_environment, ollama_url, resolve


def resolved(environment: Mapping[str, str]) -> Resolved:
    layers, problems = from_environment(environment)
    made = resolve(layers)
    return Resolved(made.settings, made.origins, (*problems, *made.problems))


def test_an_older_variable_is_read_where_ours_is_not_set() -> None:
    assert resolved({"OLLM_CONTEXT_SIZE": "5"}).settings.context.target_size == 5
    both = {"OLLM_CONTEXT_SIZE": "5", "ULLAGE_CONTEXT_SIZE": "6"}
    assert resolved(both).settings.context.target_size == 6


def test_a_variable_is_read_as_what_its_setting_is() -> None:
    environment = {"ULLAGE_CONTEXT_AUTO": "No", "ULLAGE_VRAM_BUFFER": " 100 ", "ULLAGE_KV_CACHE_TYPE": "f16"}
    made = resolved(environment)
    context = made.settings.context
    assert (context.auto_size, context.vram_buffer, context.kv_quantization) == (False, 100, "f16")
    assert set(made.origins.values()) == {"environment"}


@pytest.mark.parametrize(
    ("variable", "text", "path"),
    [
        ("ULLAGE_CONTEXT_SIZE", "lots", "context.targetSize"),
        ("ULLAGE_CONTEXT_SIZE", "--5", "context.targetSize"),
        ("ULLAGE_CONTEXT_SIZE", "9" * 5000, "context.targetSize"),
        ("OLLM_CONTEXT_SIZE", "-1", "context.targetSize"),
        ("ULLAGE_CONTEXT_AUTO", "maybe", "context.autoSize"),
        ("ULLAGE_KV_CACHE_TYPE", "q3", "context.kvQuantization"),
        ("ULLAGE_CONTEXT_SIZE", "", "context.targetSize"),
        ("ULLAGE_STORAGE", " ", "storageDirectory"),
        ("OLLAMA_HOST", "", "providers.ollama.url"),
        ("OLLAMA_HOST", "box:eleven", "providers.ollama.url"),
        ("OLLAMA_HOST", "box:99999", "providers.ollama.url"),
        ("OLLAMA_HOST", "a box", "providers.ollama.url"),
    ],
)
def test_a_variable_that_makes_no_sense_is_told_by_its_name(variable: str, text: str, path: str) -> None:
    made = resolved({variable: text})
    [problem] = made.problems
    assert (problem.path, problem.source, problem.place) == (path, "environment", variable)
    assert variable in str(problem)
    assert made.origins == {}


def test_below_a_variable_that_makes_no_sense_the_older_one_counts() -> None:
    made = resolved({"ULLAGE_CONTEXT_SIZE": "", "OLLM_CONTEXT_SIZE": "5"})
    assert made.settings.context.target_size == 5
    assert [problem.place for problem in made.problems] == ["ULLAGE_CONTEXT_SIZE"]


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
