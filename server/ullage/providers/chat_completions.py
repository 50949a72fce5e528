"""OpenAI's ``/v1/chat/completions`` as a stream: what is asked, and the answer put together from its chunks."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing

import orjson
from attrs import Factory, define

from ullage.conversation.messages import ToolCall
from ullage.errors import ProviderError
from ullage.providers.base import ChatRequest, Delta, Finished, StopReason
from ullage.providers.failures import refusal
from ullage.providers.http import Connection
from ullage.providers.json_reply import Json
from ullage.providers.messages_json import message_json, tool_json
from ullage.providers.streaming import json_events

PATH = "/v1/chat/completions"

_STOP_REASONS: dict[str, StopReason] = {"length": "length", "tool_calls": "toolCalls", "function_call": "toolCalls"}


async def chat(
    connection: Connection, request: ChatRequest, extra: Mapping[str, object] | None = None
) -> AsyncGenerator[Delta | Finished]:
    """Stream an answer; the last item is ``Finished``. A stream that ends before the answer does is an error, after the
    deltas that came. ``extra`` is what one kind of server takes beyond the common fields."""
    answer = _Answer(connection.server)
    async with (
        connection.stream(PATH, {**body(request), **(extra or {})}, request.model) as response,
        aclosing(json_events(response, connection.server)) as events,
    ):
        async for event in events:
            _raise_error_of(event, connection.server, request.model)
            for delta in answer.take(event):
                yield delta
    for delta in answer.calls():
        yield delta
    if answer.stop_reason is None:
        raise ProviderError(f"{connection.server} broke off in the middle of its answer. Try again.")
    yield answer.finished()


def body(request: ChatRequest) -> dict[str, object]:
    """The common fields; what the request leaves open is left out, so that the server's own defaults hold."""
    options = request.options
    optional: dict[str, object | None] = {
        "max_tokens": options.max_tokens,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "stop": list(options.stop) or None,
        "seed": options.seed,
        "tools": [tool_json(tool) for tool in options.tools] or None,
        "tool_choice": options.tool_choice if options.tools else None,
        "chat_template_kwargs": None if options.thinking is None else {"enable_thinking": options.thinking},
        "response_format": None if options.response_schema is None else _response_format(options.response_schema),
    }
    return {
        "model": request.model,
        "messages": [message_json(message) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        **{key: value for key, value in optional.items() if value is not None},
    }


def new_call_id() -> str:
    """For the servers that give their calls no id."""
    return f"call_{secrets.token_hex(8)}"


def _response_format(schema: Mapping[str, object]) -> dict[str, object]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}


def _raise_error_of(event: Json, server: str, model: str) -> None:
    error = event["error"]
    if error:
        code = error.value.get("code") if isinstance(error.value, dict) else None
        raise refusal(server, code if isinstance(code, int) else 500, event.value, model)


@define
class _PartialCall:
    """A tool call of which more may come."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@define
class _Answer:
    """What has come of an answer so far."""

    server: str
    stop_reason: StopReason | None = None
    _calls: dict[int, _PartialCall] = Factory(dict)
    _called: bool = False
    _usage: Json | None = None
    _timings: Json | None = None

    def take(self, event: Json) -> Iterator[Delta]:
        """The deltas that a chunk brings; calls are held back until they are whole."""
        self._usage = event["usage"] or self._usage
        self._timings = event["timings"] or self._timings
        for choice in event["choices"]:
            delta = choice["delta"]
            text = delta["content"].text()
            reasoning = delta["reasoning_content"].text() or delta["reasoning"].text()
            if text or reasoning:
                yield Delta(text=text, reasoning=reasoning)
            for piece in delta["tool_calls"]:
                self._extend_call(piece)
            reason = choice["finish_reason"].text()
            if reason:
                self.stop_reason = _STOP_REASONS.get(reason, "stop")

    def calls(self) -> Iterator[Delta]:
        """The calls, whole since the stream is at its end; none of an answer that broke off."""
        if self.stop_reason is None:
            return
        for _, call in sorted(self._calls.items()):
            if not call.name:
                raise ProviderError(
                    f"{self.server} asked for a tool without naming it. Try again, or ask without tools."
                )
            self._called = True
            yield Delta(tool_call=ToolCall(call.id or new_call_id(), call.name, call.arguments))

    def finished(self) -> Finished:
        usage, timings = self._usage or Json(None, self.server), self._timings or Json(None, self.server)
        reused, evaluated = timings["cache_n"].count(), timings["prompt_n"].count()
        together = None if reused is None or evaluated is None else reused + evaluated
        cached = usage["prompt_tokens_details"]["cached_tokens"].count()
        completion = usage["completion_tokens"].count()
        assert self.stop_reason is not None
        return Finished(
            stop_reason="toolCalls" if self._called and self.stop_reason == "stop" else self.stop_reason,
            prompt_tokens=usage["prompt_tokens"].size() or together,
            reused_tokens=reused if cached is None else cached,
            completion_tokens=timings["predicted_n"].count() if completion is None else completion,
        )

    def _extend_call(self, piece: Json) -> None:
        """Add a piece to its call. Servers that send calls whole may leave the index out; each then brings its id."""
        index = piece["index"].count()
        if index is None:
            index = len(self._calls) - (1 if self._calls and not piece["id"] else 0)
        call = self._calls.setdefault(index, _PartialCall())
        call.id = call.id or piece["id"].text()
        call.name = call.name or piece["function"]["name"].text()
        arguments = piece["function"]["arguments"]
        call.arguments += orjson.dumps(arguments.value).decode() if arguments.is_object() else arguments.text()
