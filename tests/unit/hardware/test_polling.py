"""Readings whose driver fails, hangs and comes back."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator

import pytest

from ullage.hardware.polling import Poller
from ullage.hardware.probe import Probe, device, summed
from ullage.memory.readings import HardwareKind, MemoryReading

LIMIT_S = 0.05


class Stub:
    """Answers at once, fails, or waits until it is let go."""

    kind: HardwareKind = "nvidia"
    name = "a stub"

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()
        self.error: Exception | None = None
        self.reads = 0

    def read(self, at_ms: int) -> MemoryReading:
        self.reads += 1
        self.free.wait(30)
        if self.error is not None:
            raise self.error
        return summed(self.kind, [device("A", 100, 40)], at_ms, 7)


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """No test sees a thread of the one before."""
    yield
    for thread in threading.enumerate():
        if thread.name == "hardware":
            thread.join(5)


@pytest.fixture
def stub() -> Iterator[Stub]:
    stub = Stub()
    yield stub
    stub.free.set()


@pytest.fixture
def poller(stub: Stub) -> Iterator[Poller]:
    poller = Poller(lambda: stub, time_limit_s=LIMIT_S, clock_ms=lambda: 1234)
    yield poller
    poller.close()


async def until_known(poller: Poller) -> MemoryReading:
    async with asyncio.timeout(5):
        while (reading := await poller.read()).total is None:
            pass  # every reading gives way to the loop
    return reading


async def test_a_reading_is_the_probes_own(poller: Poller) -> None:
    reading = await poller.read()
    assert reading == summed("nvidia", [device("A", 100, 40)], 1234, 7)
    assert poller.last is reading
    assert poller.source == "a stub"


async def test_before_the_first_reading_nothing_is_known(poller: Poller) -> None:
    assert poller.last is None
    assert poller.source is None


async def test_readings_at_the_same_time_are_one(poller: Poller, stub: Stub) -> None:
    readings = await asyncio.gather(*(poller.read() for _ in range(20)))
    assert stub.reads == 1
    assert len(set(map(id, readings))) == 1


async def test_a_call_that_hangs_leaves_the_shape_and_nothing_known(poller: Poller, stub: Stub) -> None:
    await poller.read()
    stub.free.clear()
    assert await poller.read() == summed("nvidia", [device("A", None, None)], 1234)


async def test_while_a_call_hangs_answers_come_at_once_and_no_second_is_begun(poller: Poller, stub: Stub) -> None:
    stub.free.clear()
    await poller.read()
    threads = threading.active_count()
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(100):
        assert (await poller.read()).total is None
    assert loop.time() - began < 50 * LIMIT_S  # a hundred waits would take twice as long
    assert (stub.reads, threading.active_count()) == (1, threads)


async def test_when_the_call_comes_back_readings_go_on(poller: Poller, stub: Stub) -> None:
    stub.free.clear()
    await poller.read()
    stub.free.set()
    assert (await until_known(poller)).available == 40
    assert stub.reads == 2  # what the first one brought was too old


async def test_a_caller_that_gives_up_leaves_the_reading_to_others(poller: Poller, stub: Stub) -> None:
    stub.free.clear()
    impatient = asyncio.create_task(poller.read())
    patient = asyncio.create_task(poller.read())
    await asyncio.sleep(0)
    impatient.cancel()
    stub.free.set()
    assert (await patient).total == 100
    assert impatient.cancelled()


async def test_a_failure_is_a_reading_and_is_logged_once_by_its_kind(
    poller: Poller, stub: Stub, caplog: pytest.LogCaptureFixture
) -> None:
    await poller.read()
    stub.error = OSError("/secret/path")
    with caplog.at_level(logging.WARNING):
        readings = [await poller.read() for _ in range(3)]
    assert [[entry.name for entry in reading.devices] for reading in readings] == [["A"]] * 3
    assert {reading.total for reading in readings} == {None}
    assert [record.getMessage() for record in caplog.records] == ["Reading the memory failed with OSError"]
    stub.error = None
    assert (await poller.read()).total == 100


async def test_hardware_is_looked_for_until_it_is_found(stub: Stub) -> None:
    attempts = iter([OSError(), OSError(), stub])

    def find() -> Probe:
        found = next(attempts)
        if isinstance(found, Exception):
            raise found
        return found

    poller = Poller(find, time_limit_s=5)
    readings = [await poller.read() for _ in range(3)]
    poller.close()
    assert [reading.total for reading in readings] == [None, None, 100]
    assert (readings[0].kind, readings[0].devices) == ("cpu", ())


async def test_the_thread_ends_when_it_is_told_to(stub: Stub) -> None:
    poller = Poller(lambda: stub, time_limit_s=5)
    await poller.read()
    [thread] = [thread for thread in threading.enumerate() if thread.name == "hardware"]
    poller.close()
    assert thread.daemon  # a call that hangs does not keep the process
    await asyncio.to_thread(thread.join, 5)
    assert not thread.is_alive()


def test_an_answer_for_a_loop_that_is_closed_is_dropped(stub: Stub) -> None:
    stub.free.clear()
    poller = Poller(lambda: stub, time_limit_s=LIMIT_S)
    asyncio.run(poller.read())
    [thread] = [thread for thread in threading.enumerate() if thread.name == "hardware"]
    stub.free.set()
    poller.close()
    thread.join(5)
    assert not thread.is_alive()
