"""A client of the server: starts it as an editor does, asks, listens, and sees it out."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import Factory, define, field, frozen

from ullage import __version__
from ullage.cli.framing import Json, NotAFrame, framed, read_message

SERVER_COMMAND = (sys.executable, "-P", "-m", "ullage", "serve")
"""-P: a folder that is being talked about must not lend the server its modules."""

STOPPING_S = 2.0
"""From the request to shut down on; then the server is killed."""

ENDING_S = 1.0
"""For the exit code and the last words of a server that closed its output."""

STDERR_TAIL_BYTES = 8192
METHOD_NOT_FOUND = -32601
REQUEST_CANCELLED = -32800

ACCEPTED = frozenset({"window/workDoneProgress/create", "client/registerCapability", "client/unregisterCapability"})
"""Requests of the server that are answered with null: agreed to, and nothing has to be done for them."""

Callback = Callable[[Json], None]


class ServerError(Exception):
    """The server's refusal. ``message`` is a sentence for a person; ``kind`` is the protocol's word, if it has one."""

    def __init__(self, code: int, message: str, data: Json) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.kind: str | None = data.get("kind")
        self.data = data


class ServerGone(Exception):
    """The server is not there any more. ``tail`` is the end of what it wrote to standard error."""

    def __init__(self, message: str, tail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.tail = tail


@frozen
class Call:
    """A request on its way."""

    id: int
    _future: asyncio.Future[Any]
    _notify: Callable[[str, Json], None]

    async def answer(self) -> Any:
        """The result. A caller that is cancelled while it waits leaves the request on its way.

        Raises ServerError, ServerGone.
        """
        return await asyncio.shield(self._future)

    def cancel(self) -> None:
        """Ask the server to stop; it answers all the same, with what it has or with `REQUEST_CANCELLED`."""
        if not self._future.done():
            self._notify("$/cancelRequest", {"id": self.id})


@define(eq=False)
class Client:
    """One started server. ``tell_person`` gets the sentences that the server means for a person."""

    _process: asyncio.subprocess.Process
    tell_person: Callable[[str], None]
    _listeners: dict[str, list[Callback]] = Factory(dict)
    _calls: dict[int, asyncio.Future[Any]] = Factory(dict)
    _last_id: int = 0
    _tail: bytearray = Factory(bytearray)
    _gone: ServerGone | None = None
    _tasks: list[asyncio.Task[None]] = field(factory=list)

    @property
    def pid(self) -> int:
        return self._process.pid

    def listen(self, method: str, callback: Callback) -> Callable[[], None]:
        """Have ``callback`` called with the params of each such notification; returns what ends that."""
        callbacks = self._listeners.setdefault(method, [])
        callbacks.append(callback)
        return lambda: callbacks.remove(callback)

    def call(self, method: str, params: Json | None = None) -> Call:
        """Send a request. Raises ServerGone."""
        if self._gone is not None:
            raise self._gone
        self._last_id += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_seen)
        self._calls[self._last_id] = future
        self._send({"id": self._last_id, "method": method} | ({} if params is None else {"params": params}))
        return Call(self._last_id, future, self.notify)

    async def request(self, method: str, params: Json | None = None) -> Any:
        """Send a request and return its result; being cancelled cancels the request too.

        Raises ServerError, ServerGone.
        """
        call = self.call(method, params)
        try:
            return await call.answer()
        except asyncio.CancelledError:
            call.cancel()
            raise

    def notify(self, method: str, params: Json | None = None) -> None:
        """Send a notification; one to a server that is gone is lost, as nobody waits for an answer."""
        self._send({"method": method} | ({} if params is None else {"params": params}))

    async def initialize(self, folders: Sequence[Path] = (), options: Json | None = None) -> Json:
        """The handshake; returns the server's capabilities. ``folders`` are the workspace's, ``options`` settings."""
        params = {
            "processId": os.getpid(),
            "clientInfo": {"name": "ullage", "version": __version__},
            "rootUri": None,
            "capabilities": {"workspace": {"workspaceFolders": True}, "window": {"workDoneProgress": True}},
            "workspaceFolders": [{"uri": folder.as_uri(), "name": folder.name} for folder in folders] or None,
            "initializationOptions": options or {},
        }
        result = await self.request("initialize", params)
        self.notify("initialized", {})
        capabilities: Json = result["capabilities"]
        return capabilities

    async def stop(self) -> None:
        """See the server out: asked to go first, killed when it has not gone within two seconds."""
        try:
            async with asyncio.timeout(STOPPING_S):
                await self.request("shutdown")
                self.notify("exit")
                await self._process.wait()
        except (TimeoutError, ServerGone, ServerError):
            self.kill()
        await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def kill(self) -> None:
        """End the server's process at once, as a crash would."""
        with suppress(ProcessLookupError):
            self._process.kill()

    def begin(self) -> None:
        """Listen to the process from now on."""
        self._tasks = [asyncio.create_task(self._receive()), asyncio.create_task(self._keep_tail())]

    def _send(self, message: Json) -> None:
        assert self._process.stdin is not None
        if self._gone is None and not self._process.stdin.is_closing():
            self._process.stdin.write(framed({"jsonrpc": "2.0", **message}))

    async def _receive(self) -> None:
        assert self._process.stdout is not None
        reason = "The server ended unexpectedly."
        try:
            while (message := await read_message(self._process.stdout)) is not None:
                self._take(message)
        except NotAFrame:
            reason = "The server wrote something that is not of the protocol, and was ended."
            self.kill()
        finally:
            await self._lose(reason)

    async def _lose(self, reason: str) -> None:
        """The server is gone: everybody who waits for it hears that now."""
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(self._process.wait(), self._tasks[1]), ENDING_S)
        self._gone = ServerGone(reason, self._tail.decode(errors="replace").strip())
        for future in self._calls.values():
            future.set_exception(self._gone)
        self._calls.clear()

    async def _keep_tail(self) -> None:
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(4096):
            self._tail += chunk
            del self._tail[:-STDERR_TAIL_BYTES]

    def _take(self, message: Json) -> None:
        method, id_ = message.get("method"), message.get("id")
        params = message.get("params") or {}
        if method is None:
            self._settle(message)
        elif id_ is None:
            for callback in tuple(self._listeners.get(method, ())):
                callback(params)
        else:
            self._answer(id_, method, params)

    def _settle(self, message: Json) -> None:
        """Take the answer to one of our requests. An error without an id is about one that the server could not read:
        nobody can say which, so that all who wait hear of it."""
        error, id_ = message.get("error"), message.get("id")
        ids = list(self._calls) if id_ is None and error else [id_]
        for future in [self._calls.pop(known) for known in ids if known in self._calls]:
            if error is None:
                future.set_result(message.get("result"))
            else:
                future.set_exception(ServerError(error["code"], error["message"], error.get("data") or {}))

    def _answer(self, id_: int | str, method: str, params: Json) -> None:
        if method == "workspace/configuration":
            self._send({"id": id_, "result": [None] * len(params.get("items", ()))})
        elif method == "window/showMessageRequest":
            self.tell_person(str(params.get("message", "")))
            self._send({"id": id_, "result": None})
        elif method in ACCEPTED:
            self._send({"id": id_, "result": None})
        else:
            error = {"code": METHOD_NOT_FOUND, "message": "The terminal client knows no such request."}
            self._send({"id": id_, "error": error})


