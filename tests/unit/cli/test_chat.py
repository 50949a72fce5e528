"""`ullage chat` on a fake server: plain, and on a real terminal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from support import terminal_with_fake_server
from ullage.cli.chat import server_line

ANSWER = "A quay is a landing place."
COMMAND = [sys.executable, terminal_with_fake_server.__file__]


def piped(mode: str, said: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, mode, "chat", str(folder)]
    return subprocess.run(command, input=said, capture_output=True, text=True, timeout=30, check=False, cwd=folder)


def test_piped_questions_give_the_answers_alone(tmp_path: Path) -> None:
    done = piped("normal", "What is a quay?\nAgain?\n", tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{ANSWER}\n{ANSWER}\n")


def test_nothing_piped_has_escapes(tmp_path: Path) -> None:
    done = piped("trims", "What is a quay?\n/context\n/context stats\n/context list\n/help\n", tmp_path)
    assert "\x1b" not in done.stdout + done.stderr


def test_the_server_and_the_window_are_named_before_the_first_question(tmp_path: Path) -> None:
    done = piped("normal", "", tmp_path)
    assert "1,000 / 4,096 (24%)" in done.stderr
    assert "tiny, answered by ollama at http://127.0.0.1:11434." in done.stderr


def test_the_status_follows_the_answer(tmp_path: Path) -> None:
    assert "◔ 1,406 / 4,096 (34%) · tiny · 214 reused of 230" in piped("normal", "What is a quay?\n", tmp_path).stderr


def test_an_empty_line_asks_again_what_was_not_answered(tmp_path: Path) -> None:
    done = piped("unavailable-once", "What is a quay?\n\n", tmp_path)
    assert "No model server answers. Start one." in done.stderr
    assert done.stdout == f"{ANSWER}\n"


def test_an_unanswered_question_makes_the_exit_code_one(tmp_path: Path) -> None:
    assert piped("unavailable-once", "What is a quay?\n", tmp_path).returncode == 1


def test_retry_does_the_same_as_an_empty_line(tmp_path: Path) -> None:
    assert piped("unavailable-once", "What is a quay?\n/retry\n", tmp_path).stdout == f"{ANSWER}\n"


def test_a_busy_context_offers_to_take_over_and_keeps_the_question(tmp_path: Path) -> None:
    done = piped("busy", "What is a quay?\n", tmp_path)
    assert "--take-over" in done.stderr
    assert "The question is kept" in done.stderr


def test_a_question_that_was_refused_is_said_again_once_the_context_is_taken_over(tmp_path: Path) -> None:
    done = piped("busy", "What is a quay?\n/context take-over\n\n/context messages\n", tmp_path)
    assert done.stdout.startswith(f"This window writes the context now.\n{ANSWER}\n")
    assert "What is a quay?" in done.stdout


def test_what_left_the_window_is_told_before_the_answer(tmp_path: Path) -> None:
    told = piped("trims", "What is a quay?\n", tmp_path).stderr
    assert "Room was made in the window: 1,003 → 467 tokens; 6 messages left the window" in told


def test_a_server_that_dies_is_told_with_its_last_words_and_started_again(tmp_path: Path) -> None:
    done = piped("mortal", "What is a quay?\n/context messages\n", tmp_path)
    assert "The server ended unexpectedly.\nthe boiler burst\n" in done.stderr
    assert "It was started again. The question is kept" in done.stderr


def test_a_damaged_store_is_told_once(tmp_path: Path) -> None:
    done = piped("damaged", "What is a quay?\n", tmp_path)
    assert done.stderr.count("was damaged") == 1
    assert "store.db.broken-1" in done.stderr


def test_an_input_that_is_closed_is_one_that_has_ended(tmp_path: Path) -> None:
    closed = ["sh", "-c", 'exec "$@" <&-', "sh", *COMMAND, "normal", "chat", str(tmp_path)]
    done = subprocess.run(closed, capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path)
    assert "Traceback" not in done.stderr
    assert "answered by ollama" in done.stderr
    assert (done.returncode, done.stdout) == (0, "")


def test_an_unknown_command_says_so_and_shows_help(tmp_path: Path) -> None:
    done = piped("normal", "/context sail\n", tmp_path)
    assert "There is no such command" in done.stderr
    assert "/context switch [name]" in done.stdout


def test_a_line_that_ends_with_a_backslash_goes_on(tmp_path: Path) -> None:
    done = piped("normal", "What is\\\na quay?\n/context messages\n", tmp_path)
    assert "What is a quay?" in done.stdout


def test_quit_leaves(tmp_path: Path) -> None:
    assert piped("normal", "/quit\nWhat is a quay?\n", tmp_path).stdout == ""


def test_a_line_that_the_server_refuses_makes_the_exit_code_one(tmp_path: Path) -> None:
    done = piped("normal", "/context switch harbour\n", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "No id ends so." in done.stderr


def test_what_a_line_shows_is_plain_text_where_nobody_looks(tmp_path: Path) -> None:
    done = piped("normal", "What is a quay?\n/context messages\n", tmp_path)
    assert done.stdout == f"{ANSWER}\nrole       text\nuser       What is a quay?\nassistant  {ANSWER}\n"


def test_the_status_is_shown_as_everywhere_else(tmp_path: Path) -> None:
    assert "  Tokens:       1,000 / 4,096 (24%)\n" in piped("normal", "/context\n", tmp_path).stdout


def test_after_a_switch_what_is_said_goes_to_the_other_context(tmp_path: Path) -> None:
    done = piped("normal", "/context switch night\n/context\n", tmp_path)
    assert done.stdout.startswith("Now in night.\nnight\n")


def test_a_cleared_window_has_nothing_waiting(tmp_path: Path) -> None:
    done = piped("unavailable-once", "What is a quay?\n/context clear\n/retry\n", tmp_path)
    assert done.stdout == "Cleared: empty. /context undo brings it back.\nNothing waits for an answer.\n"


def test_a_missing_model_server_is_said_before_the_first_question() -> None:
    stats = {"model": {"name": None, "provider": None}, "settings": []}
    assert server_line(stats) == "No model server answers yet. What you say is kept until one does."


def test_the_embedded_engine_is_named_as_on_this_machine() -> None:
    stats = {"model": {"name": "tiny", "provider": "embedded"}, "settings": []}
    assert server_line(stats) == "tiny, answered by the embedded engine on this machine."


@pytest.fixture
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[pexpect.spawn[str]]:
    arguments = [*COMMAND[1:], request.param, "chat", str(tmp_path)]
    child = pexpect.spawn(COMMAND[0], arguments, encoding="utf-8", timeout=20, dimensions=(40, 160), cwd=str(tmp_path))
    child.expect("> ")
    yield child
    child.close(force=True)


@pytest.mark.parametrize("terminal", ["normal"], indirect=True)
def test_a_terminal_shows_the_answer_and_prompts_again(terminal: pexpect.spawn[str]) -> None:
    terminal.sendline("What is a quay?")
    terminal.expect("A quay is a landing place.")
    terminal.expect("214 reused of 230")
    terminal.expect("> ")


@pytest.mark.parametrize("terminal", ["endless"], indirect=True)
def test_ctrl_c_stops_an_answer_and_not_the_conversation(terminal: pexpect.spawn[str]) -> None:
    terminal.sendline("What is a quay?")
    terminal.expect("A quay ")
    terminal.sendintr()
    terminal.expect("Stopped. What had come is kept.")
    terminal.expect("> ")
    terminal.sendline("/context")
    terminal.expect("Compression")


@pytest.mark.parametrize("terminal", ["stubborn"], indirect=True)
def test_a_second_ctrl_c_does_not_wait_for_a_server_that_goes_on(terminal: pexpect.spawn[str]) -> None:
    terminal.sendline("What is a quay?")
    terminal.expect("A quay ")
    terminal.sendintr()
    terminal.expect("Ctrl-C again leaves")
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    terminal.wait()
    assert terminal.exitstatus == 130


@pytest.mark.parametrize("terminal", ["normal"], indirect=True)
def test_ctrl_c_at_the_prompt_leaves_after_a_hint(terminal: pexpect.spawn[str]) -> None:
    terminal.sendintr()
    terminal.expect("Ctrl-C again")
    terminal.expect("> ")
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    terminal.wait()
    assert terminal.exitstatus == 0


@pytest.mark.parametrize("terminal", ["normal"], indirect=True)
def test_ctrl_d_leaves(terminal: pexpect.spawn[str]) -> None:
    terminal.sendeof()
    terminal.expect(pexpect.EOF)
    terminal.wait()
    assert terminal.exitstatus == 0


@pytest.mark.parametrize("terminal", ["normal"], indirect=True)
def test_tab_completes_a_command(terminal: pexpect.spawn[str]) -> None:
    terminal.send("/context cl\t")
    terminal.expect("/context clear")
    terminal.sendline("")
    terminal.expect("Cleared: ")


@pytest.mark.parametrize("terminal", ["normal"], indirect=True)
def test_a_terminal_draws_what_a_line_shows(terminal: pexpect.spawn[str]) -> None:
    terminal.sendline("/context clear")
    terminal.expect(r"\x1b\[1mempty")
    terminal.expect("> ")


@pytest.mark.parametrize("terminal", ["normal"], indirect=True)
def test_the_arrow_brings_back_a_question(terminal: pexpect.spawn[str]) -> None:
    terminal.sendline("What is a quay?")
    terminal.expect("214 reused of 230")
    terminal.expect("> ")
    terminal.send("\x1b[A")
    terminal.expect("What is a quay\\?")
