"""The two pipes between an editor and this process, each served by a thread of its own.

The event loop never waits for either: what arrives is handed to it, and what can't be written at once is queued.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import select
import sys
import threading
from collections import deque
from collections.abc import Callable

from ullage.lsp.framing import BadFrame, Frame, FrameParser, framed

logger = logging.getLogger(__name__)

READ_SIZE = 65536
MOST_WAITING_FRAMES = 1024
MOST_WAITING_BYTES = 16 * 2**20
FRAMES_AT_ONCE = 32
MOST_UNREAD_BYTES = 256 * 2**20

_ATOMIC = getattr(select, "PIPE_BUF", 0)
"""So many bytes a pipe takes whole, without waiting, whenever it says that it is writable."""


def claim_stdio() -> tuple[int, int]:
    """Take standard input and output for frames alone: the descriptors to read from and to write to.

    From then on what this process or a child prints goes to standard error, and what they read is empty, so that
    neither a stray ``print`` nor a subprocess can corrupt the stream. Neither descriptor is inherited by children.
    """
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415  # exists on Windows only

        for descriptor in (source, sink):
            msvcrt.setmode(descriptor, os.O_BINARY)
    else:
        os.set_blocking(sink, True)
        os.set_blocking(source, True)
    return source, sink


class FrameReader:
    """Reads frames in a thread and hands them, in order, to ``deliver`` on the event loop; at the end of input calls
    ``on_end`` there. At most 1,024 frames and 16 MiB (or one frame) wait for the loop: then the peer waits too."""

    def __init__(
        self,
        source: int,
        loop: asyncio.AbstractEventLoop,
        deliver: Callable[[Frame], None],
        on_end: Callable[[], None],
    ) -> None:
        self._source = source
        self._loop = loop
        self._deliver = deliver
        self._on_end = on_end
        self._waiting: deque[Frame | None] = deque()  # None: the end of input
        self._waiting_bytes = 0
        self._room = threading.Condition()
        self._woken = False

    def start(self) -> None:
        threading.Thread(target=self._read, name="frame-reader", daemon=True).start()

    def _read(self) -> None:
        parser = FrameParser()
        try:
            while chunk := os.read(self._source, READ_SIZE):
                for frame in parser.feed(chunk):
                    self._put(frame)
        except OSError as error:
            logger.warning("Reading from the client failed (errno %s).", error.errno)
        finally:
            self._put(None)

    def _put(self, frame: Frame | None) -> None:
        size = _size(frame)
        with self._room:
            self._room.wait_for(lambda: self._has_room_for(size))
            self._waiting.append(frame)
            self._waiting_bytes += size
            wake = not self._woken
            self._woken = True
        if wake:
            try:
                self._loop.call_soon_threadsafe(self._take)
            except RuntimeError:  # the loop has been closed: nobody listens any more
                logger.debug("A frame came after the end.")

    def _has_room_for(self, size: int) -> bool:
        if not self._waiting:
            return True
        return len(self._waiting) < MOST_WAITING_FRAMES and self._waiting_bytes + size <= MOST_WAITING_BYTES

    def _take(self) -> None:
        """Deliver some frames, then let the loop see to everything else before the next ones."""
        for _ in range(FRAMES_AT_ONCE):
            with self._room:
                if not self._waiting:
                    self._woken = False
                    return
                frame = self._waiting.popleft()
                self._waiting_bytes -= _size(frame)
                self._room.notify()
            if frame is None:
                self._on_end()
            else:
                self._deliver(frame)
        self._loop.call_soon(self._take)


def _size(frame: Frame | None) -> int:
    return 0 if frame is None or isinstance(frame, BadFrame) else len(frame)


class FrameWriter:
    """Writes frames in the order of `write`, which never waits and is called on one thread only.

    A small frame goes straight into a pipe that has room for it. Everything else goes through a queue and a thread,
    which may wait for the peer as long as it likes. A peer that has gone, or leaves 256 MiB unread, ends the stream:
    ``on_broken`` is called once, maybe in that thread, and what is written later goes nowhere.
    """

    def __init__(self, sink: int, on_broken: Callable[[], None]) -> None:
        self._sink = sink
        self._on_broken = on_broken
        self._broken = False
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._queued_bytes = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._poll: Callable[[int], list[tuple[int, int]]] | None = None
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(sink, select.POLLOUT)
            self._poll = poll.poll

    def write(self, body: bytes) -> None:
        if self._broken:
            return
        frame = framed(body)
        if len(frame) <= _ATOMIC and not self._queued_bytes and self._writable():
            self._write_now(frame)
        else:
            self._enqueue(frame)

    def close(self, timeout_s: float = 0.5) -> None:
        """Write what is queued, for at most ``timeout_s``."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout_s)
        self._broken = True

    def _writable(self) -> bool:
        return self._poll is not None and any(events == select.POLLOUT for _, events in self._poll(0))

    def _write_now(self, frame: bytes) -> None:
        try:
            written = os.write(self._sink, frame)
        except OSError as error:
            self._break(error)
        else:
            if written < len(frame):
                self._enqueue(frame[written:])

    def _enqueue(self, frame: bytes) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_queued, name="frame-writer", daemon=True)
            self._thread.start()
        with self._lock:
            self._queued_bytes += len(frame)
        if self._queued_bytes > MOST_UNREAD_BYTES:
            self._break(None)
        else:
            self._queue.put(frame)

    def _write_queued(self) -> None:
        while (frame := self._queue.get()) is not None and not self._broken:
            rest = memoryview(frame)
            try:
                while rest:
                    rest = rest[os.write(self._sink, rest) :]
            except OSError as error:
                self._break(error)
                return
            with self._lock:
                self._queued_bytes -= len(frame)

    def _break(self, error: OSError | None) -> None:
        if not self._broken:
            self._broken = True
            logger.info("The client reads no more%s.", "" if error is None else f" (errno {error.errno})")
            self._on_broken()