async def start(
    tell_person: Callable[[str], None],
    *,
    environment: Mapping[str, str] = os.environ,
    storage: Path | None = None,
    command: Sequence[str] = (),
) -> Client:
    """Start a server, not yet initialized. ``storage`` is an absolute folder, ``command`` another server.

    The server gets a session of its own: Ctrl-C is for the client to act on.
    """
    variables = dict(environment)
    if storage is not None:
        variables["ULLAGE_STORAGE"] = str(storage)
    process = await asyncio.create_subprocess_exec(
        *(command or SERVER_COMMAND),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=variables,
        start_new_session=True,
    )
    client = Client(process, tell_person)
    client.listen("window/showMessage", lambda params: tell_person(str(params.get("message", ""))))
    client.begin()
    return client


@asynccontextmanager
async def running(
    tell_person: Callable[[str], None],
    *,
    storage: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> AsyncIterator[Client]:
    """A server without workspace folders, initialized, and seen out in the end."""
    client = await start(tell_person, storage=storage, environment=environment)
    try:
        await client.initialize()
        yield client
    finally:
        await client.stop()


def _seen(future: asyncio.Future[Any]) -> None:
    """Mark an exception as retrieved: nobody may wait any more for a request that was given up."""
    if not future.cancelled():
        future.exception()
