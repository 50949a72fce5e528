"""The terminal commands against the real server and a real model."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import psutil
import pytest
from attrs import frozen

from ullage.cli.install_model import missing_packages

ULLAGE = (sys.executable, "-m", "ullage")
EMBEDDED = "providers: {default: embedded, embedded: {contextSize: 1024, threads: 1}}\ncontext: {reserveOutput: 32}\n"
NO_SERVER = "providers: {default: llamacpp, llamacpp: {url: 'http://127.0.0.1:9'}}\n"

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(bool(missing_packages()), reason="the engine is not installed"),
]


@frozen
class Place:
    """A folder to talk about, with settings and a store of its own."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "harbour"

    @property
    def environment(self) -> dict[str, str]:
        names = {"HOME": str(self.root), "XDG_CONFIG_HOME": str(self.root), "ULLAGE_STORAGE": str(self.root / "store")}
        return os.environ | names | {"TERM": "xterm"}

    def configure(self, settings: str) -> None:
        path = self.root / "ullage" / "config.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(settings)

    def run(self, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*ULLAGE, *arguments],
            input=said,
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=self.folder,
            timeout=90,
            check=False,
        )

    def status(self) -> dict[str, object]:
        done = self.run("status", "--json")
        assert done.returncode == 0, done.stderr
        status: dict[str, object] = json.loads(done.stdout)
        return status

    def chat(self, *arguments: str) -> pexpect.spawn[str]:
        child = pexpect.spawn(
            ULLAGE[0],
            [*ULLAGE[1:], "chat", *arguments],
            env=self.environment,
            cwd=str(self.folder),
            encoding="utf-8",
            timeout=60,
            dimensions=(40, 160),
        )
        child.expect("> ")
        return child


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.folder.mkdir()
    place.configure(EMBEDDED)
    return place


@pytest.fixture
def talk(place: Place) -> Iterator[pexpect.spawn[str]]:
    child = place.chat()
    yield child
    child.close(force=True)


def answered(talk: pexpect.spawn[str], question: str) -> None:
    talk.sendline(question)
    talk.expect(r"reused of \d+")
    talk.expect("> ")


def server_of(talk: pexpect.spawn[str]) -> psutil.Process:
    [server] = psutil.Process(talk.pid).children()
    return server


def test_a_piped_question_is_answered_and_kept(place: Place) -> None:
    done = place.run("chat", said="Say hello in one word.\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert place.status()["usage"]["messages"] == 2  # type: ignore[index]  # JSON


def test_a_folder_without_a_context_gets_none_by_looking(place: Place) -> None:
    outcomes = [place.run("status") for _ in range(2)]
    assert [done.returncode for done in outcomes] == [1, 1]
    assert "has no context yet" in outcomes[1].stderr


def test_the_status_is_shown_beside_a_window_that_writes(place: Place, talk: pexpect.spawn[str]) -> None:
    answered(talk, "Say hello in one word.")
    shown = place.run("status").stdout
    assert "SmolLM2-135M-Instruct" in shown
    assert re.search(r"Tokens: +\d+ / 1,024 \(\d+%\)", shown)


def test_a_context_that_another_window_writes_can_be_taken_over(place: Place, talk: pexpect.spawn[str]) -> None:
    answered(talk, "Say hello in one word.")
    refused = place.run("chat", said="Say goodbye.\n")
    assert refused.returncode == 1
    assert "--take-over" in refused.stderr
    taken = place.run("chat", "--take-over", said="Say goodbye.\n")
    assert taken.returncode == 0, taken.stderr


def test_ctrl_c_keeps_what_had_come_of_an_answer(place: Place, talk: pexpect.spawn[str]) -> None:
    talk.sendline("Write a long story about a lighthouse.")
    talk.expect("about a lighthouse")  # what was typed, echoed
    talk.expect(r"\w+ \w+ \w+")
    talk.sendintr()
    talk.expect("Stopped. What had come is kept.")
    talk.expect("> ")
    answered(talk, "Say hello in one word.")
    assert place.status()["usage"]["messages"] == 4  # type: ignore[index]  # JSON


def test_a_killed_server_is_replaced_and_nothing_is_lost(place: Place, talk: pexpect.spawn[str]) -> None:
    answered(talk, "Say hello in one word.")
    server_of(talk).kill()
    talk.sendline("/context messages")
    talk.expect("The server ended unexpectedly.")
    talk.expect("> ")
    talk.sendline("/context messages")
    talk.expect("Say hello in one word.")


def test_a_question_waits_for_its_model_server_across_sessions(place: Place) -> None:
    place.configure(NO_SERVER)
    refused = place.run("chat", said="Say hello in one word.\n")
    assert refused.returncode == 1
    assert "The question is kept" in refused.stderr
    place.configure(EMBEDDED)
    done = place.run("chat", said="\n")
    assert "Not answered yet: “Say hello in one word.”" in done.stderr
    assert (done.returncode, bool(done.stdout.strip())) == (0, True), done.stderr


def test_leaving_ends_the_server_and_its_engine(talk: pexpect.spawn[str]) -> None:
    answered(talk, "Say hello in one word.")
    server = server_of(talk)
    started = [server, *server.children(recursive=True)]
    talk.sendeof()
    talk.expect(pexpect.EOF)
    talk.wait()
    assert talk.exitstatus == 0
    assert psutil.wait_procs(started, timeout=5)[1] == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_demo_holds_what_it_promises(place: Place) -> None:
    done = subprocess.run([*ULLAGE, "demo"], capture_output=True, text=True, env=place.environment, check=False)
    assert done.returncode == 0, done.stderr
    counted = re.search(r"Tokens counted = evaluated +(\d+) of (\d+) prompts", done.stdout)
    kept = re.search(r"Messages after it +(\d+) of (\d+), word for word", done.stdout)
    assert counted is not None
    assert kept is not None
    assert counted[1] == counted[2]
    assert kept[1] == kept[2]
