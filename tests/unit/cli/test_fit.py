"""`ullage fit` on a fake server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support import terminal_with_fake_server
from support.gguf_writer import header_bytes
from ullage.cli.fit import FitOptions, model_named

COMMAND = [sys.executable, terminal_with_fake_server.__file__]
HEADER = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.context_length": 8192,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 1,
    "llama.vocab_size": 256,
}


def run(mode: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, mode, "fit", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=os.environ | environment,
    )


def document(mode: str, *arguments: str, **environment: str) -> dict[str, Any]:
    done = run(mode, *arguments, "--json", **environment)
    assert done.returncode == 0, done.stderr
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def best(model: dict[str, Any]) -> dict[str, int | None]:
    return {each["cacheType"]: each["bestTokens"] for each in model["cacheTypes"]}


def test_a_models_table_shows_what_fits() -> None:
    shown = run("tight", "tiny").stdout
    assert "17,920   509.8 MB *   325.2 MB    226.7 MB\n" in shown
    assert "32,768   836.0 MB !   498.5 MB    318.5 MB\n" in shown
    assert "Memory (cpu): 1.0 GB of 2.0 GB available; 512.0 MB of it stay free as a buffer." in shown


def test_without_an_argument_every_model_is_a_line() -> None:
    done = run("tight")
    assert done.returncode == 0
    assert "tiny:latest  ollama    100.0 MB  40,960   17,920   33,792   40,960" in done.stdout
    assert "odd: Nothing tells how large this model is. Load it first." in done.stdout


def test_the_json_agrees_with_the_table() -> None:
    [model] = document("tight", "tiny:latest")["models"]
    assert best(model) == {"f16": 17_920, "q8_0": 33_792, "q4_0": 40_960}


@pytest.mark.parametrize("environment", [{"ULLAGE_CONTEXT_SIZE": "4096"}, {"FAKE_SERVER_CHOICE": "4096"}])
def test_the_size_that_a_person_usually_has_is_not_the_question(environment: dict[str, str]) -> None:
    [model] = document("tight", "tiny", **environment)["models"]
    assert best(model) == {"f16": 17_920, "q8_0": 33_792, "q4_0": 40_960}


def test_where_nothing_fits_the_exit_code_is_one(tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    path.write_bytes(header_bytes(HEADER))
    named, of_file = run("full", "tiny"), run("full", str(path), ULLAGE_VRAM_BUFFER="1024")
    assert (named.returncode, of_file.returncode) == (1, 1)
    assert "8,192    " in of_file.stdout


def test_where_the_memory_can_not_be_read_the_table_is_shown() -> None:
    done = run("blind", "tiny")
    assert done.returncode == 0
    assert "can't be told" in done.stdout


def test_a_file_for_a_few_tokens_fits_whole(tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    path.write_bytes(header_bytes(HEADER | {"llama.context_length": 128}))
    [model] = document("roomy", str(path))["models"]
    assert best(model) == {"f16": 128, "q8_0": 128, "q4_0": 128}
    assert {each["limitedBy"] for each in model["cacheTypes"]} == {"model"}


def test_a_file_gets_no_more_than_the_persons_maximum(tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    path.write_bytes(header_bytes(HEADER))
    (tmp_path / "ullage").mkdir()
    (tmp_path / "ullage" / "config.yaml").write_text("context: {maxSize: 4096}\n")
    [model] = document("roomy", str(path), XDG_CONFIG_HOME=str(tmp_path))["models"]
    assert best(model) == {"f16": 4096, "q8_0": 4096, "q4_0": 4096}


@pytest.mark.parametrize(("mode", "subject"), [("roomy", "huge"), ("roomy", "sunken.gguf"), ("normal", "tiny")])
def test_a_failure_is_json_too(mode: str, subject: str) -> None:
    done = run(mode, subject, "--json")
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout) == {"error": run(mode, subject).stderr.rstrip("\n")}


def test_all_types_can_be_asked_for() -> None:
    [model] = document("roomy", "tiny", "--all-types")["models"]
    assert len(best(model)) == 9


def test_a_file_is_sized_without_a_model_server(tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    path.write_bytes(header_bytes(HEADER))
    [model] = document("roomy", str(path))["models"]
    assert (model["model"], model["file"], model["provider"]) == ("small", "small.gguf", None)
    assert model["weightsBytes"] == path.stat().st_size
    assert best(model) == {"f16": 8192, "q8_0": 8192, "q4_0": 8192}


def test_the_persons_buffer_stays_free_beside_a_file(tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    path.write_bytes(header_bytes(HEADER))
    [model] = document("roomy", str(path), ULLAGE_VRAM_BUFFER="64")["models"]
    assert model["reserveBytes"] == 64 * 2**20


def test_a_file_that_is_no_model_gets_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "letter.gguf"
    path.write_text("Dear reader, this is no model.")
    done = run("roomy", str(path))
    assert (done.returncode, done.stderr) == (1, "letter.gguf is not a GGUF file.\n")


def test_metadata_that_make_no_sense_get_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(header_bytes(HEADER | {"llama.block_count": 10**9}))
    done = run("roomy", str(path))
    assert done.returncode == 1
    assert "llama.block_count" in done.stderr


def test_a_file_that_is_not_there_gets_a_sentence() -> None:
    done = run("roomy", "sunken.gguf")
    assert (done.returncode, done.stdout) == (1, "")
    assert "There is no file sunken.gguf" in done.stderr


def test_a_name_that_nobody_has_gets_the_names_that_there_are() -> None:
    done = run("roomy", "huge")
    assert done.returncode == 1
    assert done.stderr == "This machine has no model named huge. It has: tiny:latest, odd.\n"


def test_a_model_that_can_not_be_sized_gets_the_servers_sentence() -> None:
    done = run("roomy", "odd")
    assert (done.returncode, done.stderr) == (1, "odd: Nothing tells how large this model is. Load it first.\n")


def test_a_server_that_refuses_to_read_the_memory_is_heard() -> None:
    done = run("normal")
    assert (done.returncode, done.stderr) == (1, "The server knows no such request.\n")


@pytest.mark.parametrize(("name", "found"), [("tiny", "tiny:latest"), ("exact", "exact"), ("tin", None)])
def test_ollamas_latest_may_be_left_out(name: str, found: str | None) -> None:
    model = model_named([{"name": "tiny:latest"}, {"name": "exact"}], name)
    assert (model["name"] if model else None) == found


def test_the_usual_types_are_three() -> None:
    assert FitOptions().cache_types == ("f16", "q8_0", "q4_0")
