"""A relay between a client and a model server that keeps what the client asked, word for word."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlsplit

from attrs import Factory, define


@define(eq=False)
class RecordingRelay:
    """``async with RecordingRelay(url) as relay:`` and use ``relay.url``. ``chats`` are the bodies of requests for
    answers, in the order of their coming."""

    target: str
    chats: list[dict[str, Any]] = Factory(list)
    _server: asyncio.Server | None = None
    _open: dict[asyncio.StreamWriter, asyncio.Task[Any] | None] = Factory(dict)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0, limit=2**24)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        tasks = [task for task in self._open.values() if task is not None]
        for writer in self._open:
            writer.close()
        await asyncio.gather(*tasks)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = urlsplit(self.target)
        self._open[writer] = asyncio.current_task()
        there, back = await asyncio.open_connection(target.hostname, target.port, limit=2**24)
        answers = asyncio.create_task(_copy(there, writer))
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    await self._pass_on(reader, back)
        finally:
            back.close()
            await answers
            del self._open[writer]

    async def _pass_on(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """One request, recorded before it goes on."""
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        body = await reader.readexactly(int(lengths[0].partition(b":")[2])) if lengths else b""
        if head.startswith(b"POST /v1/chat/completions "):
            self.chats.append(json.loads(body))
        back.write(head + body)
        await back.drain()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while chunk := await source.read(2**16):
            sink.write(chunk)
            await sink.drain()
    sink.close()
