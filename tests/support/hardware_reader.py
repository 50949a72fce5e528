"""Reads the hardware for every line on its input, and prints what it read and how long that took."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from typing import Any

from attrs import asdict

from ullage.hardware.polling import Poller


async def answer(poller: Poller) -> dict[str, Any]:
    began = time.perf_counter()
    reading = await poller.read()
    took_s = time.perf_counter() - began
    assert poller.last is reading
    return {**asdict(reading), "took_s": took_s, "source": poller.source, "threads": threading.active_count()}


async def serve(time_limit_s: float) -> None:
    poller = Poller(time_limit_s=time_limit_s)
    for line in iter(sys.stdin.readline, ""):
        answers = await asyncio.gather(*(answer(poller) for _ in range(3 if line.strip() == "three" else 1)))
        print(json.dumps(answers[-1]), flush=True)
    poller.close()


asyncio.run(serve(float(sys.argv[1])))
