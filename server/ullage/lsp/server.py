"""The language server as a whole: handlers and hooks on the inside, two pipes on the outside."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from attrs import frozen
from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer

from ullage import __version__
from ullage.lsp.convert import make_converter
from ullage.lsp.failures import record
from ullage.lsp.lifetime import end_process_within, parent_gone, process_exists
from ullage.lsp.protocol import Phase, UllageProtocol
from ullage.lsp.types import REQUESTS, RequestType
from ullage.lsp.wire import FrameReader, FrameWriter, claim_stdio
from ullage.whereabouts import whereabouts

logger = logging.getLogger(__name__)
logging.getLogger("pygls").setLevel(logging.ERROR)  # below it logs the bodies of messages

GRACE_S = 1.5
"""For work in flight and the hooks to end once the server was told to shut down, or lost its client."""

LAST_RESORT_S = 1.9

Handler = Callable[[Any], Awaitable[Any]]


async def _nothing(*_: Any) -> None:
    """A hook that nobody has set."""


@frozen
class Hooks:
    """What else the application wants to hear of, each an async function.

    ``initialize`` gets `InitializeParams` and runs before the reply; an error of `ullage.errors` refuses the
    connection. ``shutdown`` runs once: on `shutdown`, or when the client is lost without one; ``exit`` runs last.
    ``folders_changed`` gets a `WorkspaceFoldersChangeEvent`, ``folders_renamed`` a `RenameFilesParams`, and
    ``configuration_changed`` the settings that came along, None from clients that are to be asked. ``files_changed``
    gets a `DidChangeWatchedFilesParams`, ``progress_cancelled`` the token of a display whose work the person wants no
    more of, and ``execute`` an `ExecuteCommandParams`, to return the command's result.
    """

    initialize: Handler = _nothing
    initialized: Callable[[], Awaitable[None]] = _nothing
    shutdown: Callable[[], Awaitable[None]] = _nothing
    exit: Callable[[], Awaitable[None]] = _nothing
    folders_changed: Handler = _nothing
    folders_renamed: Handler = _nothing
    configuration_changed: Handler = _nothing
    files_changed: Handler = _nothing
    progress_cancelled: Handler = _nothing
    execute: Handler = _nothing


class UllageServer(LanguageServer):
    """Answers the requests in ``handlers``: method to an async function from its params to its result.

    ``requests`` names the type of each method's params. Both are looked up at every request, so the mappings may be
    filled after this is made. ``commands`` are the names that `workspace/executeCommand` takes. One server serves one
    connection.
    """

    protocol: UllageProtocol

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        hooks: Hooks | None = None,
        requests: Mapping[str, RequestType] = REQUESTS,
        commands: Sequence[str] = (),
    ) -> None:
        self.handlers = handlers
        self.requests = requests
        self.commands = commands
        self._hooks = hooks or Hooks()
        self._ended: asyncio.Event | None = None
        self._winding_up: asyncio.Task[None] | None = None
        self._parent_watch: asyncio.Task[None] | None = None
        super().__init__(
            "ullage",
            __version__,
            lsp.TextDocumentSyncKind.None_,
            protocol_cls=UllageProtocol,
            converter_factory=make_converter,
        )
        _register_features(self, hooks or Hooks())

    def serve_stdio(self) -> int:
        """Serve the client at standard input and output until it goes; return the process's exit code.

        From `exit`, the end of input or the parent's death on, the process ends within two seconds, also where the
        caller or a thread would keep it: this is the process's main task.
        """
        source, sink = claim_stdio()
        return asyncio.run(self._serve(source, sink))

    async def _serve(self, source: int, sink: int) -> int:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_loop_failure)
        self._ended = asyncio.Event()

        def lost_client() -> None:
            with suppress(RuntimeError):  # the loop may be closed by then
                loop.call_soon_threadsafe(self.end)

        writer = FrameWriter(sink, lost_client)
        self.protocol.set_writer(writer)
        FrameReader(source, loop, self.protocol.receive, self.end).start()
        if sys.platform != "win32":
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.end)
        await self._ended.wait()
        exit_code = 0 if self.protocol.phase is Phase.SHUT_DOWN else 1
        end_process_within(LAST_RESORT_S, exit_code)
        self.protocol.phase = Phase.SHUT_DOWN
        await self.wind_up()
        await self._run_hook(self._hooks.exit())
        writer.close()
        return exit_code

    def end(self) -> None:
        """Let `serve_stdio` return. Harmless when called twice, or before it serves."""
        if self._ended is not None:
            self._ended.set()

    async def wind_up(self) -> None:
        """Cancel what is being answered, then run the shutdown hook, in `GRACE_S` together. It happens once, whoever
        asks for it first; the others wait with it."""
        if self._winding_up is None:
            asker = asyncio.current_task()
            self._winding_up = asyncio.get_running_loop().create_task(self._wind_up(asker))
        await asyncio.shield(self._winding_up)

    async def _wind_up(self, asker: asyncio.Task[Any] | None) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GRACE_S
        await self.protocol.cancel_running(GRACE_S / 2, spared=asker)
        await self._run_hook(self._hooks.shutdown(), deadline - loop.time())

    async def _run_hook(self, hook: Awaitable[None], timeout_s: float = GRACE_S / 5) -> None:
        try:
            await asyncio.wait_for(hook, timeout_s)
        except Exception as error:
            record("A hook failed at the end", error)

    async def execute(self, params: lsp.ExecuteCommandParams) -> Any:
        return await self._hooks.execute(params)

    # Towards the client

    def notify_client(self, method: str, value: Any) -> None:
        """Send a notification, such as `context/statusChanged`."""
        self.protocol.notify(method, value)

    def progress(self, token: int | str, value: Any) -> None:  # type: ignore[override]  # pygls takes both in one object
        """Send a piece of a result under the token that the client gave for it."""
        self.protocol.notify(lsp.PROGRESS, {"token": token, "value": value})

    async def ask_client(self, method: str, params: Any, timeout_s: float) -> Any:
        """Send a request to the client and return its result, as lsprotocol's types for standard methods.

        Raises TimeoutError, `JsonRpcException` where the client answers with an error, and `InvalidArgument` where its
        answer has not the form that the specification gives it. Cancelling takes the question back.
        """
        async with self.protocol.asking(method, params) as answer:
            return await asyncio.wait_for(answer, timeout_s)

    # Ending with the parent

    def watch_parent(self, process_id: int | None) -> None:
        """End with this process. One that can't be seen lives beyond a container's edge and is not watched: the end
        of input tells of its end."""
        if process_id is not None and process_exists(process_id):
            self._parent_watch = asyncio.get_running_loop().create_task(self._end_after(process_id))

    async def _end_after(self, parent: int) -> None:
        await parent_gone(parent)
        self.end()


def _register_features(server: UllageServer, hooks: Hooks) -> None:
    """Connect the hooks to what pygls calls features: standard messages that a server may hear."""
    folders = lsp.FileOperationFilter(
        lsp.FileOperationPattern("**/*", matches=lsp.FileOperationPatternKind.Folder), scheme="file"
    )

    @server.feature(lsp.INITIALIZE)
    async def initialize(params: lsp.InitializeParams) -> None:
        await hooks.initialize(params)
        server.watch_parent(params.process_id)

    @server.feature(lsp.INITIALIZED)
    async def initialized(_: lsp.InitializedParams) -> None:
        # What was imported lives as long as the process; looking through it again and again costs pauses. The client
        # has its reply by now and does not wait for this.
        gc.collect()
        gc.freeze()
        await hooks.initialized()

    @server.feature(lsp.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def configuration_changed(params: lsp.DidChangeConfigurationParams) -> None:
        await hooks.configuration_changed(params.settings)

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    async def files_changed(params: lsp.DidChangeWatchedFilesParams) -> None:
        await hooks.files_changed(params)

    @server.feature(lsp.WINDOW_WORK_DONE_PROGRESS_CANCEL)
    async def progress_cancelled(params: lsp.WorkDoneProgressCancelParams) -> None:
        await hooks.progress_cancelled(params.token)

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    async def folders_changed(params: lsp.DidChangeWorkspaceFoldersParams) -> None:
        await hooks.folders_changed(params.event)

    @server.feature(lsp.WORKSPACE_DID_RENAME_FILES, lsp.FileOperationRegistrationOptions([folders]))
    async def folders_renamed(params: lsp.RenameFilesParams) -> None:
        await hooks.folders_renamed(params)


def _log_loop_failure(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """In place of asyncio's own handler, which logs the texts of exceptions."""
    error = context.get("exception")
    logger.error("Something failed in the background: %s", whereabouts(error) if error else "nothing is known of it")
