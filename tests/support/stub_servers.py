"""Model servers for tests, each speaking its kind's own interface on loopback.

``async with LlamaCppStub() as server:`` and use ``server.url``. They count tokens by a simple rule, keep to a window,
answer from a script, reuse the common prefix of the last prompt, and refuse what does not fit, as the real ones do.
"""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, Literal

from attrs import define, field, frozen

from support.stub_http import Exchange, Request, StubHttpServer

_PLAIN = re.compile(r"\w+|\s|[^\w\s]")
_TOKEN = re.compile(r"<\|\w+\|>|" + _PLAIN.pattern)
TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@frozen
class Call:
    """A tool call in a scripted answer."""

    name: str
    arguments: str
    id: str = "call_1"


@frozen
class Answer:
    """A scripted answer. ``gate`` holds it back before its first piece, ``pause`` after it; ``cut`` ends the stream
    behind the pieces: "abrupt" closes the connection, "clean" leaves only the end of the answer out."""

    pieces: tuple[str, ...] = ("I heard ", "you.")
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    stop_reason: Literal["stop", "length"] = "stop"
    gate: asyncio.Event | None = None
    pause: asyncio.Event | None = None
    cut: Literal["abrupt", "clean"] | None = None


def tokens_of(text: str, *, special: bool = True) -> list[int]:
    """One token for each word, blank and sign; also for each marker like <|user|>, where these are ``special``."""
    return [zlib.crc32(token.encode()) for token in (_TOKEN if special else _PLAIN).findall(text)]


def rendered(messages: Sequence[Mapping[str, Any]], tools: Sequence[object] = ()) -> str:
    """`TEMPLATE` as plain code, with tools in front."""
    parts = [f"<|tools|>{json.dumps(tools)}\n"] if tools else []
    parts += [f"<|{message['role']}|>{message.get('content') or ''}{_calls_text(message)}\n" for message in messages]
    return "".join([*parts, "<|assistant|>"])


def _calls_text(message: Mapping[str, Any]) -> str:
    return json.dumps(message["tool_calls"]) if message.get("tool_calls") else ""


@frozen
class Prompt:
    """The figures of one request."""

    tokens: int
    reused: int


@define(eq=False)
class StubModelServer(StubHttpServer):
    """What all kinds share: a script of answers, the last prompt, and the model's name."""

    model: str = field(default="stub-model", kw_only=True)
    answers: deque[Answer] = field(factory=deque, kw_only=True)
    last_prompt: list[int] = field(factory=list, kw_only=True)

    def next_answer(self) -> Answer:
        return self.answers.popleft() if self.answers else Answer()

    def take_prompt(self, body: Mapping[str, Any]) -> Prompt:
        """Count a prompt, and how much of it the last one had in common."""
        tokens = tokens_of(rendered(body["messages"], body.get("tools") or ()))
        pairs = zip(tokens, self.last_prompt, strict=False)
        reused = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        self.last_prompt = tokens
        return Prompt(len(tokens), min(reused, len(tokens) - 1))

    async def stream_events(self, exchange: Exchange, body: Mapping[str, Any], prompt: Prompt) -> None:
        """OpenAI's form of a streamed answer; usage is told only where it is asked for."""
        answer = self.next_answer()
        figures = self.figures(answer, prompt)
        if not body.get("stream_options", {}).get("include_usage"):
            figures.pop("usage")
        if answer.gate is not None:
            await exchange.until(answer.gate)
        await exchange.begin("text/event-stream")
        await exchange.piece(_event(_chunk({"role": "assistant", "content": None})))
        if answer.reasoning:
            await exchange.piece(_event(_chunk({"reasoning_content": answer.reasoning})))
        for number, piece in enumerate(answer.pieces):
            await exchange.piece(_event(_chunk({"content": piece})))
            if number == 0 and answer.pause is not None:
                await exchange.until(answer.pause)
        for index, call in enumerate(answer.calls):
            for part in _call_parts(index, call):
                await exchange.piece(_event(_chunk({"tool_calls": [part]})))
        if answer.cut is None:
            reason = "tool_calls" if answer.calls else answer.stop_reason
            await exchange.piece(_event(_chunk({}, reason)))
            await exchange.piece(_event({"choices": [], **figures}))
            await exchange.piece(b"data: [DONE]\n\n")
        if answer.cut == "abrupt":
            raise ConnectionError
        await exchange.end()

    def figures(self, answer: Answer, prompt: Prompt) -> dict[str, object]:
        details = {"cached_tokens": prompt.reused}
        completion = _completion_tokens(answer)
        return {
            "usage": {
                "prompt_tokens": prompt.tokens,
                "completion_tokens": completion,
                "total_tokens": prompt.tokens + completion,
                "prompt_tokens_details": details,
            }
        }


