"""The bytes of a snapshot's file.

::

    {
      "format": "ullage snapshot",
      "version": 1,
      "id": …, "contextId": …, "createdAt": …, "tokens": …, "messages": …, "summary": …, "trigger": …,
      "metadata": {"model": …, "contextSize": …, "compressionRatio": …},
      "contentBytes": …,
      "content": "base64 of zstd of JSON lines: the marks first, then a message in each",
      "checksum": "SHA-256 of every byte before these 64 digits"
    }

In all versions the first two fields and the checksum stay where they are, so that a file of a newer version can be told
from a damaged one. Everything here works in slices: no room is reserved because a file says that it needs it, and
between two slices other threads run, since compressing, hashing and reading let go of the interpreter.
"""

from __future__ import annotations

import os
import re
import sys
import time
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from hashlib import sha256
from types import ModuleType
from typing import BinaryIO

from attrs import frozen

from ullage.store.snapshot_records import SnapshotContent, SnapshotHeader
from ullage.store.snapshot_shape import (
    LONGEST_SUMMARY,
    MOST_MESSAGES,
    content_from_trees,
    header_from_tree,
    header_to_tree,
    marks_to_tree,
    message_from_tree,
    message_to_tree,
)

VERSION = 1

LARGEST_CONTENT_BYTES = 256 * 2**20
"""Before compression: more than any window has, and still little enough to be in memory."""

SLICE_BYTES = 32 * 2**10
"""What is worked on in one go: one to two tenths of a millisecond, for as long as which others may have to wait."""

_give_way: Callable[[], object] = getattr(os, "sched_yield", partial(time.sleep, 0))
"""Lets go of the core: a thread that computes without a pause would keep it for milliseconds on a busy machine, whoever
is waiting for it."""

LARGEST_HEAD_BYTES = 64 * 2**10
LARGEST_FILE_BYTES = LARGEST_HEAD_BYTES + LARGEST_CONTENT_BYTES * 3 // 2
"""Base64 adds a third, and zstd next to nothing where it finds nothing to compress."""

_WINDOW_LOG = 23
"""Bytes that a decompressor may reserve, as a power of two; four times what is needed for what is written here."""

_LEVEL = 3
_BEGINNING = re.compile(rb'\{\n  "format": "ullage snapshot",\n  "version": (\d{1,9}),\n')
_CONTENT = b',\n  "content": "'
_CHECKSUM = b'",\n  "checksum": "'
_END = b'"\n}\n'
_SEAL_BYTES = 64 + len(_END)


class Damaged(Exception):
    """A file that is not what was written. The text is the end of a sentence for a person."""


class Unusable(Exception):
    """A file that may well be whole, and can't be used here or now."""


class TooLarge(Exception):
    """A window beyond what a snapshot may hold."""


@frozen
class Scanned:
    """A file whose checksum is right. ``start`` and ``end`` are where its content lies, ``content_bytes`` is what it is
    said to be once decompressed."""

    header: SnapshotHeader
    content_bytes: int
    start: int
    end: int


def encode(header: SnapshotHeader, content: SnapshotContent) -> list[bytes]:
    """The file, in pieces; TooLarge."""
    import orjson  # noqa: PLC0415  # an editor waits for start-up, and the first snapshot comes later

    if len(content.messages) > MOST_MESSAGES or len(header.summary) > LONGEST_SUMMARY:
        raise TooLarge
    size, packed = _packed(_lines(content))
    tree = {"format": "ullage snapshot", "version": VERSION, **header_to_tree(header), "contentBytes": size}
    head = orjson.dumps(tree, option=orjson.OPT_INDENT_2).removesuffix(b"\n}") + _CONTENT
    if len(head) > LARGEST_HEAD_BYTES:
        raise TooLarge
    pieces = [head, *packed, _CHECKSUM]
    digest = sha256()
    for piece in pieces:
        digest.update(piece)
    return [*pieces, digest.hexdigest().encode() + _END]


def scan(file: BinaryIO, size: int) -> Scanned:
    """Hold a file of ``size`` bytes against its checksum and read what it says of itself. Damaged, Unusable."""
    import orjson  # noqa: PLC0415  # see above

    if size > LARGEST_FILE_BYTES:
        raise Damaged("it is larger than any snapshot may be")
    head = _sealed(file, size)
    beginning = _BEGINNING.match(head)
    if beginning is None:
        raise Damaged("it is something else than a snapshot")
    version = int(beginning[1])
    if version < 1:
        raise Damaged("there never was such a version")
    if version > VERSION:
        raise Unusable("it was made by a newer version of Ullage; update this one to use it")
    mark = head.find(_CONTENT)
    try:
        tree = orjson.loads(head[:mark] + b"\n}") if mark >= 0 else {}
        for field in ("format", "version"):
            tree.pop(field)
        content_bytes = tree.pop("contentBytes")
        header = header_from_tree(tree)
    except (ValueError, KeyError, AttributeError) as error:
        raise Damaged("what it says about itself is malformed") from error
    if type(content_bytes) is not int or not 0 < content_bytes <= LARGEST_CONTENT_BYTES:
        raise Damaged("it says that it holds more than a snapshot may")
    return Scanned(header, content_bytes, mark + len(_CONTENT), size - _SEAL_BYTES - len(_CHECKSUM))


