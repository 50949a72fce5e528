"""A conversation in the terminal: the server, the context, and one turn after the other."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path
from typing import Any

from attrs import Factory, define, frozen

from ullage.cli.client import REQUEST_CANCELLED, Call, Client, ServerError, ServerGone, start
from ullage.cli.events import event_line
from ullage.cli.figures import one_line, turn_line
from ullage.cli.folders import absolute
from ullage.cli.framing import Json
from ullage.cli.terminal import Terminal

RETRY_HINT = "The question is kept: an empty line asks it again."
STOPPING_NOTICE_S = 0.5
TAKE_OVER_HINT = "`/context take-over` takes it from there, as `ullage chat --take-over` does at the start."


@frozen
class ChatOptions:
    """What `ullage chat` was asked for; ``storage`` None: where contexts are usually kept."""

    folder: Path
    name: str = "main"
    model: str | None = None
    take_over: bool = False
    storage: Path | None = None


@frozen
class Waiting:
    """A question without an answer; ``unsent`` is its text where the server has not kept it."""

    unsent: str | None = None


@define(eq=False)
class Talk:
    """All of it runs on one event loop. Requests raise ServerError and ServerGone unless said otherwise."""

    options: ChatOptions
    terminal: Terminal
    context: Json = Factory(dict)
    waiting: Waiting | None = None
    _client: Client | None = None
    _tokens: Any = Factory(lambda: count(1))

    @property
    def folder(self) -> Path:
        return absolute(self.options.folder)

    async def open(self, *, take_over: bool = False) -> None:
        """Start a server and open the context."""
        self._client = await start(self.terminal.aside, storage=self.options.storage)
        await self._client.initialize([self.folder])
        self._client.listen("context/event", self._tell)
        await self.reopen(take_over=take_over)
        await self._find_waiting(None)

    async def reopen(self, *, take_over: bool = False) -> None:
        name = self.context.get("name", self.options.name)
        params: Json = {"workspaceUri": self.folder.as_uri(), "name": name, "takeOver": take_over}
        if self.context:
            params["workspaceUri"] = self.context["workspaceUri"]
        elif self.options.model:
            params["model"] = self.options.model
        self.context = await self.request("context/open", params)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.stop()

    async def request(self, method: str, params: Json | None = None) -> Any:
        assert self._client is not None
        return await self._client.request(method, params or {})

    async def about_this(self, method: str, **params: Any) -> Any:
        """A request about the open context."""
        return await self.request(method, {"contextId": self.context["id"], **params})

    async def move_to(self, context: Json) -> None:
        """Go on in another context, which the server has made the active one."""
        self.context = context
        await self._find_waiting(None)

    async def turn(self, text: str | None) -> bool:
        """Say something, or have answered what waits; tells what comes and whether it was answered. Ctrl-C ends the
        answer and not the conversation. A server that dies is started anew; ServerGone where that fails too."""
        if text is None and self.waiting is not None:
            text = self.waiting.unsent
        try:
            result = await self._answer(text)
        except ServerError as error:
            await self._tell_failure(error, text)
            return False
        except ServerGone as gone:
            await self.start_again(gone, text)
            return False
        self.waiting = None
        self.terminal.fresh_line()
        if result["stopReason"] == "cancelled":
            self.terminal.aside("Stopped. What had come is kept.")
        if result["stopReason"] == "length":
            self.terminal.aside("The answer ended at its largest length.")
        self.terminal.aside(turn_line(await self.about_this("context/status"), result["timing"]))
        return True

    async def _answer(self, text: str | None) -> Json:
        assert self._client is not None
        token = f"answer-{next(self._tokens)}"
        params = {"contextId": self.context["id"], "partialResultToken": token}
        stop_listening = self._client.listen("$/progress", lambda progress: self._show(token, progress))
        try:
            call = self._client.call("context/chat", params | ({} if text is None else {"text": text}))
            return await self._even_if_interrupted(call)
        finally:
            stop_listening()

    async def _even_if_interrupted(self, call: Call) -> Json:
        """The answer as far as it came, where the person stopped it."""
        try:
            result: Json = await call.answer()
        except asyncio.CancelledError:
            call.cancel()
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            try:
                async with asyncio.timeout(STOPPING_NOTICE_S):
                    result = await call.answer()
            except TimeoutError:
                self.terminal.aside("The server is slow to stop. Ctrl-C again leaves.")
                result = await call.answer()
        return result

    def _show(self, token: str, progress: Json) -> None:
        if progress.get("token") == token:
            self.terminal.stream(progress["value"].get("delta") or "")

    def _tell(self, event: Json) -> None:
        line = event_line(event) if event["contextId"] in (None, self.context.get("id")) else None
        if line is not None:
            self.terminal.aside(line)

    async def _tell_failure(self, error: ServerError, text: str | None) -> None:
        if error.code == REQUEST_CANCELLED:
            self.terminal.aside("Stopped before the answer began.")
        else:
            self.terminal.failure(error)
        if error.data.get("reason") == "elsewhere":
            self.terminal.aside(TAKE_OVER_HINT)
        await self._find_waiting(text)
        if self.waiting is not None:
            self.terminal.aside(RETRY_HINT)

    async def start_again(self, gone: ServerGone, text: str | None) -> None:
        """A new server in place of the one that died; ``text`` was on its way."""
        self.terminal.failure(gone)
        await self.close()
        await self.open()
        await self._find_waiting(text)
        self.terminal.aside("It was started again. " + (RETRY_HINT if self.waiting else "Nothing was lost."))

    async def _find_waiting(self, text: str | None) -> None:
        """Whether the newest message waits for an answer; ``text`` was to be said and may not have been kept."""
        page = await self.about_this("context/messages", limit=1)
        newest = page["messages"][-1] if page["messages"] else None
        if newest is not None and newest["role"] in ("user", "tool"):
            self.waiting = Waiting()
        else:
            self.waiting = Waiting(text) if text is not None else None

    async def look_for_waiting(self) -> None:
        """Look again after the window has changed; what the server has not kept waits on."""
        if self.waiting is None or self.waiting.unsent is None:
            await self._find_waiting(None)

    async def tell_waiting(self) -> None:
        """Remind of a question that an earlier session left."""
        if self.waiting is not None:
            page = await self.about_this("context/messages", limit=1)
            self.terminal.aside(f"Not answered yet: “{one_line(page['messages'][-1]['content'])}”. {RETRY_HINT}")