@define(eq=False)
class LlamaCppStub(StubModelServer):
    """``llama-server`` with one model. ``counts_prompts`` False: one that is too old for ``input_tokens``; ``busy``: it
    is answering somebody else."""

    n_ctx: int = field(default=4096, kw_only=True)
    n_ctx_train: int = field(default=8192, kw_only=True)
    model_path: str = field(default="/models/stub-model.gguf", kw_only=True)
    chat_template: str = field(default=TEMPLATE, kw_only=True)
    counts_prompts: bool = field(default=True, kw_only=True)
    slots: int = field(default=1, kw_only=True)
    busy: bool = field(default=False, kw_only=True)

    async def handle(self, request: Request, exchange: Exchange) -> None:
        match request.method, request.path:
            case "GET", "/props":
                await exchange.json(self.props())
            case "GET", "/v1/models":
                meta = {"n_ctx": self.n_ctx, "n_ctx_train": self.n_ctx_train, "size": 1_000_000}
                entry = {"id": self.model, "object": "model", "owned_by": "llamacpp", "meta": meta}
                await exchange.json({"object": "list", "data": [entry]})
            case "GET", "/slots":
                await exchange.json([{"id": 0, "n_ctx": self.n_ctx, "is_processing": self.busy}])
            case "POST", "/tokenize":
                await exchange.json({"tokens": self._tokenize(request.json())})
            case "POST", "/apply-template":
                body = request.json()
                await exchange.json({"prompt": rendered(body["messages"], body.get("tools") or ())})
            case "POST", "/v1/chat/completions/input_tokens" if self.counts_prompts:
                body = request.json()
                count = len(tokens_of(rendered(body["messages"], body.get("tools") or ())))
                await exchange.json({"input_tokens": count, "object": "response.input_tokens"})
            case "POST", "/v1/chat/completions":
                await self._chat(request.json(), exchange)
            case _:
                await super().handle(request, exchange)

    def figures(self, answer: Answer, prompt: Prompt) -> dict[str, object]:
        evaluated = prompt.tokens - prompt.reused
        timings = {"cache_n": prompt.reused, "prompt_n": evaluated, "predicted_n": _completion_tokens(answer)}
        return {**StubModelServer.figures(self, answer, prompt), "timings": timings}

    def props(self) -> dict[str, object]:
        return {
            "default_generation_settings": {"n_ctx": self.n_ctx, "params": {}},
            "total_slots": self.slots,
            "model_path": self.model_path,
            "chat_template": self.chat_template,
        }

    def _tokenize(self, body: Mapping[str, Any]) -> list[int]:
        return tokens_of(body["content"], special=body.get("parse_special", True))

    async def _chat(self, body: Mapping[str, Any], exchange: Exchange) -> None:
        prompt = self.take_prompt(body)
        if prompt.tokens >= self.n_ctx:
            await exchange.json(llamacpp_overflow(prompt.tokens, self.n_ctx), 400)
        else:
            await self.stream_events(exchange, body, prompt)


def llamacpp_overflow(needed: int, limit: int) -> dict[str, object]:
    """llama.cpp's refusal of a prompt that is longer than the window."""
    message = f"request ({needed} tokens) exceeds the available context size ({limit} tokens), try increasing it"
    kind = "exceed_context_size_error"
    return {"error": {"code": 400, "message": message, "type": kind, "n_prompt_tokens": needed, "n_ctx": limit}}