def decode(file: BinaryIO, scanned: Scanned) -> SnapshotContent:
    """The content of a file that ``scan`` has read. Damaged."""
    import orjson  # noqa: PLC0415  # see above

    file.seek(scanned.end)
    if file.read(len(_CHECKSUM)) != _CHECKSUM:
        raise Damaged("its content has no end")
    try:
        lines = _split(_unpacked(file, scanned))
        marks = orjson.loads(next(lines, b""))
        messages = tuple(message_from_tree(orjson.loads(line)) for line in _at_most(lines, scanned.header.messages))
        if len(messages) != scanned.header.messages:
            raise Damaged("messages are missing from it")
        return content_from_trees(marks, messages)
    except (ValueError, _zstd().ZstdError) as error:
        raise Damaged("its content can't be read") from error


def mentions(file: BinaryIO, size: int, ids: Collection[str]) -> bool | None:
    """Whether the content of a file, damaged as it may be, holds one of these ids; None where that can't be told, since
    not all of the content can be read. Not a word of it is parsed."""
    wanted = [id_.encode() for id_ in ids]
    longest = max(map(len, wanted), default=0)
    file.seek(0)
    start = file.read(LARGEST_HEAD_BYTES).find(_CONTENT)
    if start < 0:
        return None
    end = size - _SEAL_BYTES - len(_CHECKSUM)
    before = b""
    try:
        for chunk in _unpacked_freely(file, start + len(_CONTENT), end):
            text = before + chunk
            if any(each in text for each in wanted):
                return True
            before = text[-longest:]
    except (Damaged, ValueError, _zstd().ZstdError):
        return None
    return False


def _zstd() -> ModuleType:
    # Imported at the first snapshot: an editor waits for start-up.
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415  # see above
    else:
        from backports import zstd  # noqa: PLC0415  # see above
    return zstd


def _lines(content: SnapshotContent) -> Iterator[bytes]:
    import orjson  # noqa: PLC0415  # see above

    yield orjson.dumps(marks_to_tree(content), option=orjson.OPT_APPEND_NEWLINE)
    for message in content.messages:
        yield orjson.dumps(message_to_tree(message), option=orjson.OPT_APPEND_NEWLINE)


def _packed(lines: Iterable[bytes]) -> tuple[int, list[bytes]]:
    """How many bytes the lines are, and what they are once compressed and spelt in base64."""
    zstd = _zstd()
    options = {zstd.CompressionParameter.compression_level: _LEVEL, zstd.CompressionParameter.checksum_flag: 1}
    compressor = zstd.ZstdCompressor(options=options)
    size, rest, packed = 0, b"", []
    for chunk in _slices(lines):
        size += len(chunk)
        if size > LARGEST_CONTENT_BYTES:
            raise TooLarge
        # In blocks of a slice, a hundredth larger: else it gathers 128 KiB and compresses them in one go.
        rest += compressor.compress(chunk, compressor.FLUSH_BLOCK)
        whole = len(rest) // 3 * 3
        packed.append(b2a_base64(rest[:whole], newline=False))
        rest = rest[whole:]
    packed.append(b2a_base64(rest + compressor.flush(), newline=False))
    return size, packed


def _slices(lines: Iterable[bytes]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size >= SLICE_BYTES:
            _give_way()
            yield b"".join(waiting)
            _give_way()
            waiting, size = [], 0
    yield b"".join(waiting)


def _sealed(file: BinaryIO, size: int) -> bytes:
    """The beginning of a file whose checksum is right, with all that may be before its content."""
    left = size - _SEAL_BYTES
    digest, head = sha256(), b""
    file.seek(0)
    while left > 0:
        chunk = file.read(min(left, SLICE_BYTES))
        if not chunk:
            break
        if len(head) < LARGEST_HEAD_BYTES:
            head += chunk
        digest.update(chunk)
        left -= len(chunk)
    if left != 0 or file.read(_SEAL_BYTES + 1) != digest.hexdigest().encode() + _END:
        raise Damaged("its checksum does not match")
    return head


def _unpacked(file: BinaryIO, scanned: Scanned) -> Iterator[bytes]:
    """The content decompressed, in slices; Damaged as soon as it is more than was said, or where it ends early."""
    size = 0
    for chunk in _unpacked_freely(file, scanned.start, scanned.end):
        size += len(chunk)
        if size > scanned.content_bytes:
            raise Damaged("it holds more than it says")
        yield chunk
    if size != scanned.content_bytes:
        raise Damaged("it holds less than it says")


def _unpacked_freely(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    """What lies between the two places, decompressed, in slices of a bounded size whatever it says of itself."""
    zstd = _zstd()
    unpacker = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})
    file.seek(start)
    left = end - start
    size = 0
    while left > 0:
        chunk = file.read(min(left, SLICE_BYTES))
        left -= len(chunk)
        packed = a2b_base64(chunk, strict_mode=True)
        if not chunk or unpacker.eof:
            raise Damaged("something follows its content")
        while True:
            piece = unpacker.decompress(packed, max_length=SLICE_BYTES)
            size += len(piece)
            if size > LARGEST_CONTENT_BYTES:
                raise Damaged("it holds more than a snapshot may")
            yield piece
            packed = b""
            if unpacker.eof or unpacker.needs_input:
                break
    if not unpacker.eof or unpacker.unused_data:
        raise Damaged("its content is cut off")


def _split(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines that the chunks make, each of which may run over any number of them."""
    begun: list[bytes] = []
    for chunk in chunks:
        first, *more = chunk.split(b"\n")
        begun.append(first)
        if more:
            yield b"".join(begun)
            yield from more[:-1]
            begun = [more[-1]]
    if any(begun):
        raise Damaged("its content is cut off")


def _at_most(lines: Iterable[bytes], most: int) -> Iterator[bytes]:
    for number, line in enumerate(lines):
        if number >= most:
            raise Damaged("it holds more messages than it says")
        yield line
