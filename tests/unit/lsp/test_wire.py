"""The two pipes: order, waiting, and a client that is gone."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from ullage.lsp import wire
from ullage.lsp.framing import Frame, FrameParser, framed
from ullage.lsp.wire import FrameReader, FrameWriter


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):  # the test may have closed it
            os.close(end)


class Reading:
    """Reads a descriptor to its end in a thread, as a client does in its own time."""

    def __init__(self, source: int) -> None:
        self.frames: list[Frame] = []
        self._source = source
        self.thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        parser = FrameParser()
        while chunk := os.read(self._source, 65536):
            self.frames += parser.feed(chunk)

    def finish(self) -> list[Frame]:
        self.thread.join(10)
        assert not self.thread.is_alive()
        return self.frames


def never() -> None:
    raise AssertionError("the stream was taken for broken")


@pytest.mark.parametrize("over", ["pipe", "socket"])
def test_small_and_large_frames_keep_their_order_to_a_client_that_reads_late(over: str) -> None:
    if over == "pipe":
        source, sink = os.pipe()
    else:
        source, sink = (end.detach() for end in socket.socketpair())
    bodies = [b"%d" % number * size for number in range(100) for size in (1, 2000, 30_000, 3)]
    writer = FrameWriter(sink, never)
    for body in bodies:
        writer.write(body)
    reading = Reading(source)
    reading.thread.start()
    writer.close(timeout_s=10)
    os.close(sink)
    assert reading.finish() == bodies
    os.close(source)


def test_a_small_frame_is_in_the_pipe_when_write_returns(pipe: tuple[int, int]) -> None:
    FrameWriter(pipe[1], never).write(b"{}")
    os.set_blocking(pipe[0], False)
    assert os.read(pipe[0], 100) == framed(b"{}")


def test_writing_never_waits_for_a_client_that_does_not_read(pipe: tuple[int, int]) -> None:
    writer = FrameWriter(pipe[1], lambda: None)
    done = threading.Event()

    def write() -> None:
        for _ in range(1000):
            writer.write(b"x" * 1000)
        done.set()

    threading.Thread(target=write, daemon=True).start()
    assert done.wait(5)
    os.close(pipe[0])
    writer.close()


def test_a_client_that_has_gone_is_told_of_once(pipe: tuple[int, int]) -> None:
    lost: list[int] = []
    writer = FrameWriter(pipe[1], lambda: lost.append(1))
    os.close(pipe[0])
    for body in (b"{}", b"{}", b"x" * 100_000):
        writer.write(body)
    writer.close(timeout_s=5)
    assert lost == [1]


def test_a_client_that_leaves_too_much_unread_is_given_up(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MOST_UNREAD_BYTES", 200_000)
    lost: list[int] = []
    writer = FrameWriter(pipe[1], lambda: lost.append(1))
    for _ in range(10):
        writer.write(b"x" * 100_000)
    assert lost == [1]
    os.close(pipe[0])
    writer.close()


async def test_frames_are_delivered_on_the_loop_in_order_and_then_the_end(pipe: tuple[int, int]) -> None:
    taken: list[Frame | str] = []
    ended = asyncio.Event()

    def end() -> None:
        taken.append("end")
        ended.set()

    FrameReader(pipe[0], asyncio.get_running_loop(), taken.append, end).start()
    bodies = [b"%d" % number for number in range(500)]
    os.write(pipe[1], b"".join(map(framed, bodies)))
    os.close(pipe[1])
    await asyncio.wait_for(ended.wait(), 5)
    assert taken == [*bodies, "end"]


async def test_a_busy_loop_makes_the_client_wait(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MOST_WAITING_FRAMES", 4)
    taken: list[Frame] = []
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    reader = FrameReader(pipe[0], loop, taken.append, ended.set)
    frame = framed(b"x" * 1000)
    reader.start()
    os.set_blocking(pipe[1], False)
    room = select.poll()
    room.register(pipe[1], select.POLLOUT)
    written = 0
    while room.poll(200) and written < 2**20:  # the loop is busy here and takes nothing: in the end the pipe is full
        written += os.write(pipe[1], frame)
    assert written < 2**20
    os.close(pipe[1])
    await asyncio.wait_for(ended.wait(), 5)
    assert len(taken) == written // len(frame)
