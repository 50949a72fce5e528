"""A small HTTP/1.1 server on loopback for tests: it records what it was asked, and can misbehave on request."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from attrs import Factory, define, frozen


@frozen
class Request:
    """What arrived; header names are in lower case."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@frozen
class Raw:
    """These very bytes instead of an answer, then the connection closes; ``endlessly`` repeats the last part until the
    other side has had enough."""

    data: bytes
    endlessly: bytes = b""


def reply(status: int, body: str, content_type: str = "application/json") -> Raw:
    data = body.encode()
    head = f"HTTP/1.1 {status} Status\r\nContent-Type: {content_type}\r\nContent-Length: {len(data)}\r\n"
    return Raw(head.encode() + b"Connection: close\r\n\r\n" + data)


def unframed(content_type: str, body: bytes) -> bytes:
    """A success whose end is the end of the connection."""
    return f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n".encode() + body


HTML = reply(200, "<!doctype html><title>Welcome</title>", "text/html")
GARBAGE = reply(200, '{"models": [')
WRONG_TYPES = reply(200, '[1, "two", null]')
NOTHING = Raw(b"")
SERVER_ERROR = reply(500, '{"error": {"message": "something broke", "type": "server_error"}}')
ENDLESS_EVENT = Raw(unframed("text/event-stream", b"data: "), endlessly=b"x" * 65536)
ENDLESS_LINE = Raw(unframed("application/x-ndjson", b'{"message": "'), endlessly=b"x" * 65536)
ENDLESS_REPLY = Raw(unframed("application/json", b"["), endlessly=b"1," * 32768)


class Disconnected(Exception):
    """The other side closed the connection before the answer was whole."""


@define(eq=False)
class Exchange:
    """One request's way back. While a stream is open, the end of the other side is noticed at once."""

    writer: asyncio.StreamWriter
    reader: asyncio.StreamReader
    _gone: asyncio.Task[bytes] | None = None

    async def json(self, value: object, status: int = 200) -> None:
        await self._write(reply(status, json.dumps(value)).data.replace(b"Connection: close\r\n", b""))

    async def text(self, body: str) -> None:
        await self._write(reply(200, body, "text/plain").data.replace(b"Connection: close\r\n", b""))

    async def raw(self, raw: Raw) -> None:
        await self._write(raw.data)
        while raw.endlessly:
            await self._write(raw.endlessly)

    async def begin(self, content_type: str) -> None:
        """Open a chunked stream."""
        self._gone = self._gone or asyncio.create_task(self.reader.read(1))
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
        await self._write(head.encode())

    async def piece(self, data: bytes) -> None:
        await asyncio.sleep(0)
        if self._gone is not None and self._gone.done():
            raise Disconnected
        await self._write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def end(self) -> None:
        await self._write(b"0\r\n\r\n")
        self.release()

    async def until(self, event: asyncio.Event) -> None:
        """Wait for the event; ``Disconnected`` when the other side leaves first."""
        waiting = asyncio.create_task(event.wait())
        gone = self._gone or asyncio.create_task(self.reader.read(1))
        self._gone = gone
        try:
            await asyncio.wait((waiting, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if not event.is_set():
            raise Disconnected

    def release(self) -> None:
        if self._gone is not None:
            self._gone.cancel()

    async def _write(self, data: bytes) -> None:
        try:
            self.writer.write(data)
            await self.writer.drain()
        except ConnectionError:
            raise Disconnected from None


@define(eq=False)
class StubHttpServer:
    """``async with`` it. ``requests`` holds what came; ``cancelled`` counts answers that the other side broke off, and
    ``was_cancelled`` is set with the first."""

    requests: list[Request] = Factory(list)
    cancelled: int = 0
    was_cancelled: asyncio.Event = Factory(asyncio.Event)
    _arrived: asyncio.Event = Factory(asyncio.Event)
    _faults: defaultdict[str, deque[Raw]] = Factory(lambda: defaultdict(deque))
    _server: asyncio.Server | None = None
    _connections: set[asyncio.Task[None]] = Factory(set)
    _port: int = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def received(self, path: str) -> None:
        """Wait until a request for this path has come."""
        while not self.sent(path):
            self._arrived.clear()
            await self._arrived.wait()

    def fail(self, path: str, *faults: Raw) -> None:
        """Answer the next requests for this path so, one fault each; "*" stands for any path."""
        self._faults[path].extend(faults)

    def sent(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]

    async def stop(self) -> None:
        """Go away, open connections and all; entering again starts on the same port."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in tuple(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def handle(self, request: Request, exchange: Exchange) -> None:
        """Answer a request; what a kind of server knows nothing of is left to this."""
        await exchange.json({"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}}, 404)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        exchange = Exchange(writer, reader)
        try:
            await self._serve(reader, exchange)
        except Disconnected:
            self.cancelled += 1
            self.was_cancelled.set()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            exchange.release()
            with suppress(ConnectionError):
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, exchange: Exchange) -> None:
        while True:
            request = await _read_request(reader)
            if request is None:
                return
            self.requests.append(request)
            self._arrived.set()
            fault = self._next_fault(request.path)
            if fault is not None:
                await exchange.raw(fault)
                return
            await self.handle(request, exchange)
            if request.headers.get("connection", "").lower() == "close":
                return

    def _next_fault(self, path: str) -> Raw | None:
        for key in (path, "*"):
            if self._faults[key]:
                return self._faults[key].popleft()
        return None


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    head = await reader.readline()
    if not head:
        return None
    method, target, _ = head.decode().split(" ", 2)
    headers = dict(_header(line) for line in await _lines_until_blank(reader))
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    return Request(method, parts.path, parse_qs(parts.query), headers, body)


async def _lines_until_blank(reader: asyncio.StreamReader) -> Iterable[str]:
    lines = []
    while (line := (await reader.readline()).decode().strip()) != "":
        lines.append(line)
    return lines


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()
