"""A message is durable for the price of a round trip and a commit, however long the conversation is."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.measuring import BlockingClient, median_ms, told
from support.ullage_server import COMMAND, NOBODY, using, workspace

pytestmark = pytest.mark.bench

ECHO = [sys.executable, str(Path(__file__).parents[1] / "support" / "bare_echo.py")]
TEXT = "A message of ordinary length, such as a person types into a chat view, about a function that does not work."
MOST = 3.0


def bare_commit(folder: Path) -> Callable[[], object]:
    """One row in one durable transaction, and nothing else."""
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE said (id INTEGER PRIMARY KEY, text TEXT)")
    return lambda: connection.execute("INSERT INTO said (text) VALUES (?)", (TEXT,))


@pytest.mark.parametrize("present", [10, 10_000])
def test_appending_costs_a_round_trip_and_a_commit(tmp_path: Path, present: int) -> None:
    env = {**os.environ, "ULLAGE_STORAGE": str(tmp_path / "storage"), "HOME": str(tmp_path)}
    commit = bare_commit(tmp_path)
    with BlockingClient(COMMAND, env) as client, BlockingClient(ECHO) as echo:
        client.initialize(initializationOptions=using(NOBODY))
        context_id = client.request("context/open", {"workspaceUri": workspace()})["id"]
        message = {"role": "user", "content": TEXT}
        for start in range(0, present, 1000):
            batch = [
                {**message, "role": ("user", "assistant")[n % 2]} for n in range(start, min(start + 1000, present))
            ]
            client.request("context/append", {"contextId": context_id, "messages": batch})
        turn = {"role": "assistant"}

        def append() -> None:
            turn["role"] = "user" if turn["role"] == "assistant" else "assistant"
            client.request("context/append", {"contextId": context_id, "messages": [{**message, **turn}]})

        params = {"contextId": context_id, "messages": [message]}
        ratios, figures = [], (0.0, 0.0, 0.0)
        for _ in range(5):
            bare = median_ms(lambda: echo.request("echo", params))
            figures = bare, median_ms(commit), median_ms(append)
            ratios.append(figures[2] / (figures[0] + figures[1]))
    ratio = sorted(ratios)[2]
    told(f"append at {present}", ratio, MOST, echo_ms=figures[0], commit_ms=figures[1], append_ms=figures[2])
    assert ratio <= MOST
