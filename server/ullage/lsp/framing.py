"""Frames out of bytes, and bytes out of frames: `Content-Length: N`, a blank line, N bytes of JSON.

No input and no output here: bytes go in as they come, whole bodies and refusals come out. A peer that gets a length
wrong loses that frame and not the ones after it: a raw header line can't occur inside of JSON, where line ends within
strings are escaped, so one that is found in a body proves that the body's length was wrong, and reading goes on there.
"""

from __future__ import annotations

import re

from attrs import frozen
from lsprotocol.types import ErrorCodes

LARGEST_BODY = 64 * 2**20
LARGEST_DRAINED = 2**30
LARGEST_HEADER = 8192

_BLANK_LINE = b"\r\n\r\n"
_NAME = b"Content-Length:"
_LENGTH = re.compile(rb"[ \t]*(\d{1,18})[ \t]*")
_HEADER = re.compile(rb"Content-Length:[ \t]*\d{1,18}\r\n")
_CUT_HEADER = re.compile(rb"Content-Length:[ \t]*\d{0,18}\r?")
_LONGEST_MATCH = 64
"""No shorter than anything that `_HEADER` matches in practice: so much is looked at again when more bytes come."""


@frozen
class BadFrame:
    """What can't be read as a frame: the error code to answer with, and a sentence for it."""

    code: int
    message: str


Frame = bytes | BadFrame


def framed(body: bytes) -> bytes:
    """One frame, header and body, ready to be written at once."""
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class FrameParser:
    """Turns a stream of bytes, cut anywhere, into frames.

    Memory grows with what has arrived of one body, never with what a header announces: bodies over 64 MiB are passed
    over as they come, and a length over 1 GiB, or one that is no length, only drops its header.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._length: int | None = None  # of the body that is being read; None while a header is
        self._draining = False
        self._searched = 0  # how much of the buffer holds no end of a header, or no header, for certain
        self._lost = False  # a refusal was given already for the bytes that are passed over now

    def feed(self, chunk: bytes) -> list[Frame]:
        self._buffer += chunk
        frames: list[Frame] = []
        while self._read_header(frames) if self._length is None else self._read_body(frames):
            pass
        return frames

    def _read_header(self, frames: list[Frame]) -> bool:
        """Take one header from the buffer; False where more bytes are needed."""
        end = self._buffer.find(_BLANK_LINE, self._searched)
        if end < 0:
            self._searched = max(len(self._buffer) - len(_BLANK_LINE) + 1, 0)
            if len(self._buffer) > LARGEST_HEADER:
                self._pass_over(frames)
            return False
        header = bytes(self._buffer[:end])
        self._drop(end + len(_BLANK_LINE))
        found = _content_length(header)
        if isinstance(found, BadFrame):
            self._refuse(frames, found)
            return True
        length, stray = found
        if length > LARGEST_BODY:
            self._refuse(frames, _too_large(length))
        elif stray:
            self._refuse(frames, _stray_bytes())
        self._length = length if length <= LARGEST_DRAINED else None
        self._draining = length > LARGEST_BODY
        self._lost = length > LARGEST_DRAINED
        return True

    def _read_body(self, frames: list[Frame]) -> bool:
        """Take one body from the buffer, or as much of it as is here where it is drained."""
        assert self._length is not None
        arrived = min(len(self._buffer), self._length)
        inside = self._header_inside(arrived)
        if inside is not None:
            self._end_body(inside, frames, None if self._draining else _wrong_length())
            return True
        if arrived == self._length:
            self._complete_body(frames)
            return True
        self._searched = max(arrived - _LONGEST_MATCH, 0)
        if self._draining:
            self._length -= self._searched
            self._drop(self._searched)
        return False

    def _complete_body(self, frames: list[Frame]) -> None:
        assert self._length is not None
        cut = _cut_header(bytes(self._buffer[max(self._length - _LONGEST_MATCH, 0) : self._length]))
        if self._draining:
            self._end_body(self._length - cut, frames, None)
        elif cut:
            self._end_body(self._length - cut, frames, _wrong_length())
        else:
            with memoryview(self._buffer) as view:
                body = bytes(view[: self._length])
            self._end_body(self._length, frames, body)

    def _end_body(self, size: int, frames: list[Frame], frame: Frame | None) -> None:
        if frame is not None:
            frames.append(frame)
        self._drop(size)
        self._length = None

    def _header_inside(self, end: int) -> int | None:
        """Where a raw header line stands within the first ``end`` bytes of the buffer."""
        at = self._buffer.find(_NAME, self._searched, end)
        while at >= 0:
            if _HEADER.match(self._buffer, at, end):
                return at
            at = self._buffer.find(_NAME, at + 1, end)
        return None

    def _pass_over(self, frames: list[Frame]) -> None:
        """Give up what is too long for a header, but for a header that may begin near its end."""
        at = self._buffer.rfind(_NAME)
        if at < 0 or len(self._buffer) - at > LARGEST_HEADER:
            at = len(self._buffer) - len(_NAME) + 1
        self._refuse(frames, _stray_bytes())
        self._drop(at)

    def _refuse(self, frames: list[Frame], refusal: BadFrame) -> None:
        if not self._lost:
            frames.append(refusal)
        self._lost = True

    def _drop(self, size: int) -> None:
        del self._buffer[:size]
        self._searched = 0


def _content_length(header: bytes) -> tuple[int, bool] | BadFrame:
    """The one length that a header's lines announce, and whether bytes of a broken frame stand before it."""
    values, stray = set(), False
    for line in header.split(b"\r\n"):
        before, name, value = line.lower().rpartition(_NAME.lower())
        if name:
            values.add(value)
            stray = stray or before != b""
    if len(values) != 1:
        count = "more than one" if values else "no"
        return BadFrame(
            ErrorCodes.InvalidRequest, f"A header with {count} Content-Length was dropped; send one in each."
        )
    length = _LENGTH.fullmatch(values.pop())
    if length is None:
        return BadFrame(
            ErrorCodes.InvalidRequest, "A Content-Length that is no length was dropped; send decimal digits."
        )
    return int(length[1]), stray


def _cut_header(tail: bytes) -> int:
    """How many bytes at the end of a body are the beginning of a header. No JSON text ends like that."""
    at = tail.rfind(_NAME[:1])
    if at < 0:
        return 0
    end = tail[at:]
    return len(end) if _NAME.startswith(end) or _CUT_HEADER.fullmatch(end) else 0


def _too_large(length: int) -> BadFrame:
    text = f"A frame of {length:,} bytes was refused: at most {LARGEST_BODY:,} are taken. Send less at once."
    return BadFrame(ErrorCodes.InvalidRequest, text)


def _stray_bytes() -> BadFrame:
    return BadFrame(ErrorCodes.InvalidRequest, "Bytes that belong to no frame were dropped; check the Content-Length.")


def _wrong_length() -> BadFrame:
    return BadFrame(ErrorCodes.ParseError, "The next frame begins inside of this one; check the Content-Length.")
