"""Ollama's own interface: https://github.com/ollama/ollama/blob/main/docs/api.md

Spoken over our own connection, not through the package ``ollama``: its client can't send ``truncate`` and ``shift``,
reads its key and address from the environment, follows redirects, and keeps lines of any length.
The OpenAI-style interface of the same server is not used either: it takes no context size.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path

import orjson

from ullage.conversation.messages import SentMessage, ToolCall
from ullage.errors import ProviderError, UllageError
from ullage.providers.base import ChatRequest, Delta, Finished, Footprint, ModelInfo, Resized, StopReason
from ullage.providers.chat_completions import new_call_id
from ullage.providers.failures import refusal, too_little
from ullage.providers.http import LOADING_TIMEOUT_S, Connection, parse_address
from ullage.providers.json_reply import Json
from ullage.providers.messages_json import arguments_object, tool_json
from ullage.providers.ollama_files import model_file
from ullage.providers.polling import comes_true
from ullage.providers.server import ModelServer
from ullage.providers.streaming import json_lines
from ullage.settings import CacheType

HINT = "Start it with `ollama serve`, or choose another model server in the settings."
LOOKUPS_AT_ONCE = 4
UNLOADING_TIMEOUT_S = 5.0
_SCALES = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


class OllamaProvider(ModelServer):
    """An Ollama server. It allocates with the first request, at the ``num_ctx`` that every request then repeats.

    It has no tokenizer to ask, and the template that it tells is Go's, not Jinja; the model's file has both."""

    name = "ollama"
    sizes_by_request = True

    def __init__(self, url: str) -> None:
        address = parse_address(url)
        super().__init__(Connection(f"Ollama at {address.url}", address, HINT))
        self._context_lengths: dict[str, int | None] = {}
        self._counts_whole: bool | None = None
        self._sizes: dict[str, int] = {}

    def planned_window(self, model: str) -> int | None:
        """The size that the model was given last; the caller's requests are to carry it."""
        return self._sizes.get(_full_name(model))

    async def models(self) -> Sequence[ModelInfo]:
        """The models on the server's own machine; those that it would hand on to a cloud are not offered."""
        tags, running = await asyncio.gather(self._connection.get("/api/tags"), self._connection.get("/api/ps"))
        allocated = {entry["name"].name(): entry["context_length"].size() for entry in running["models"]}
        local = [entry for entry in tags["models"] if not entry["remote_host"].text()]
        turn = asyncio.Semaphore(LOOKUPS_AT_ONCE)
        lengths = await asyncio.gather(*(self._context_length(entry, turn) for entry in local))
        return [
            ModelInfo(
                name=(name := entry["name"].name()),
                loaded=name in allocated,
                context_length=length,
                allocated_context=allocated.get(name),
                size_bytes=entry["size"].size(),
                parameter_count=parameter_count(entry["details"]["parameter_size"].text()),
                quantisation=entry["details"]["quantization_level"].text() or None,
            )
            for entry, length in zip(local, lengths, strict=True)
        ]

    async def window(self, model: str) -> int | None:
        """What the loaded model was given; None before the first request, and of old versions, which do not tell."""
        entry = await self._loaded(model)
        return entry["context_length"].size() if entry else None

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Delta | Finished]:
        """``tool_choice`` other than "none" is left to the model: Ollama has no such field."""
        server, called = self._connection.server, False
        async with (
            self._connection.stream("/api/chat", _body(request), request.model) as response,
            aclosing(json_lines(response, server)) as lines,
        ):
            async for line in lines:
                if line["error"]:
                    raise refusal(server, 500, line.value, request.model)
                for delta in _deltas(line["message"]):
                    called = called or delta.tool_call is not None
                    yield delta
                if line["done"].value is True:
                    break
            else:
                raise ProviderError(f"{server} broke off in the middle of its answer. Try again.")
        yield _finished(line, called=called, counts_whole=await self._counts_whole_prompts())

    async def model_file(self, model: str) -> Path | None:
        if not self.is_local:
            return None
        return await asyncio.to_thread(model_file, model)

    async def metadata(self, model: str) -> Mapping[str, object] | None:
        """What the model's GGUF header says, without its long arrays, which Ollama tells as null."""
        info = (await self._connection.post("/api/show", {"model": model}, model))["model_info"]
        keys = list(info.value) if isinstance(info.value, dict) else []
        return {key: info[key].value for key in keys if info[key]} or None

    async def footprint(self, model: str) -> Footprint | None:
        """The server's own sums for card and RAM. Some versions tell 0 of a model that no card holds."""
        entry = await self._loaded(model)
        if entry is None:
            return None
        total, on_cards = entry["size"].size(), entry["size_vram"].count()
        if total is None or on_cards is None:
            return Footprint(gpu_bytes=on_cards or None)
        return Footprint(gpu_bytes=on_cards, ram_bytes=max(total - on_cards, 0))

    async def resize(self, model: str, tokens: int, cache_type: CacheType | None = None) -> Resized:  # noqa: ARG002  # the server's own setting
        """A resting model gets the size with the next request. A loaded one is loaded anew now, after its running
        answers, so that a failure shows here; the server may give it less than was asked for, and tells."""
        name = _full_name(model)
        former = await self.window(model)
        if former is None or former == tokens:
            self._sizes[name] = tokens
            return Resized(tokens, reloaded=False)
        try:
            await self._load(model, tokens)
            allocated = await self.window(model) or tokens
        except UllageError as failure:
            is_back = False
            with suppress(UllageError):
                await self._load(model, former)
                is_back = True
            raise too_little(failure, self._connection.server, model, tokens, former, is_back=is_back) from None
        self._sizes[name] = allocated
        return Resized(allocated, reloaded=True)

    async def unload(self, model: str) -> int | None:
        """The server ends running answers first. What it freed is known only where it is gone within seconds."""
        entry = await self._loaded(model)
        if entry is None:
            return 0
        await self._connection.post("/api/generate", {"model": model, "keep_alive": 0, "stream": False}, model)

        async def is_gone() -> bool:
            return await self._loaded(model) is None

        return entry["size"].size() if await comes_true(is_gone, UNLOADING_TIMEOUT_S) else None

    async def _answers_as_such(self) -> bool:
        version = await self._connection.get("/api/version")
        tags = await self._connection.get("/api/tags")
        return bool(version["version"].text()) and tags["models"].is_list()

    async def _loaded(self, model: str) -> Json | None:
        running = await self._connection.get("/api/ps")
        entries = (entry for entry in running["models"] if _full_name(entry["name"].name()) == _full_name(model))
        return next(entries, None)

    async def _load(self, model: str, tokens: int) -> None:
        """An empty prompt loads the model and asks it nothing."""
        body = {"model": model, "stream": False, "options": {"num_ctx": tokens}}
        await self._connection.post("/api/generate", body, model, timeout_s=LOADING_TIMEOUT_S)

    async def _context_length(self, entry: Json, turn: asyncio.Semaphore) -> int | None:
        """What the model was made for; asked once for each version of it."""
        name, digest = entry["name"].name(), entry["digest"].text()
        if digest not in self._context_lengths:
            async with turn:
                info = (await self._connection.post("/api/show", {"model": name}, name))["model_info"]
            architecture = info["general.architecture"].text()
            self._context_lengths[digest] = info[f"{architecture}.context_length"].size()
        return self._context_lengths[digest]

    async def _counts_whole_prompts(self) -> bool:
        """Whether this version's prompt counts include cached tokens; asked once."""
        if self._counts_whole is None:
            try:
                version = (await self._connection.get("/api/version"))["version"].text()
            except UllageError:
                return False
            self._counts_whole = counts_whole_prompts(version)
        return self._counts_whole


