"""Streamed replies piece by piece: server-sent events and lines of JSON, each of bounded length."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

import orjson

from ullage.errors import ProviderError
from ullage.providers.http import refuse_compressed
from ullage.providers.json_reply import Json

if TYPE_CHECKING:
    import httpx

LARGEST_PIECE_BYTES = 8 << 20
"""Of one event or line; a server may send all the arguments of a tool call at once."""
LARGEST_STREAM_BYTES = 512 << 20


async def json_events(response: httpx.Response, server: str) -> AsyncGenerator[Json]:
    """The data of each server-sent event, up to ``[DONE]``.

    Raises ``ProviderError`` for anything else than an event stream of JSON."""
    import httpx_sse  # noqa: PLC0415  # heavy: loads httpx

    bounded = _bounded_copy(response, server)
    try:
        async with aclosing(httpx_sse.EventSource(bounded).aiter_sse()) as events:
            async for event in events:
                if event.data.strip() == "[DONE]":
                    return
                if event.data:
                    yield _decoded(event.data, server)
    except httpx_sse.SSEError:
        raise _no_stream(server) from None


async def json_lines(response: httpx.Response, server: str) -> AsyncGenerator[Json]:
    """Each line of newline-delimited JSON; blank lines are passed over."""
    rest = b""
    async with aclosing(_bounded(response, server, b"\n")) as parts:
        async for part in parts:
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                if line.strip():
                    yield _decoded(line, server)
    if rest.strip():
        yield _decoded(rest, server)


def _bounded_copy(response: httpx.Response, server: str) -> httpx.Response:
    """The same reply with a limit on the length of an event: the decoder itself would keep any length."""
    import httpx  # noqa: PLC0415  # heavy: only a process that talks to a server pays for it

    class Bounded(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            async with aclosing(_bounded(response, server, b"\n\n")) as parts:
                async for part in parts:
                    yield part

    content_type = response.headers.get("content-type", "")
    return httpx.Response(response.status_code, headers={"content-type": content_type}, stream=Bounded())


async def _bounded(response: httpx.Response, server: str, end: bytes) -> AsyncGenerator[bytes]:
    """The parts of a reply; an error when ``end`` does not come for too long, or the whole gets too long."""
    refuse_compressed(response, server)
    total = since_end = 0
    tail = b""
    async for part in response.aiter_raw():
        seen = (tail + part).replace(b"\r\n", b"\n")
        tail = part[-3:]
        found = seen.rfind(end)
        since_end = len(seen) - found - len(end) if found >= 0 else since_end + len(part)
        total += len(part)
        if since_end > LARGEST_PIECE_BYTES or total > LARGEST_STREAM_BYTES:
            raise ProviderError(f"{server} sent an answer that does not end. Check its log, then try again.")
        yield part


def _decoded(data: str | bytes, server: str) -> Json:
    try:
        return Json(orjson.loads(data), server)
    except orjson.JSONDecodeError:
        raise _no_stream(server) from None


def _no_stream(server: str) -> ProviderError:
    return ProviderError(
        f"{server} answered with something that is no stream of JSON. Check that the address is that of a model server."
    )
