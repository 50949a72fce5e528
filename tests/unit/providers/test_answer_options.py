"""How each kind of server is told to answer without reasoning, and in the form of a JSON schema."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from support.served import Served, collect, provider_for, request_for
from support.stub_servers import LlamaCppStub, OllamaStub, OpenAiStub, StubModelServer

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
RESPONSE_FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}}
FIELDS = {"think", "format", "chat_template_kwargs", "thinking_budget_tokens", "response_format"}

Kind = Literal["vllm", "lmstudio"]


async def sent(stub: StubModelServer, path: str, **options: Any) -> dict[str, Any]:
    """What of these options reached the server."""
    provider = provider_for(stub)
    try:
        await collect(provider, request_for(stub, **options))
    finally:
        await provider.close()
    body = stub.sent(path)[-1].json()
    return {name: body[name] for name in FIELDS & set(body)}


async def test_what_is_left_open_is_the_servers_to_choose(served: Served) -> None:
    assert await sent(served.stub, served.chat_path) == {}


@pytest.mark.parametrize("thinking", [False, True])
async def test_ollama_is_told_whether_to_think(thinking: bool) -> None:
    async with OllamaStub() as stub:
        assert await sent(stub, "/api/chat", thinking=thinking) == {"think": thinking}


async def test_ollama_takes_a_schema_as_the_format() -> None:
    async with OllamaStub() as stub:
        assert await sent(stub, "/api/chat", response_schema=SCHEMA) == {"format": SCHEMA}


async def test_llamacpp_is_told_by_its_template_and_by_a_budget_that_ends_reasoning_at_once() -> None:
    async with LlamaCppStub() as stub:
        told = await sent(stub, "/v1/chat/completions", thinking=False)
        assert told == {"chat_template_kwargs": {"enable_thinking": False}, "thinking_budget_tokens": 0}


async def test_llamacpp_may_reason_as_long_as_it_likes_where_that_is_asked_for() -> None:
    async with LlamaCppStub() as stub:
        told = await sent(stub, "/v1/chat/completions", thinking=True)
        assert told == {"chat_template_kwargs": {"enable_thinking": True}}


async def test_llamacpp_takes_a_schema_as_openai_does() -> None:
    async with LlamaCppStub() as stub:
        told = await sent(stub, "/v1/chat/completions", response_schema=SCHEMA)
        assert told == {"response_format": RESPONSE_FORMAT}


@pytest.mark.parametrize("kind", ["vllm", "lmstudio"])
@pytest.mark.parametrize("thinking", [False, True])
async def test_openai_servers_are_told_by_their_templates(kind: Kind, thinking: bool) -> None:
    async with OpenAiStub(kind=kind) as stub:
        told = await sent(stub, "/v1/chat/completions", thinking=thinking)
        assert told == {"chat_template_kwargs": {"enable_thinking": thinking}}


@pytest.mark.parametrize("kind", ["vllm", "lmstudio"])
async def test_openai_servers_take_a_schema_as_the_response_format(kind: Kind) -> None:
    async with OpenAiStub(kind=kind) as stub:
        told = await sent(stub, "/v1/chat/completions", response_schema=SCHEMA)
        assert told == {"response_format": RESPONSE_FORMAT}