@define(eq=False)
class OllamaStub(StubModelServer):
    """Ollama with one model, which gets its size from the first request, and never more than the model was made for.

    ``largest_size`` is what fits its memory; ``size`` and ``size_vram`` are what it tells of the loaded model,
    ``file_size`` and ``details`` what its list tells."""

    model: str = field(default="stub-model:latest", kw_only=True)
    version: str = field(default="0.32.15", kw_only=True)
    context_length: int = field(default=8192, kw_only=True)
    default_size: int = field(default=4096, kw_only=True)
    loaded_size: int | None = field(default=None, kw_only=True)
    largest_size: int = field(default=1 << 20, kw_only=True)
    size: int | None = field(default=5_000_000, kw_only=True)
    size_vram: int | None = field(default=4_000_000, kw_only=True)
    file_size: int = field(default=1_000_000, kw_only=True)
    details: Mapping[str, object] = field(factory=dict, kw_only=True)
    info: Mapping[str, object] = field(factory=dict, kw_only=True)
    remote_models: Sequence[str] = field(default=(), kw_only=True)

    async def handle(self, request: Request, exchange: Exchange) -> None:
        match request.method, request.path:
            case "GET", "/api/version":
                await exchange.json({"version": self.version})
            case "GET", "/api/tags":
                remote = [{"name": name, "remote_host": "https://ollama.com"} for name in self.remote_models]
                own = {"name": self.model, "size": self.file_size, "digest": "d1", "details": self.details}
                await exchange.json({"models": [own, *remote]})
            case "GET", "/api/ps":
                sizes = {"size": self.size, "size_vram": self.size_vram, "context_length": self.loaded_size}
                loaded = {"name": self.model, **sizes}
                await exchange.json({"models": [loaded] if self.loaded_size else []})
            case "POST", "/api/show":
                info = {"general.architecture": "llama", "llama.context_length": self.context_length}
                await exchange.json({"model_info": {**info, **self.info}, "capabilities": ["completion"]})
            case "POST", "/api/generate":
                await self._generate(request.json(), exchange)
            case "POST", "/api/chat":
                await self._chat(request.json(), exchange)
            case _:
                await super().handle(request, exchange)

    async def _chat(self, body: Mapping[str, Any], exchange: Exchange) -> None:
        if body["model"] not in (self.model, self.model.removesuffix(":latest")):
            await exchange.json({"error": f"model '{body['model']}' not found"}, 404)
            return
        if not await self._load(body, exchange):
            return
        assert self.loaded_size is not None
        prompt = self.take_prompt(body)
        if prompt.tokens >= self.loaded_size and body.get("truncate") is False:
            passed_on = json.dumps(llamacpp_overflow(prompt.tokens, self.loaded_size))
            await exchange.json({"error": passed_on}, 400)
            return
        answer = self.next_answer()
        if answer.gate is not None:
            await exchange.until(answer.gate)
        await exchange.begin("application/x-ndjson")
        await self._stream(answer, prompt, exchange)

    async def _generate(self, body: Mapping[str, Any], exchange: Exchange) -> None:
        """Without a prompt: only loading, or unloading."""
        if body.get("keep_alive") == 0:
            self.loaded_size = None
            await exchange.json({"response": "", "done": True, "done_reason": "unload"})
        elif await self._load(body, exchange):
            await exchange.json({"response": "", "done": True, "done_reason": "load"})

    async def _load(self, body: Mapping[str, Any], exchange: Exchange) -> bool:
        """Whether the model fits with the size that is asked for; what was loaded before is gone either way."""
        asked = body.get("options", {}).get("num_ctx") or self.default_size
        self.loaded_size = size = min(asked, self.context_length)
        if size > self.largest_size:
            self.loaded_size = None
            text = "model requires more system memory (5.6 GiB) than is available (3.1 GiB)"
            await exchange.json({"error": text}, 500)
        return size <= self.largest_size

    async def _stream(self, answer: Answer, prompt: Prompt, exchange: Exchange) -> None:
        if answer.reasoning:
            await exchange.piece(_line({"thinking": answer.reasoning}))
        for number, piece in enumerate(answer.pieces):
            await exchange.piece(_line({"content": piece}))
            if number == 0 and answer.pause is not None:
                await exchange.until(answer.pause)
        for call in answer.calls:
            function = {"name": call.name, "arguments": json.loads(call.arguments)}
            await exchange.piece(_line({"tool_calls": [{"function": function}]}))
        if answer.cut is None:
            figures = {"prompt_eval_count": prompt.tokens, "eval_count": _completion_tokens(answer)}
            await exchange.piece(_line({"content": ""}, done=True, done_reason=answer.stop_reason, **figures))
        if answer.cut == "abrupt":
            raise ConnectionError
        await exchange.end()


