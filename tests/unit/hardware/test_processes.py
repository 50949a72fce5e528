"""Which processes are model servers, and what they hold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ullage.hardware.commands import run
from ullage.hardware.processes import (
    SEARCH_EVERY_MS,
    ResidentServers,
    held_by_servers,
    is_model_server,
    serves_models,
)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ollama", []),
        ("Ollama.exe", []),
        ("llama-server", []),
        ("LM Studio Helper", []),
        ("VLLM::EngineCore", []),
        ("python3.11", ["python3.11", "-P", "-m", "ullage.providers.embedded_engine"]),
        ("python", ["python", "-m", "vllm.entrypoints.openai.api_server", "--model", "m"]),
        ("python3", ["/usr/bin/python3", "/usr/local/bin/vllm", "serve"]),
        ("node", ["/home/u/.lmstudio/.internal/utils/node", "/home/u/.lmstudio/worker.js"]),
        ("python.exe", ["python.exe", "C:\\tools\\koboldcpp.py"]),
    ],
)
def test_a_model_server_is_known_by_its_program_or_module(name: str, arguments: list[str]) -> None:
    assert is_model_server(name, arguments) is True


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Xorg", []),
        ("firefox", ["firefox", "ollama.com"]),
        ("python3", ["python3", "train.py", "--compare", "vllm"]),
        ("python3", ["python3", "-c", "print('vllm')"]),
        ("python3", ["python3"]),
        ("python3", ["python3", "-m"]),
        ("python3", []),
        ("node", ["node", "server.js"]),
        ("", []),
    ],
)
def test_others_are_not(name: str, arguments: list[str]) -> None:
    assert is_model_server(name, arguments) is False


def test_an_interpreter_that_hides_what_it_runs_cannot_be_told() -> None:
    assert is_model_server("python3", None) is None


def test_a_process_that_is_gone_cannot_be_told() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    assert serves_models(ended.pid) is None


@pytest.mark.parametrize("pid", [2**31, 2**63, -1])
def test_a_number_that_no_process_can_have_cannot_be_told(pid: int) -> None:
    assert serves_models(pid) is None


def test_this_process_is_none() -> None:
    assert serves_models(os.getpid()) is False


def test_what_servers_hold_is_added_up() -> None:
    assert held_by_servers({1: 10, 2: 5, 3: 7}, lambda pid: pid != 2) == 17


def test_one_unknown_makes_the_sum_unknown() -> None:
    assert held_by_servers({1: 10, 2: None}, lambda pid: True) is None
    assert held_by_servers({1: 10, 2: 5}, lambda pid: None if pid == 2 else True) is None


def test_the_resident_memory_of_servers_is_counted() -> None:
    held = ResidentServers(lambda pid: pid == os.getpid()).read(0)
    assert held is not None
    assert held > 2**20


def test_where_no_server_runs_nothing_is_held() -> None:
    assert ResidentServers(lambda pid: False).read(0) == 0


def test_all_processes_are_searched_seldom() -> None:
    asked: list[int] = []

    def serves(pid: int) -> bool:
        asked.append(pid)
        return pid == os.getpid()

    servers = ResidentServers(serves)
    servers.read(0)
    asked.clear()
    servers.read(SEARCH_EVERY_MS - 1)
    assert asked == [os.getpid()]
    servers.read(SEARCH_EVERY_MS)
    assert len(asked) > 2


def test_a_command_that_cannot_be_started_or_fails_tells_nothing(tmp_path: Path) -> None:
    assert run([str(tmp_path / "missing")]) is None
    assert run([sys.executable, "-c", "import sys; print(5); sys.exit(1)"]) is None


def test_a_command_tells_what_it_prints() -> None:
    assert run([sys.executable, "-c", "print(5)"]) == "5\n"


def test_a_command_is_given_up_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ullage.hardware.commands.TIME_LIMIT_S", 0.2)
    assert run([sys.executable, "-c", "import time; time.sleep(30)"]) is None
