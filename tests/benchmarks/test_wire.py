"""The wire against pygls as it comes: both servers are asked in turns, so that they share the machine's mood."""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path

import pytest

from support.measuring import BlockingClient, told
from support.raw_client import frame
from support.ullage_server import COMMAND, NOBODY, using

pytestmark = pytest.mark.bench

SUPPORT = Path(__file__).parent.parent / "support"
OURS = [sys.executable, str(SUPPORT / "toy_server.py")]
STOCK = [sys.executable, str(SUPPORT / "stock_server.py")]
EMPTY = [*STOCK, "empty"]


def echo_ms(client: BlockingClient, text: str) -> float:
    begun = time.perf_counter()
    answer = client.request("toy/echo", {"value": {"text": text}})
    taken = time.perf_counter() - begun
    assert answer
    return taken * 1000


def count_ms(client: BlockingClient) -> float:
    """A small request of the real server's own."""
    begun = time.perf_counter()
    answer = client.request("context/countTokens", {"texts": ["x" * 20]})
    taken = time.perf_counter() - begun
    assert answer["total"] > 0
    return taken * 1000


def round_trips(size: int, rounds: int) -> tuple[list[float], list[float]]:
    with BlockingClient(OURS) as ours, BlockingClient(STOCK) as stock:
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
        with BlockingClient(command) as client:
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


def test_a_small_request_of_the_real_server_takes_half_of_the_stock_servers_echo(tmp_path: Path) -> None:
    env = {**os.environ, "ULLAGE_STORAGE": str(tmp_path / "storage"), "HOME": str(tmp_path)}
    with BlockingClient(COMMAND, env) as ours, BlockingClient(STOCK) as stock:
        ours.initialize(initializationOptions=using(NOBODY))
        stock.initialize()
        for _ in range(50):
            count_ms(ours)
            echo_ms(stock, "warm-up")
        pairs = [(count_ms(ours), echo_ms(stock, "x" * 20)) for _ in range(2000)]
    real, echo = (statistics.median(times) for times in zip(*pairs, strict=True))
    told("small request", real / echo, 0.5, ours_ms=real, stock_echo_ms=echo)
    assert real <= 0.5 * echo


def test_initialize_is_answered_nearly_as_soon_as_by_an_empty_server(tmp_path: Path) -> None:
    env = {**os.environ, "ULLAGE_STORAGE": str(tmp_path / "storage"), "HOME": str(tmp_path)}

    def spawn_ms(command: list[str]) -> float:
        begun = time.perf_counter()
        with BlockingClient(command, env) as client:
            client.initialize()
            return (time.perf_counter() - begun) * 1000

    pairs = [(spawn_ms(COMMAND), spawn_ms(EMPTY)) for _ in range(12)]
    ours, empty = (statistics.median(times) for times in zip(*pairs, strict=True))
    told("spawn to initialize", ours / empty, 1.3, ours_ms=ours, empty_ms=empty)
    assert ours <= 1.3 * empty
