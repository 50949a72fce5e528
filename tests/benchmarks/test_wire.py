"""The wire against pygls as it comes: both servers are asked in turns, so that they share the machine's mood."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.raw_client import frame

pytestmark = pytest.mark.bench

SUPPORT = Path(__file__).parent.parent / "support"
OURS = (sys.executable, str(SUPPORT / "toy_server.py"))
STOCK = (sys.executable, str(SUPPORT / "stock_server.py"))
EMPTY = (*STOCK, "empty")


class BlockingClient:
    """As little client as possible, so that the server's time is what is measured."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.id = 0

    def request(self, method: str, params: dict[str, Any]) -> Any:
        self.id += 1
        self.send(frame({"jsonrpc": "2.0", "id": self.id, "method": method, "params": params}))
        answer = json.loads(self.read())
        while answer.get("id") != self.id:  # a notification
            answer = json.loads(self.read())
        return answer

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def read(self) -> bytes:
        assert self.process.stdout is not None
        length = 0
        while line := self.process.stdout.readline().strip():
            if line.startswith(b"Content-Length"):
                length = int(line.split(b":")[1])
        return self.process.stdout.read(length)

    def initialize(self) -> None:
        self.request("initialize", {"processId": None, "rootUri": None, "capabilities": {}})
        self.send(frame({"jsonrpc": "2.0", "method": "initialized", "params": {}}))


@contextmanager
def spawned(command: tuple[str, ...]) -> Iterator[BlockingClient]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with process:
        try:
            yield BlockingClient(process)
        finally:
            process.kill()


def echo_ms(client: BlockingClient, text: str) -> float:
    begun = time.perf_counter()
    answer = client.request("toy/echo", {"value": {"text": text}})
    taken = time.perf_counter() - begun
    assert answer["result"]
    return taken * 1000


def round_trips(size: int, rounds: int) -> tuple[list[float], list[float]]:
    with spawned(OURS) as ours, spawned(STOCK) as stock:
        for client in (ours, stock):
            client.initialize()
            for _ in range(20):
                echo_ms(client, "warm-up")
        pairs = [(echo_ms(ours, "x" * size), echo_ms(stock, "x" * size)) for _ in range(rounds)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


@pytest.mark.parametrize(("size", "rounds", "most"), [(20, 2000, 0.5), (10_000, 1000, 1.0), (1_000_000, 50, 1.0)])
def test_a_round_trip_takes_a_fraction_of_the_stock_servers_time(size: int, rounds: int, most: float) -> None:
    ours, stock = round_trips(size, rounds)
    ratio = statistics.median(ours) / statistics.median(stock)
    for name, times in (("ours", ours), ("stock", stock)):
        p50, p99 = statistics.median(times), sorted(times)[int(len(times) * 0.99)]
        print(f"\n{size:>9,} bytes  {name:<6} p50 {p50:.3f} ms  p99 {p99:.3f} ms", end="")
    print(f"\n{size:>9,} bytes  ratio of p50 {ratio:.2f}, at most {most}")
    assert ratio <= most


def test_pipelined_requests_are_answered_faster_than_by_the_stock_server() -> None:
    rates = {}
    for name, command in (("ours", OURS), ("stock", STOCK)):
        with spawned(command) as client:
            client.initialize()
            echo_ms(client, "so that no notification is under way")
            count, batch = 5000, 50
            request = {"jsonrpc": "2.0", "method": "toy/echo", "params": {"value": {"text": "x"}}}
            batches = [
                b"".join(frame({**request, "id": number}) for number in range(start, start + batch))
                for start in range(1000, 1000 + count, batch)
            ]
            begun = time.perf_counter()
            for requests in batches:
                client.send(requests)
                for _ in range(batch):
                    client.read()
            rates[name] = count / (time.perf_counter() - begun)
    print(f"\npipelined: ours {rates['ours']:,.0f}/s, stock {rates['stock']:,.0f}/s")
    assert rates["ours"] > 2 * rates["stock"]


def test_initialize_is_answered_nearly_as_soon_as_by_an_empty_server() -> None:
    def spawn_ms(command: tuple[str, ...]) -> float:
        begun = time.perf_counter()
        with spawned(command) as client:
            client.initialize()
            return (time.perf_counter() - begun) * 1000

    pairs = [(spawn_ms(OURS), spawn_ms(EMPTY)) for _ in range(8)]
    ours, empty = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"\nspawn to initialize: ours {ours:.0f} ms, empty pygls {empty:.0f} ms, ratio {ours / empty:.2f}")
    assert ours <= 1.3 * empty
