"""Messages over a pipe, as the Language Server Protocol frames them: `Content-Length: N`, a blank line, N bytes.

For the side that trusts what it started: whatever is no frame means that the server is broken, and ends the reading.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

Json = dict[str, Any]

LARGEST_BODY = 256 * 2**20
_NAME = b"content-length:"


class NotAFrame(Exception):
    """What came is not of the protocol."""


def framed(message: Json) -> bytes:
    body = orjson.dumps(message)
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


async def read_message(reader: asyncio.StreamReader) -> Json | None:
    """The next message; None at the end of input.

    Raises NotAFrame. The buffer grows with what arrives, not with the length that a header announces.
    """
    try:
        header = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_length(header))
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError as error:
        raise NotAFrame from error
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotAFrame from error
    if not isinstance(message, dict):
        raise NotAFrame
    return message


def _length(header: bytes) -> int:
    for line in header.split(b"\r\n"):
        if line.lower().startswith(_NAME):
            digits = line[len(_NAME) :].strip()
            if digits.isdigit() and len(digits) < 12 and int(digits) <= LARGEST_BODY:
                return int(digits)
    raise NotAFrame
