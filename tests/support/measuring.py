"""Timings from outside, with as little in between as can be: blocking pipes, one request at a time."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

from support.raw_client import frame


class BlockingClient:
    """Speaks the framing over blocking pipes, so that no event loop of the test's own is measured."""

    def __init__(self, command: list[str], env: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env
        )
        self._next_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def exchange(self, body: bytes) -> bytes:
        """Send one frame and return the next one that comes."""
        self.send(frame(body))
        return self.read()

    def request(self, method: str, params: Any = None) -> Any:
        """Send a request and return its result, notifications passed over."""
        self._next_id += 1
        message = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": params or {}}
        self.send(frame(message))
        while True:
            answer = json.loads(self.read())
            if answer.get("id") == self._next_id and "method" not in answer:
                return answer["result"]

    def notify(self, method: str, params: Any = None) -> None:
        self.send(frame({"jsonrpc": "2.0", "method": method, "params": params or {}}))

    def initialize(self, **params: Any) -> None:
        self.request("initialize", {"processId": None, "rootUri": None, "capabilities": {}, **params})
        self.notify("initialized")

    def send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def read(self) -> bytes:
        assert self._process.stdout is not None
        length = 0
        while line := self._process.stdout.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return self._process.stdout.read(length)


def median_ms(work: Callable[[], object], times: int = 300) -> float:
    """The median of single runs, in milliseconds."""
    durations = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        durations.append(time.perf_counter() - began)
    return statistics.median(durations) * 1000


def told(name: str, ratio: float, most: float, **figures: float) -> None:
    """Print one measurement in one line."""
    details = ", ".join(f"{key} {value:.3f}" for key, value in figures.items())
    sys.stderr.write(f"\n{name}: {ratio:.2f} (at most {most}) [{details}]\n")
