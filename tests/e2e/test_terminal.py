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


def stopped(talk: pexpect.spawn[str], question: str) -> None:
    """A question whose answer is long, and is broken off after a few words."""
    talk.sendline(question)
    talk.expect("about a lighthouse")  # what was typed, echoed
    talk.expect(r"\w+ \w+ \w+")
    talk.sendintr()
    talk.expect("Stopped. What had come is kept.")
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
    stopped(talk, "Write a long story about a lighthouse.")
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


def typed(talk: pexpect.spawn[str], line: str) -> str:
    """What a line shows, without the marks that move the cursor."""
    talk.sendline(line)
    talk.expect(r"\n(?:\x1b\[\?2004h)?> ")
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", talk.before or "").replace("\r", "")


def questions(talk: pexpect.spawn[str]) -> str:
    """What the person has said in the window; a model may say the same."""
    lines = typed(talk, "/context messages").split("\n")
    return "\n".join(line for line in lines if re.search(r"[0-9A-Z]{6} +user ", line))


def test_a_conversation_is_kept_cleared_brought_back_and_goes_on(talk: pexpect.spawn[str]) -> None:
    answered(talk, "Say hello in one word.")
    kept = re.search(r"/context restore ([0-9A-Z]{6}) brings it back", typed(talk, "/context snapshot the hello"))
    assert kept is not None
    assert "Cleared:" in typed(talk, "/context clear")
    assert "The window is empty." in typed(talk, "/context messages")
    answered(talk, "Say goodbye in one word.")
    shown = typed(talk, "/context restore")
    assert re.search(rf"1 .*{kept[1]}.*the hello", shown)
    assert "Restored:" in typed(talk, f"/context restore {kept[1].lower()}")
    assert "Say hello in one word." in questions(talk)
    assert "Took back: restore." in typed(talk, "/context undo")
    assert "Say goodbye in one word." in questions(talk)
    answered(talk, "Say hello in one word.")


def test_a_compression_is_told_and_taken_back_and_the_model_answers_on(place: Place) -> None:
    place.configure(EMBEDDED.replace("32}", "32, compression: {enabled: false, preserveRecent: 0}}"))
    talk = place.chat()
    for number in range(3):
        stopped(talk, f"Write long story {number} about a lighthouse.")
    assert re.search(r"would come to [\d,]+ → [\d,]+ tokens", typed(talk, "/context estimate truncate"))
    told = re.search(r"Compressed by truncation: ([\d,]+) → ([\d,]+) tokens", typed(talk, "/context compress truncate"))
    assert told is not None
    assert int(told[2].replace(",", "")) < int(told[1].replace(",", ""))
    assert "story 0" not in questions(talk)
    assert "Took back: compress." in typed(talk, "/context undo")
    assert "story 0" in questions(talk)
    answered(talk, "Say hello in one word.")
    talk.close(force=True)


def test_a_question_goes_to_the_context_that_was_switched_to(place: Place, talk: pexpect.spawn[str]) -> None:
    answered(talk, "Say hello in one word.")
    assert place.run("chat", "--name", "notes", said="/context help\n").returncode == 0
    assert "Now in notes" in typed(talk, "/context switch notes")
    answered(talk, "Say goodbye in one word.")
    assert "Say hello" not in questions(talk)
    assert "Now in main" in typed(talk, "/context switch main")
    assert "Say hello" in questions(talk)


def test_tab_completes_a_line_and_the_id_of_a_snapshot(talk: pexpect.spawn[str]) -> None:
    kept = re.search(r"restore ([0-9A-Z]{6})", typed(talk, "/context snapshot the start"))
    assert kept is not None
    talk.send("/context rest\t")
    talk.expect("/context restore")
    talk.send(f" {kept[1][:2]}\t")
    talk.expect(kept[1][2:])
    talk.sendline("")
    talk.expect("Restored:")


def test_what_was_forgotten_is_shown_no_more(talk: pexpect.spawn[str]) -> None:
    answered(talk, "Say hello in one word.")
    found = re.search(r"([0-9A-Z]{6}) +user", typed(talk, "/context messages"))
    assert found is not None
    assert f"Erased for good: {found[1]}" in typed(talk, f"/context forget {found[1]}")
    assert "Say hello" not in questions(talk)
    assert found[1] not in typed(talk, "/context search hello word")


PIPED = (
    ("/context", r"Tokens: +\d"),
    ("/context status", r"Compression: +on, from 80%"),
    ("/context stats", r"context\.reserveOutput +32 +user file"),
    ("/context messages", r"The window is empty\."),
    ("/context clear", r"Nothing was there to clear"),
    ("/context snapshot before", r"Kept as [0-9A-Z]{6}: "),
    ("/context restore", r"1 +[0-9A-Z]{6} .* before"),
    ("/context restore 1", r"Restored: "),
    ("/context history", r"[0-9A-Z]{6} .* restore "),
    ("/context undo", r"Took back: restore\."),
    ("/context list", r"main +harbour"),
    ("/context switch", r"main +harbour"),
    ("/context memory", r"Available +[\d.]+ GB"),
    ("/context search harbour", r"Nothing was found\."),
    ("/context export", r"<!-- ullage:"),
    ("/context mode", r"no modes yet"),
    ("/context help", r"/context forget <id>"),
    ("/help", r"/context take-over"),
)


def test_lines_can_be_piped_and_answer_in_their_order(place: Place) -> None:
    place.configure(NO_SERVER + "context: {reserveOutput: 32}\n")
    done = place.run("chat", said="".join(f"{line}\n" for line, _ in PIPED))
    assert done.returncode == 0, done.stderr
    shown = done.stdout
    for line, pattern in PIPED:
        found = re.search(pattern, shown)
        assert found is not None, (line, shown)
        shown = shown[found.end() :]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/context fly", "There is no such command"),
        ("/context size plenty", "such as 8192"),
        ("/context restore ZZZZZZ", "No id ends so"),
        ("/context forget", "/context forget <id>"),
        ("/contxt", "There is no command /contxt"),
    ],
)
def test_a_line_that_can_not_be_done_is_no_question_and_no_success(place: Place, line: str, told: str) -> None:
    place.configure(NO_SERVER)
    done = place.run("chat", said=f"{line}\n/context messages\n")
    assert (done.returncode, told in done.stderr) == (1, True), done.stderr
    assert "The window is empty." in done.stdout


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