@define(eq=False)
class OpenAiStub(StubModelServer):
    """A server with OpenAI's interface: ``kind`` says which one it is, ``key`` what it asks for, ``metrics`` what vLLM
    measures."""

    kind: Literal["vllm", "lmstudio", "plain"] = field(default="plain", kw_only=True)
    window: int = field(default=4096, kw_only=True)
    key: str | None = field(default=None, kw_only=True)
    metrics: str = field(default="", kw_only=True)

    async def handle(self, request: Request, exchange: Exchange) -> None:
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            told = f"Incorrect API key provided: {request.headers.get('authorization')}"
            await exchange.json({"error": {"message": told, "code": "invalid_api_key"}}, 401)
            return
        match request.method, request.path:
            case "GET", "/v1/models":
                extra = {"max_model_len": self.window} if self.kind == "vllm" else {}
                await exchange.json({"object": "list", "data": [{"id": self.model, "object": "model", **extra}]})
            case "GET", "/api/v0/models" if self.kind == "lmstudio":
                await exchange.json({"data": self._lm_studio_models()})
            case "POST", "/tokenize" if self.kind == "vllm":
                body = request.json()
                text = body.get("prompt") or rendered(body["messages"], body.get("tools") or ())
                await exchange.json({"count": len(tokens_of(text)), "max_model_len": self.window, "tokens": []})
            case "GET", "/metrics" if self.kind == "vllm":
                await exchange.text(self.metrics)
            case "POST", "/v1/chat/completions":
                await self._chat(request.json(), exchange)
            case _:
                await super().handle(request, exchange)

    def _lm_studio_models(self) -> list[dict[str, object]]:
        own = {"id": self.model, "type": "llm", "state": "loaded", "max_context_length": 32768}
        resting = {"id": "resting", "type": "llm", "state": "not-loaded", "max_context_length": 8192}
        return [{**own, "loaded_context_length": self.window}, resting]

    async def _chat(self, body: Mapping[str, Any], exchange: Exchange) -> None:
        prompt = self.take_prompt(body)
        if prompt.tokens < self.window:
            await self.stream_events(exchange, body, prompt)
            return
        message = (
            f"This model's maximum context length is {self.window} tokens. However, you requested {prompt.tokens} "
            "tokens. Please reduce the length of the messages."
        )
        await exchange.json({"error": {"message": message, "code": "context_length_exceeded"}}, 400)


def _completion_tokens(answer: Answer) -> int:
    return len(tokens_of(answer.reasoning + "".join(answer.pieces)))


def _chunk(delta: Mapping[str, object], reason: str | None = None) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], "object": "chat.completion.chunk"}


def _event(value: object) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()


def _line(message: Mapping[str, object], *, done: bool = False, **figures: object) -> bytes:
    whole = {"model": "stub", "message": {"role": "assistant", **message}, "done": done, **figures}
    return json.dumps(whole).encode() + b"\n"


def _call_parts(index: int, call: Call) -> list[dict[str, object]]:
    """A call as servers send it: the name first, then its arguments in two pieces."""
    middle = len(call.arguments) // 2
    first = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
    rest = [
        {"index": index, "function": {"arguments": part}} for part in (call.arguments[:middle], call.arguments[middle:])
    ]
    return [first, *rest]
