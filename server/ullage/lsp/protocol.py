"""The strict half of the protocol: every message is checked, every request is answered exactly once.

pygls keeps the registry of features and the standard requests; receiving, answering and asking are done here, since its
own way answers malformed messages not at all and failures with tracebacks. Nothing that is received is ever logged.

A connection begins uninitialized, is ready after `initialize`, and refuses everything but `exit` from `shutdown` on.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import attrs
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from pygls.protocol import LanguageServerProtocol, lsp_method

from ullage.errors import InvalidArgument, UllageError
from ullage.lsp.convert import structure
from ullage.lsp.encode import encode
from ullage.lsp.envelope import Invalid, MessageId, Notification, Request, Response, parse
from ullage.lsp.failures import CANCELLED, INTERNAL, Failure, failure_of, record
from ullage.lsp.framing import BadFrame, Frame

if TYPE_CHECKING:
    import cattrs

    from ullage.lsp.server import UllageServer

logger = logging.getLogger(__name__)

Handler = Callable[..., Any]

DOCUMENT_METHODS = ("textDocument/", "notebookDocument/")
"""pygls would keep every open file in memory; no document is of interest here."""


class Phase(Enum):
    UNINITIALIZED = auto()
    INITIALIZING = auto()
    READY = auto()
    SHUT_DOWN = auto()


class UllageProtocol(LanguageServerProtocol):
    """One connection. All of it runs on the event loop's thread."""

    _server: UllageServer

    def __init__(self, server: UllageServer, converter: cattrs.Converter) -> None:
        super().__init__(server, converter)
        self.phase = Phase.UNINITIALIZED
        self._running: dict[MessageId, asyncio.Task[None]] = {}
        self._notified: set[asyncio.Task[Any]] = set()
        for method in [name for name in self.fm.builtin_features if name.startswith(DOCUMENT_METHODS)]:
            del self.fm.builtin_features[method]

    # Receiving

    def receive(self, frame: Frame) -> None:
        """Take one frame. Never raises: whatever it holds, the next one is read."""
        try:
            if isinstance(frame, BadFrame):
                self._fail(None, Failure(frame.code, frame.message))
                return
            match parse(frame):
                case Request() as request:
                    self._accept(request)
                case Notification() as notification:
                    self._notice(notification)
                case Response() as response:
                    self._settle(response)
                case Invalid(id_, code, reason):
                    self._fail(id_, Failure(code, reason))
        except Exception as error:
            record("A message could not be handled", error)

    def _accept(self, request: Request) -> None:
        """Start a request, or refuse it at once."""
        refusal = self._refusal(request)
        if refusal:
            self._fail(request.id, refusal)
            return
        handler, kind = self._request_handler(request.method)
        if handler is None:
            self._fail(request.id, Failure(lsp.ErrorCodes.MethodNotFound, "The server knows no such request."))
            return
        try:
            params = structure(self._converter, request.params, kind)
        except UllageError as error:
            self._fail(request.id, failure_of(error))
            return
        if request.method == lsp.INITIALIZE:
            self.phase = Phase.INITIALIZING
        task = asyncio.get_running_loop().create_task(self._answer(request, handler, params))
        self._running[request.id] = task
        task.add_done_callback(lambda done: self._answer_cancelled(request.id, done))

    def _refusal(self, request: Request) -> Failure | None:
        """Why a request is out of order; None where it is not."""
        initialize = request.method == lsp.INITIALIZE
        if request.id in self._running:
            return Failure(lsp.ErrorCodes.InvalidRequest, "A request with this id is being answered; use another id.")
        if self.phase is Phase.SHUT_DOWN:
            return Failure(lsp.ErrorCodes.InvalidRequest, "The server has been shut down; only exit may follow.")
        if initialize and self.phase is not Phase.UNINITIALIZED:
            return Failure(lsp.ErrorCodes.InvalidRequest, "The server has been initialized already.")
        if not initialize and self.phase is not Phase.READY:
            return Failure(lsp.ErrorCodes.ServerNotInitialized, "The server is not initialized; send initialize first.")
        return None

    def _request_handler(self, method: str) -> tuple[Handler | None, Any]:
        """The function that answers a request, and the type of its params."""
        if method in self._server.handlers:
            return self._server.handlers[method], self._server.requests[method].params
        _, result, params, _ = lsp.METHOD_TO_TYPES.get(method, (None, None, None, None))
        return (self._feature(method) if result else None), params or Any

    def _notification_handler(self, method: str) -> tuple[Handler | None, Any]:
        _, result, params, _ = lsp.METHOD_TO_TYPES.get(method, (None, None, None, None))
        return (None if result else self._feature(method)), params or Any

    def _feature(self, method: str) -> Handler | None:
        return self.fm.builtin_features.get(method) or self.fm.features.get(method)

    async def _answer(self, request: Request, handler: Handler, params: Any) -> None:
        """Run a request to its end and send what comes of it. A handler that completes in spite of being cancelled
        has its result sent; `_answer_cancelled` sees to one that does not."""
        try:
            result = await _call(handler, params)
        except Exception as error:
            failure = failure_of(error)
            if failure is INTERNAL:
                record("A request failed", error)
            self._end(request, succeeded=False)
            self._fail(request.id, failure)
        else:
            self._end(request, succeeded=True)
            self._respond(request.id, result)

    def _end(self, request: Request, *, succeeded: bool) -> None:
        """The id is free again before the answer is sent, since the client may use it on reading that."""
        del self._running[request.id]
        if request.method == lsp.INITIALIZE:
            self.phase = Phase.READY if succeeded else Phase.UNINITIALIZED

    def _answer_cancelled(self, id_: MessageId, task: asyncio.Task[None]) -> None:
        if task.cancelled() and self._running.get(id_) is task:
            del self._running[id_]
            if self.phase is Phase.INITIALIZING:
                self.phase = Phase.UNINITIALIZED
            self._fail(id_, CANCELLED)

    def _notice(self, notification: Notification) -> None:
        """Start a notification. One that can't be taken is passed over, as nobody waits for an answer."""
        if notification.method != lsp.EXIT and self.phase is not Phase.READY:
            return
        handler, kind = self._notification_handler(notification.method)
        if handler is None:
            return
        try:
            params = structure(self._converter, notification.params, kind)
        except UllageError as error:
            logger.warning("%s was passed over: wrong at %s.", notification.method, error.data.get("path"))
            return
        task = asyncio.get_running_loop().create_task(_call(handler, params))
        self._notified.add(task)
        task.add_done_callback(self._notification_done)

    def _notification_done(self, task: asyncio.Task[Any]) -> None:
        self._notified.discard(task)
        error = None if task.cancelled() else task.exception()
        if error:
            record("A notification failed", error)

    async def cancel_running(self, timeout_s: float, spared: asyncio.Task[Any] | None) -> None:
        """Cancel every request but one, and wait for their answers."""
        tasks = [task for task in self._running.values() if task is not spared]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)

    # Sending

    def _respond(self, id_: MessageId, result: Any) -> None:
        try:
            self._send_data({"jsonrpc": "2.0", "id": id_, "result": result})
        except TypeError as error:
            record("A result has no form in JSON", error)
            self._fail(id_, INTERNAL)

    def _fail(self, id_: MessageId | None, failure: Failure) -> None:
        try:
            self._send_data({"jsonrpc": "2.0", "id": id_, "error": failure})
        except TypeError as error:
            record("An error's data has no form in JSON", error)
            self._send_data({"jsonrpc": "2.0", "id": id_, "error": INTERNAL})

    def notify(self, method: str, params: Any | None = None) -> None:
        message = {"jsonrpc": "2.0", "method": method}
        self._send_data(message if params is None else {**message, "params": params})

    def _send_data(self, data: Any) -> None:
        if self.writer is not None:
            self.writer.write(encode(data))

    # Asking the client

    def send_request(
        self,
        method: str,
        params: Any | None = None,
        callback: Callable[[Any], None] | None = None,
        msg_id: MessageId | None = None,
    ) -> Future[Any]:
        """Ask the client. The future holds its answer, or `JsonRpcException` where it answers with an error."""
        id_ = msg_id if msg_id is not None else str(uuid.uuid4())
        future: Future[Any] = Future()
        self._request_futures[id_] = future
        self._result_types[id_] = self.get_result_type(method)
        future.add_done_callback(lambda _: self._forget(id_))
        if callback:
            future.add_done_callback(lambda done: None if _failed(done) else callback(done.result()))
        self._send_data({"jsonrpc": "2.0", "id": id_, "method": method, "params": params})
        return future

    @asynccontextmanager
    async def asking(self, method: str, params: Any) -> AsyncIterator[asyncio.Future[Any]]:
        """Ask the client, and take the question back where its answer is not waited for to the end."""
        id_ = str(uuid.uuid4())
        future = asyncio.wrap_future(self.send_request(method, params, msg_id=id_))
        try:
            yield future
        finally:
            if not future.done() or future.cancelled():
                future.cancel()
                self.notify(lsp.CANCEL_REQUEST, lsp.CancelParams(id=id_))

    def _forget(self, id_: MessageId) -> None:
        self._request_futures.pop(id_, None)
        self._result_types.pop(id_, None)

    def _settle(self, response: Response) -> None:
        """Take the client's answer. One that comes too late, or to no question, is passed over."""
        future = self._request_futures.get(response.id)
        if future is None or not future.set_running_or_notify_cancel():
            return
        if response.error is not None:
            code = response.error.get("code")
            known = code if type(code) is int else lsp.ErrorCodes.UnknownErrorCode
            future.set_exception(JsonRpcException("The client answered with an error.", known))
            return
        kind = self._result_types.get(response.id)
        try:
            result = structure(
                self._converter, response.result, attrs.fields_dict(kind)["result"].type if kind else Any
            )
        except UllageError as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    # What pygls does by itself, where it is done otherwise here

    @lsp_method(lsp.CANCEL_REQUEST)
    def lsp_cancel(self, params: lsp.CancelParams) -> None:
        task = self._running.get(params.id)
        if task is not None:
            task.cancel()

    @lsp_method(lsp.INITIALIZE)
    def lsp_initialize(self, params: lsp.InitializeParams) -> Generator[Any, Any, lsp.InitializeResult]:
        result = yield from super().lsp_initialize(params)
        ours = {"version": self._server.version, "requests": sorted(self._server.handlers)}
        result.capabilities.experimental = {"ullage": ours}
        if self._server.commands:
            result.capabilities.execute_command_provider = lsp.ExecuteCommandOptions(list(self._server.commands))
        return result

    @lsp_method(lsp.SHUTDOWN)
    async def lsp_shutdown(self, *_: Any) -> None:  # type: ignore[override]  # pygls has a generator here
        self.phase = Phase.SHUT_DOWN
        await self._server.wind_up()

    @lsp_method(lsp.EXIT)
    async def lsp_exit(self, *_: Any) -> None:  # type: ignore[override]  # pygls has a generator here
        self._server.end()

    @lsp_method(lsp.WORKSPACE_EXECUTE_COMMAND)
    async def lsp_workspace__execute_command(self, params: lsp.ExecuteCommandParams) -> Any:  # type: ignore[override]  # pygls has a generator here
        if params.command not in self._server.commands:
            raise InvalidArgument("The server knows no such command; its capabilities name them.", "command")
        return await self._server.execute(params)


def _failed(future: Future[Any]) -> bool:
    return future.cancelled() or future.exception() is not None


async def _call(handler: Handler, *args: Any, **kwargs: Any) -> Any:
    """Run a handler of any form: a coroutine function, a plain one, or a generator of pygls, which yields other
    handlers to run with their arguments and is sent what they return."""
    outcome: Any = handler(*args, **kwargs)
    if inspect.isawaitable(outcome):
        return await outcome
    if not inspect.isgenerator(outcome):
        return outcome
    generator: Generator[Any, Any, Any] = outcome
    try:
        inner, inner_args, inner_kwargs = next(generator)
        while True:
            returned = await _call(inner, *inner_args, **(inner_kwargs or {}))
            inner, inner_args, inner_kwargs = generator.send(returned)
    except StopIteration as stop:
        return stop.value
