"""Prints, in milliseconds, what a poll costs: the event loop's own time, the longest that anything else on the loop
waits meanwhile, and the whole process's time with every thread of it."""

from __future__ import annotations

import asyncio
import json
import statistics
import time

from ullage.hardware.polling import Poller, now_ms

POLLS = 300
EVERY_MS = 5000


class Clock:
    """Five seconds between readings, as in use: what is done seldom is done as seldom."""

    def __init__(self) -> None:
        self.now = now_ms()

    def __call__(self) -> int:
        self.now += EVERY_MS
        return self.now


async def gap_ms(poller: Poller) -> float:
    """The longest wait of a loop that has something to do all the time, while one poll is under way."""
    polling = asyncio.create_task(poller.read())
    longest, before = 0.0, time.perf_counter()
    while not polling.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, before = max(longest, now - before), now
    return longest * 1000


async def main() -> None:
    poller = Poller(clock_ms=Clock())
    kind = (await poller.read()).kind
    polls, floors = [], []
    began = time.process_time()
    for _ in range(POLLS):
        before = time.thread_time()
        await poller.read()
        polls.append((time.thread_time() - before) * 1000)
    process_ms = (time.process_time() - began) / POLLS * 1000
    for _ in range(POLLS):
        before = time.thread_time()
        await asyncio.to_thread(lambda: None)
        floors.append((time.thread_time() - before) * 1000)
    gaps = [await gap_ms(poller) for _ in range(POLLS)]
    poller.close()
    figures = {
        "poll_ms": statistics.median(polls),
        "poll_p99_ms": sorted(polls)[int(POLLS * 0.99)],
        "poll_max_ms": max(polls),
        "floor_ms": statistics.median(floors),
        "floor_max_ms": max(floors),
        "gap_ms": statistics.median(gaps),
        "gap_max_ms": max(gaps),
        "process_ms": process_ms,
    }
    print(json.dumps({**figures, "is_nvidia": kind == "nvidia"}))


asyncio.run(main())
