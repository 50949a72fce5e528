"""Making room without a model, against counting and writing the same messages and nothing else."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from support.measuring import BlockingClient, told
from support.planted import long_history
from support.ullage_server import COMMAND, NOBODY, using, workspace
from ullage.tokens.byte_pairs import BytePairEncoder
from ullage.tokens.tiktoken_vocabulary import o200k

pytestmark = pytest.mark.bench

MESSAGES = 2000
MOST = 3.0
ROUNDS = 7


@pytest.fixture(scope="module")
def encoder() -> BytePairEncoder:
    """What the server counts with where it knows no model."""
    encoder = o200k()
    assert encoder is not None
    encoder.count("Built at the first count.")
    return encoder


def counting_s(encoder: BytePairEncoder, contents: list[str]) -> float:
    began = time.perf_counter()
    for content in contents:
        encoder.count(content)
    return time.perf_counter() - began


def writing_s(file: Path, contents: list[str]) -> float:
    """A row for each in one durable transaction."""
    with sqlite3.connect(file, isolation_level=None) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS said (id INTEGER PRIMARY KEY, text TEXT)")
        began = time.perf_counter()
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO said (text) VALUES (?)", [(content,) for content in contents])
        connection.execute("COMMIT")
        taken = time.perf_counter() - began
    connection.close()
    return taken


def filled(client: BlockingClient, name: str, messages: list[dict[str, Any]]) -> str:
    """A context in which these were said."""
    context_id = client.request("context/open", {"workspaceUri": workspace(name)})["id"]
    for start in range(0, len(messages), 1000):
        params = {"contextId": context_id, "messages": messages[start : start + 1000]}
        client.request("context/append", params)
    return str(context_id)


def compressing_s(client: BlockingClient, context_id: str) -> float:
    began = time.perf_counter()
    result = client.request("context/compress", {"contextId": context_id, "strategy": "truncate"})
    taken = time.perf_counter() - began
    assert result["removed"] > MESSAGES // 2
    return taken


def test_compressing_without_a_model_costs_little_beside_counting_and_writing(
    tmp_path: Path, encoder: BytePairEncoder
) -> None:
    env = {**os.environ, "ULLAGE_STORAGE": str(tmp_path / "storage"), "HOME": str(tmp_path)}
    rounds = []
    with BlockingClient(COMMAND, env) as client:
        client.initialize(initializationOptions=using(NOBODY, compression={"preserveRecent": 1024}))
        for number in range(ROUNDS):
            messages = long_history(MESSAGES, seed=number)
            contents = [message["content"] for message in messages]
            compressing = compressing_s(client, filled(client, f"project{number}", messages))
            rounds.append((counting_s(encoder, contents), writing_s(tmp_path / "floor.db", contents), compressing))
    counting, writing, compressing = (min(column) for column in zip(*rounds, strict=True))
    ratio = compressing / (counting + writing)
    figures = {"counting_ms": counting, "writing_ms": writing, "compressing_ms": compressing}
    told(f"compress {MESSAGES:,}", ratio, MOST, **{name: seconds * 1000 for name, seconds in figures.items()})
    assert ratio <= MOST