def parameter_count(told: str) -> int | None:
    """The number that "8.0B" or "134.52M" stands for; None for anything else."""
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?)([KMBT])", told)
    return round(float(match[1]) * _SCALES[match[2]]) if match else None


def counts_whole_prompts(version: str) -> bool:
    """Versions before 0.4 leave the count out when the prompt is cached, and 0.30.0 counts only what was evaluated
    (https://github.com/ollama/ollama/pull/16428). Of an unknown version nothing is presumed."""
    match = re.match(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})", version)
    if match is None:
        return False
    number = tuple(int(part) for part in match.groups())
    return number >= (0, 4, 0) and number != (0, 30, 0)


def _full_name(model: str) -> str:
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


def _body(request: ChatRequest) -> dict[str, object]:
    """``truncate`` and ``shift`` false: a prompt that does not fit is refused, and not cut without a word. How long a
    model stays loaded is the server's own setting, so ``keep_alive`` is not sent."""
    options = request.options
    sampling: dict[str, object | None] = {
        "num_ctx": request.context_size,
        "num_predict": options.max_tokens,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "stop": list(options.stop) or None,
        "seed": options.seed,
    }
    functions = {call.id: call.name for message in request.messages for call in message.tool_calls}
    body: dict[str, object] = {
        "model": request.model,
        "messages": [_message_json(message, functions) for message in request.messages],
        "stream": True,
        "truncate": False,
        "shift": False,
        "options": {key: value for key, value in sampling.items() if value is not None},
    }
    if options.tools and options.tool_choice != "none":
        body["tools"] = [tool_json(tool) for tool in options.tools]
    if options.thinking is not None:
        body["think"] = options.thinking
    if options.response_schema is not None:
        body["format"] = options.response_schema
    return body


def _message_json(message: SentMessage, functions: Mapping[str, str]) -> dict[str, object]:
    """``functions`` are the names by the ids of the calls: a result names its function here."""
    sent: dict[str, object] = {"role": message.role, "content": message.content}
    if message.reasoning:
        sent["thinking"] = message.reasoning
    if message.tool_calls:
        sent["tool_calls"] = [
            {"id": call.id, "function": {"name": call.name, "arguments": arguments_object(call.arguments)}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        sent["tool_call_id"] = message.tool_call_id
        sent["tool_name"] = message.name or functions.get(message.tool_call_id, "")
    return sent


def _deltas(message: Json) -> list[Delta]:
    text, reasoning = message["content"].text(), message["thinking"].text()
    deltas = [Delta(text=text, reasoning=reasoning)] if text or reasoning else []
    for call in message["tool_calls"]:
        function = call["function"]
        arguments = orjson.dumps(function["arguments"].value or {}).decode()
        whole = ToolCall(call["id"].text() or new_call_id(), function["name"].name(), arguments)
        deltas.append(Delta(tool_call=whole))
    return deltas


def _finished(last: Json, *, called: bool, counts_whole: bool) -> Finished:
    """A reported cache count says that the prompt's count includes it, whatever the version."""
    reused = last["prompt_eval_cached_count"].count()
    reason: StopReason = "length" if last["done_reason"].text() == "length" else "stop"
    return Finished(
        stop_reason="toolCalls" if called and reason == "stop" else reason,
        prompt_tokens=last["prompt_eval_count"].size(),
        reused_tokens=reused,
        completion_tokens=last["eval_count"].count(),
        prompt_is_whole=reused is not None or counts_whole,
    )
