"""Whatever a server answers, only our own errors come of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from support.served import provider_for, request_for
from support.stub_http import Raw, unframed
from support.stub_servers import LlamaCppStub, OllamaStub, OpenAiStub, StubModelServer
from ullage.errors import UllageError
from ullage.providers.base import Delta, Finished, Provider

KEYS = st.sampled_from(
    ["choices", "delta", "content", "finish_reason", "usage", "timings", "error", "message", "done", "models", "data",
     "id", "name", "default_generation_settings", "n_ctx", "tool_calls", "function", "arguments", "index", "meta",
     "context_length", "model_info", "prompt_tokens", "prompt_eval_count", "total_slots", "tokens", "input_tokens",
     "role", "status", "value", "args", "size", "size_vram", "loaded_instances", "config", "key", "max_model_len",
     "state"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
BODIES = st.one_of(
    st.binary(max_size=200),
    VALUES.map(lambda value: json.dumps(value).encode()),
    VALUES.map(lambda value: f"data: {json.dumps(value)}\n\n".encode()),
    VALUES.map(lambda value: json.dumps(value).encode() + b"\n"),
)
TYPES = st.sampled_from(["application/json", "text/event-stream", "application/x-ndjson", "text/html", ""])


def _framed(status: int, content_type: str, body: bytes) -> Raw:
    return Raw(unframed(content_type, body).replace(b"200 OK", f"{status} X".encode(), 1))


RAWS = st.one_of(
    st.builds(_framed, st.sampled_from([200, 200, 200, 204, 301, 400, 404, 500, 503]), TYPES, BODIES),
    st.binary(max_size=200).map(Raw),
)


async def _everything(provider: Provider, stub: StubModelServer) -> None:
    async def chat() -> None:
        async for item in provider.chat(request_for(stub)):
            assert isinstance(item, (Delta, Finished))

    questions: list[Callable[[], Awaitable[object]]] = [
        provider.models,
        chat,
        lambda: provider.window(stub.model),
        lambda: provider.count_texts(stub.model, ["a", "b"]),
        lambda: provider.count_prompt(stub.model, request_for(stub).messages, ()),
        lambda: provider.chat_template(stub.model),
        lambda: provider.model_file(stub.model),
        lambda: provider.metadata(stub.model),
        lambda: provider.footprint(stub.model),
        lambda: provider.resize(stub.model, 2048),
        lambda: provider.unload(stub.model),
    ]
    for question in questions:
        try:
            await question()
        except UllageError as error:
            assert len(error.message) < 400
    assert await provider.probe() in (True, False)


@settings(max_examples=100, deadline=None)
@given(st.lists(RAWS, min_size=12, max_size=24))
def test_property_17_any_reply_gives_an_answer_or_one_of_our_errors(replies: list[Raw]) -> None:
    async def run() -> None:
        for kind in (LlamaCppStub, OllamaStub, OpenAiStub):
            async with kind() as stub:
                stub.fail("*", *replies)
                provider = provider_for(stub)
                await asyncio.wait_for(_everything(provider, stub), 20)
                await provider.close()

    asyncio.run(run())
