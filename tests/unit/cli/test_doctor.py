"""`ullage doctor` as a command: with a fake server beside it, and its own lookups."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from support import terminal_with_fake_server
from ullage.cli import doctor_lookups as lookups
from ullage.cli.doctor import examine
from ullage.cli.doctor_findings import Trouble
from ullage.settings import EmbeddedSettings, ProviderSettings, Settings
from ullage.store.folder import open_folder
from ullage.store.locks import ContextLocks

COMMAND = [sys.executable, terminal_with_fake_server.__file__]
CONTEXT = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
NOBODY = "http://127.0.0.1:9"
SILENT = (
    f"providers: {{default: llamacpp, llamacpp: {{url: '{NOBODY}'}}, ollama: {{url: '{NOBODY}'}},"
    f" openai: {{url: '{NOBODY}'}}}}\n"
)


@frozen
class Machine:
    """A person's folders, empty but for what a test puts there."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        names = {"HOME": str(self.root), "XDG_CONFIG_HOME": str(self.root), "XDG_DATA_HOME": str(self.root)}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ULLAGE", "OLL"))}
        return inherited | names | {"ULLAGE_STORAGE": str(self.root / "store")}

    @property
    def settings_file(self) -> Path:
        return self.root / "ullage" / "config.yaml"

    def configure(self, settings: str) -> None:
        self.settings_file.parent.mkdir(exist_ok=True)
        self.settings_file.write_text(settings)

    def doctor(self, mode: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, mode, "doctor", *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env=self.environment | variables,
        )

    def report(self, mode: str, **variables: str) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.doctor(mode, "--json", **variables).stdout)
        return parsed


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.configure(SILENT)
    return machine


def texts(report: dict[str, Any], part: str) -> list[str]:
    return [each["text"] for each in report["problems"] if each["part"] == part]


def test_what_the_server_tells_is_reported(machine: Machine) -> None:
    report = machine.report("roomy")
    assert report["hardware"]["memory"]["available"] == 64 * 2**30
    assert [model["name"] for model in report["models"]] == ["tiny:latest", "odd"]


def test_something_wrong_makes_the_exit_code_one(machine: Machine) -> None:
    done = machine.doctor("roomy")
    assert done.returncode == 1
    assert "What is wrong" in done.stdout


def test_servers_that_do_not_answer_are_listed(machine: Machine) -> None:
    servers = machine.report("roomy")["servers"]
    asked = [(each["provider"], each["answers"]) for each in servers if each["address"] == NOBODY]
    assert asked == [("ollama", False), ("llamacpp", False), ("openai", False)]


def test_the_server_that_a_setting_chose_is_missed(machine: Machine) -> None:
    assert any("though providers.default names it" in text for text in texts(machine.report("roomy"), "models"))


def test_servers_that_the_choice_leaves_out_are_not_missed(machine: Machine) -> None:
    [missed] = [text for text in texts(machine.report("roomy"), "models") if "though" in text]
    assert missed.startswith("llamacpp")


def test_without_a_choice_every_server_that_a_setting_names_is_missed(machine: Machine) -> None:
    machine.configure(f"providers: {{ollama: {{url: '{NOBODY}'}}}}\n")
    [text] = [text for text in texts(machine.report("roomy"), "models") if "though" in text]
    assert text.startswith(f"ollama at {NOBODY} does not answer, though providers.ollama.url names it.")


def test_a_bad_value_in_the_persons_file_is_reported_with_its_place(machine: Machine) -> None:
    machine.configure("context: {targetSize: large}\n")
    report = machine.report("roomy")
    assert report["settings"] == [
        {"path": "context.targetSize", "source": "user file", "reason": "must be a whole number"}
    ]
    [text] = texts(report, "settings")
    assert text.endswith(f"Correct it in {machine.settings_file}.")


def test_a_bad_variable_is_reported_by_its_name(machine: Machine) -> None:
    [text] = texts(machine.report("roomy", ULLAGE_VRAM_BUFFER="plenty"), "settings")
    assert text.endswith("Correct it in the environment variable ULLAGE_VRAM_BUFFER.")


def test_a_storage_folder_that_is_a_file_is_reported(machine: Machine) -> None:
    (machine.root / "store").write_text("not a folder")
    report = machine.report("roomy")
    assert report["storage"] is None
    assert "The storage folder can't be used" in texts(report, "storage")[0]


def test_who_writes_a_context_is_listed(machine: Machine) -> None:
    locks = ContextLocks(open_folder(machine.root / "store"), "an editor")
    assert locks.try_acquire(CONTEXT)
    [writer] = machine.report("roomy")["storage"]["writers"]
    locks.release_all()
    assert (writer["contextId"], writer["pid"], writer["alive"]) == (CONTEXT, os.getpid(), True)


def test_a_server_that_refuses_is_heard_and_the_rest_goes_on(machine: Machine) -> None:
    report = machine.report("normal")
    assert (report["hardware"], report["models"]) == (None, [])
    assert texts(report, "server") == ["The server knows no such request."]
    assert report["versions"]["python"] is not None


async def test_a_server_that_does_not_start_is_a_finding(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in machine.environment.items():
        monkeypatch.setenv(name, value)
    broken = (sys.executable, "-c", "import sys; sys.exit('the boiler burst')")
    monkeypatch.setattr("ullage.cli.client.SERVER_COMMAND", broken)
    findings = await examine(machine.environment)
    [trouble] = [each for each in findings.heard if each.part == "server"]
    assert trouble.text.startswith("The server ended unexpectedly.")
    assert trouble.text.endswith("the boiler burst")
    assert findings.memory is None


def test_versions_of_everything_that_matters_are_looked_up() -> None:
    assert {"ullage", "python", "sqlite", "pygls", "lsprotocol", "xllamacpp"} == set(lookups.versions())


def test_a_package_that_is_not_installed_has_no_version() -> None:
    assert lookups.package_version("no-such-cask") is None


def test_a_model_file_of_the_persons_own_is_the_embedded_one() -> None:
    settings = Settings(providers=ProviderSettings(embedded=EmbeddedSettings(model="/models/own.gguf")))
    assert lookups.embedded(settings).model == "own.gguf"


def test_an_unusable_folder_is_a_trouble_with_advice(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("not a folder")
    found = lookups.storage(Settings(storage_directory=str(tmp_path / "store")))
    assert isinstance(found, Trouble)
    assert "ULLAGE_STORAGE" in found.text
