"""The demo's acts, each a piece of a conversation with a real model."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import Factory, define

from ullage.cli.client import Client, ServerGone, start
from ullage.cli.demo_figures import Figures
from ullage.cli.demo_script import SYSTEM_PROMPT, Question
from ullage.cli.events import event_line
from ullage.cli.figures import counted, duration_text, size_text, tokens_text, turn_line
from ullage.cli.framing import Json
from ullage.cli.status_box import COLOURS
from ullage.cli.terminal import Terminal
from ullage.settings import ENVIRONMENT

WINDOW = 1024
ANSWER_TOKENS = 48
DELTAS_BEFORE_KILL = 8
SETTINGS: Json = {
    "providers": {"default": "embedded", "embedded": {"contextSize": WINDOW}},
    "context": {"reserveOutput": ANSWER_TOKENS},
}


class DidNotHold(Exception):
    """Something was not as it is promised; the text is a sentence."""


@define(eq=False)
class Show:
    """``folder`` is temporary and holds the storage and both workspaces."""

    terminal: Terminal
    folder: Path
    figures: Figures = Factory(Figures)
    _room_made: bool = False
    _client: Client | None = None

    @property
    def client(self) -> Client:
        assert self._client is not None
        return self._client

    async def begin(self) -> float:
        """Start a server; returns the milliseconds until it was ready."""
        began = time.perf_counter()
        own = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
        self._client = await start(self.terminal.aside, environment=own, storage=self.folder / "storage")
        await self.client.initialize(options=SETTINGS)
        self.client.listen("context/event", self._hear)
        return _since(began)

    async def end(self) -> None:
        if self._client is not None:
            await self._client.stop()

    async def open(self, name: str) -> Json:
        """The workspace's context, with its model looked up, so that everything is counted for that one."""
        workspace = self.folder / name
        params = {"workspaceUri": workspace.as_uri(), "name": "main"}
        context = await self.client.request("context/open", params)
        await self.client.request("context/update", {"contextId": context["id"], "systemPrompt": SYSTEM_PROMPT})
        status: Json = await self.client.request("context/status", {"contextId": context["id"]})
        return status

    async def converse(self, context_id: str, questions: Sequence[Question]) -> None:
        for question in questions:
            counted, append_ms = await self.say(context_id, question)
            await self.answer(context_id, counted, append_ms)

    async def say(self, context_id: str, question: Question) -> tuple[int, float]:
        """Put a question on disk; returns the window's tokens with it, and the milliseconds that it took."""
        self.terminal.line()
        self.terminal.line(f"❯ {question.text}  ({question.origin})", style="bold")
        message = {"role": "user", "content": question.message()}
        self._room_made = False
        began = time.perf_counter()
        added = await self.client.request("context/append", {"contextId": context_id, "messages": [message]})
        append_ms = _since(began)
        self.figures.acknowledge(context_id, added["messages"][0])
        return added["usage"]["tokens"], append_ms

    async def answer(self, context_id: str, counted: int, append_ms: float) -> None:
        """Have the last question answered. Where room was made for it, the prompt is what remained."""
        if self._room_made:
            status = await self.client.request("context/status", {"contextId": context_id})
            counted = status["usage"]["tokens"]
        result = await self._stream(context_id, ANSWER_TOKENS)
        if result["compressed"] is not None:
            counted = result["compressed"]["compressedTokens"]
        self.figures.add(counted, result["timing"], append_ms)
        self.figures.acknowledge(context_id, result["message"])
        status = await self.client.request("context/status", {"contextId": context_id})
        self.terminal.line(turn_line(status, result["timing"]), style=COLOURS[status["warning"]])

    async def clear_and_undo(self, context_id: str) -> None:
        before = await self._window_ids(context_id)
        cleared = await self.client.request("context/clear", {"contextId": context_id})
        self.terminal.line()
        self.terminal.line(f"❯ clear, by mistake: {tokens_text(cleared['usage'])}", style="bold")
        undone = await self.client.request("context/undo", {"contextId": context_id})
        if await self._window_ids(context_id) != before:
            raise DidNotHold("Undo did not bring back the window as it was.")
        self.terminal.line(f"❯ undo: {tokens_text(undone['usage'])}, every message where it was", style="bold")

    async def keep_compress_and_restore(self, context_id: str) -> None:
        before = await self._window_ids(context_id)
        snapshot = await self.client.request("context/snapshot/create", {"contextId": context_id})
        self.terminal.line()
        self.terminal.line(f"❯ snapshot: {counted(snapshot['messages'], 'message')}, {size_text(snapshot['bytes'])}")
        result = await self.client.request("context/compress", {"contextId": context_id})
        tokens = f"{result['originalTokens']:,} → {result['compressedTokens']:,} tokens"
        means = "by a summary" if result["summary"] else "no acceptable summary was to be had"
        self.terminal.line(f"❯ compress: {tokens}, {means}", style="bold")
        restored = await self.client.request("context/snapshot/restore", {"snapshotId": snapshot["id"]})
        if await self._window_ids(context_id) != before:
            raise DidNotHold("The snapshot did not bring back the window as it was.")
        self.terminal.line(f"❯ restore: {tokens_text(restored['usage'])}, every message where it was", style="bold")

    async def switch(self, context_id: str) -> None:
        began = time.perf_counter()
        result = await self.client.request("context/switch", {"contextId": context_id})
        round_trip_ms = _since(began)
        self.figures.switch_ms.append(round_trip_ms)
        usage = tokens_text(result["context"]["usage"])
        self.terminal.line(f"Switched in {duration_text(round_trip_ms)}: {usage}, untouched by the other one.")

    async def kill_while_answering(self, context_id: str, question: Question) -> None:
        """End the server's process in the middle of an answer, as a crash or the system would."""
        await self.say(context_id, question)
        streamed = 0

        def kill_after_some(_: str) -> None:
            nonlocal streamed
            streamed += 1
            if streamed == DELTAS_BEFORE_KILL:
                self.client.kill()

        try:
            await self._stream(context_id, 4 * ANSWER_TOKENS, kill_after_some)
        except ServerGone:
            self.terminal.line("✗ kill -9: the server is gone, in the middle of a sentence", style="bold red")
            await self.end()
            return
        raise DidNotHold("The answer was complete before the server could be killed.")

    async def restart(self, names: Sequence[str]) -> None:
        """Start again and compare what is there with everything that was ever acknowledged."""
        began = time.perf_counter()
        await self.begin()
        histories: dict[str, dict[str, str]] = {}
        for name in names:
            uri = (self.folder / name).as_uri()
            context = await self.client.request("context/open", {"workspaceUri": uri, "name": "main"})
            histories[context["id"]] = await self._history(context["id"])
        self.figures.restart_ms = _since(began)
        said = self.figures.said
        kept = sum(histories.get(id_, {}).get(m) == text for id_, texts in said.items() for m, text in texts.items())
        self.figures.messages_kept = kept, sum(len(texts) for texts in said.values())
        duration = duration_text(self.figures.restart_ms)
        found, total = self.figures.messages_kept
        self.terminal.line(f"Started again in {duration}: {found} of {total} acknowledged messages are there.")

    async def answer_pending(self, context_id: str) -> None:
        """The question that was cut off waits still; it is answered without being asked again."""
        status = await self.client.request("context/status", {"contextId": context_id})
        self.terminal.line("The question that was cut off is still waiting. Its answer, without typing it again:")
        await self.answer(context_id, status["usage"]["tokens"], self.figures.turns[-1].append_ms)

    async def _window_ids(self, context_id: str) -> list[str]:
        page = await self.client.request("context/messages", {"contextId": context_id, "limit": 1000})
        return [message["id"] for message in page["messages"]]

    async def _history(self, context_id: str) -> dict[str, str]:
        params = {"contextId": context_id, "view": "history", "limit": 1000}
        page = await self.client.request("context/messages", params)
        return {message["id"]: message["content"] for message in page["messages"]}

    async def _stream(self, context_id: str, max_tokens: int, on_delta: Any = None) -> Json:
        """An answer, shown as it comes."""

        def show(progress: Json) -> None:
            delta = progress["value"].get("delta") or ""
            self.terminal.stream(delta)
            if on_delta is not None:
                on_delta(delta)

        stop_listening = self.client.listen("$/progress", show)
        options = {"maxTokens": max_tokens, "temperature": 0.3, "seed": 7}
        params = {"contextId": context_id, "options": options, "partialResultToken": "answer"}
        try:
            result: Json = await self.client.request("context/chat", params)
        finally:
            stop_listening()
            self.terminal.fresh_line()
            await asyncio.sleep(0)
        return result

    def _hear(self, event: Json) -> None:
        self._room_made |= event["kind"] in ("compressed", "trimmed")
        self.figures.compressions += event["kind"] in ("compressed", "trimmed")
        line = event_line(event)
        if line is not None:
            self.terminal.line(f"▼ {line}", style="yellow")


def _since(began: float) -> float:
    """Milliseconds since a reading of the performance counter."""
    return (time.perf_counter() - began) * 1000
