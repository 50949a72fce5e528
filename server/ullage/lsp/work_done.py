"""Showing long work in the client, with a way to cancel it: LSP's work-done progress."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from attrs import Factory, define
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

from ullage.contexts.making_room.progress import Report, unreported
from ullage.errors import UllageError
from ullage.lsp.server import UllageServer

logger = logging.getLogger(__name__)

ASKING_TIMEOUT_S = 5.0
"""For a client to make room for a display; work does not wait for it."""


@define(eq=False)
class WorkDone:
    """``supported``: the client shows what the server begins by itself."""

    server: UllageServer
    supported: bool
    _tasks: dict[int | str, asyncio.Task[object]] = Factory(dict)

    @contextmanager
    def of_request(self, token: int | str | None, title: str) -> Iterator[Report]:
        """Progress of a request under the token that the client gave with it."""
        if token is None:
            yield unreported
            return
        display = _Display(self.server, token, title)
        try:
            yield display.report
        finally:
            display.end()

    @asynccontextmanager
    async def of_server(self, title: str) -> AsyncIterator[Report]:
        """Progress of what the server does by itself, shown from the first report on; quick work shows nothing.
        Cancelling it in the client cancels the task that is within."""
        task = asyncio.current_task()
        if not self.supported or task is None:
            yield unreported
            return
        token = f"ullage-{secrets.token_hex(8)}"
        unasked = _Unasked(_Display(self.server, token, title, cancellable=True))
        self._tasks[token] = task
        try:
            yield unasked.report
        finally:
            del self._tasks[token]
            unasked.end()

    def cancel(self, token: int | str) -> None:
        """The person wants no more of it."""
        if (task := self._tasks.get(token)) is not None:
            task.cancel()


@define(eq=False)
class _Display:
    """One progress display; it begins with the first report."""

    server: UllageServer
    token: int | str
    title: str
    cancellable: bool = False
    begun: bool = False

    def report(self, message: str, percentage: int | None) -> None:
        value: lsp.WorkDoneProgressBegin | lsp.WorkDoneProgressReport
        if self.begun:
            value = lsp.WorkDoneProgressReport(message=message, percentage=percentage)
        else:
            value = lsp.WorkDoneProgressBegin(
                self.title, cancellable=self.cancellable, message=message, percentage=percentage
            )
        self.begun = True
        self.server.progress(self.token, value)

    def end(self) -> None:
        if self.begun:
            self.server.progress(self.token, lsp.WorkDoneProgressEnd())


@define(eq=False)
class _Unasked:
    """A display that the client is first asked to make room for; what is reported meanwhile waits, the last of it."""

    display: _Display
    latest: tuple[str, int | None] = ("", None)
    granted: bool = False
    ended: bool = False
    _asking: asyncio.Task[None] | None = None

    def report(self, message: str, percentage: int | None) -> None:
        self.latest = (message, percentage)
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        elif self.granted:
            self.display.report(message, percentage)

    def end(self) -> None:
        self.ended = True
        self.display.end()

    async def _ask(self) -> None:
        params = lsp.WorkDoneProgressCreateParams(token=self.display.token)
        try:
            await self.display.server.ask_client(lsp.WINDOW_WORK_DONE_PROGRESS_CREATE, params, ASKING_TIMEOUT_S)
        except (TimeoutError, JsonRpcException, UllageError):
            logger.info("The client shows no progress of this.")
            return
        if not self.ended:
            self.granted = True
            self.display.report(*self.latest)
