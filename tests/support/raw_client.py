"""A client that speaks the framing itself, so that it can send what a proper library never would."""

from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

_LEFT_OUT: Any = object()


class RpcError(Exception):
    """The server answered with an error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"{code}: {message} {data or ''}")
        self.code = code
        self.message = message
        self.data = data


def frame(body: bytes | Mapping[str, Any], length: int | None = None) -> bytes:
    """One frame; ``length`` lies about the body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return b"Content-Length: %d\r\n\r\n%b" % (len(data) if length is None else length, data)


def outcome(message: Mapping[str, Any]) -> Any:
    if "error" in message:
        raise RpcError(**message["error"])
    return message["result"]


class RawClient:
    """Over the standard streams of a process. Made by `start`, which ends the process too."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.notifications: list[dict[str, Any]] = []
        self.requests: asyncio.Queue[dict[str, Any]] = asyncio.Queue()  # from the server
        self.unaddressed: asyncio.Queue[dict[str, Any]] = asyncio.Queue()  # answers with the id null
        self.answers: dict[int | str, list[dict[str, Any]]] = defaultdict(list)
        self.stderr = bytearray()
        self.stray_output = bytearray()  # what came between frames
        self._arrived = asyncio.Condition()
        self._ended = False
        self._next_id = 0
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._read_stderr())]

    @classmethod
    @asynccontextmanager
    async def start(
        cls, command: Sequence[str], env: Mapping[str, str] | None = None, cwd: str | None = None
    ) -> AsyncIterator[RawClient]:
        """Spawn ``command``; ``env`` is laid over the present environment."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            limit=2**20,
        )
        client = cls(process)
        try:
            yield client
        finally:
            await client.kill()

    # Sending

    async def send_bytes(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        await self.process.stdin.drain()

    async def send(self, message: Mapping[str, Any]) -> None:
        await self.send_bytes(frame(message))

    async def notify(self, method: str, params: Any = _LEFT_OUT) -> None:
        await self.send(_message(method, params))

    async def begin(self, method: str, params: Any = _LEFT_OUT) -> int:
        """Send a request and return its id, to be awaited with `answer`."""
        self._next_id += 1
        await self.send({"id": self._next_id, **_message(method, params)})
        return self._next_id

    async def cancel(self, id_: int | str) -> None:
        await self.notify("$/cancelRequest", {"id": id_})

    async def reply(self, request: Mapping[str, Any], result: Any) -> None:
        await self.send({"jsonrpc": "2.0", "id": request["id"], "result": result})

    # Waiting

    async def answer(self, id_: int | str, timeout: float = 10) -> Any:  # noqa: ASYNC109  # tests read better so
        """The result of a request, or RpcError."""
        await self._wait_for(lambda: self.answers.get(id_), timeout)
        return outcome(self.answers[id_][0])

    async def request(self, method: str, params: Any = _LEFT_OUT, timeout: float = 10) -> Any:  # noqa: ASYNC109
        return await self.answer(await self.begin(method, params), timeout)

    async def notification(self, method: str, timeout: float = 10) -> Any:  # noqa: ASYNC109
        """The params of the first notification of this kind that nobody has taken yet."""

        def found() -> dict[str, Any] | None:
            return next((each for each in self.notifications if each["method"] == method), None)

        await self._wait_for(found, timeout)
        taken = found()
        assert taken is not None
        self.notifications.remove(taken)
        return taken.get("params")

    async def unaddressed_error(self, timeout: float = 10) -> RpcError:  # noqa: ASYNC109
        """The next error that was answered without an id."""
        message = await asyncio.wait_for(self.unaddressed.get(), timeout)
        return RpcError(**message["error"])

    async def server_request(self, method: str, timeout: float = 10) -> dict[str, Any]:  # noqa: ASYNC109
        """The next request from the server, which must be of this kind; answer it with `reply`."""
        message = await asyncio.wait_for(self.requests.get(), timeout)
        assert message["method"] == method, message["method"]
        return message

    async def _wait_for(self, present: Any, timeout: float) -> None:  # noqa: ASYNC109
        async with self._arrived:
            await asyncio.wait_for(self._arrived.wait_for(lambda: present() or self._ended), timeout)
        if not present():
            raise EOFError("The server ended its output. It said:\n" + self.stderr.decode(errors="replace"))

    # Lifecycle

    async def initialize(self, **params: Any) -> Any:
        """`initialize` and `initialized`; returns the result of the former."""
        result = await self.request("initialize", {"processId": None, "rootUri": None, "capabilities": {}, **params})
        await self.notify("initialized", {})
        return result

    async def shut_down(self, timeout: float = 5) -> int:  # noqa: ASYNC109
        """`shutdown` and `exit`; returns the process's exit code."""
        await self.request("shutdown", timeout=timeout)
        await self.notify("exit")
        return await asyncio.wait_for(self.process.wait(), timeout)

    async def close_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    async def wait(self, timeout: float = 5) -> int:  # noqa: ASYNC109
        """The exit code, once the process has ended by itself."""
        return await asyncio.wait_for(self.process.wait(), timeout)

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.process._transport.close()  # type: ignore[attr-defined]  # asyncio leaves the pipes to the collector

    # Receiving

    async def _read(self) -> None:
        assert self.process.stdout is not None
        try:
            while header := await self.process.stdout.readuntil(b"\r\n\r\n"):
                before, _, length = header.rpartition(b"Content-Length: ")
                self.stray_output += before
                body = await self.process.stdout.readexactly(int(length))
                async with self._arrived:
                    self._take(json.loads(body))
                    self._arrived.notify_all()
        except asyncio.IncompleteReadError as error:
            self.stray_output += error.partial
        finally:
            async with self._arrived:
                self._ended = True
                self._arrived.notify_all()

    def _take(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            if message["id"] is None:
                self.unaddressed.put_nowait(message)
            else:
                self.answers[message["id"]].append(message)
        elif "id" in message:
            self.requests.put_nowait(message)
        else:
            self.notifications.append(message)

    async def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        while chunk := await self.process.stderr.read(65536):
            self.stderr += chunk


def _message(method: str, params: Any) -> dict[str, Any]:
    message = {"jsonrpc": "2.0", "method": method}
    return message if params is _LEFT_OUT else {**message, "params": params}
