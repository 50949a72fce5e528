"""Providers in front of stub servers, and what tests ask of them."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from support.stub_servers import LlamaCppStub, OllamaStub, StubModelServer
from ullage.conversation.messages import SentMessage
from ullage.providers.base import AnswerOptions, ChatRequest, Delta, Finished, Provider
from ullage.providers.llamacpp import LlamaCppProvider
from ullage.providers.ollama import OllamaProvider
from ullage.providers.openai import OpenAiProvider


@frozen
class Served:
    """A provider and the stub server behind it."""

    stub: StubModelServer
    provider: Provider
    chat_path: str


def provider_for(stub: StubModelServer) -> Provider:
    match stub:
        case LlamaCppStub():
            return LlamaCppProvider(stub.url)
        case OllamaStub():
            return OllamaProvider(stub.url)
        case _:
            return OpenAiProvider(stub.url)


def request_for(stub: StubModelServer, text: str = "Hello there", **options: Any) -> ChatRequest:
    return ChatRequest(stub.model, (SentMessage("user", text),), AnswerOptions(**options))


async def collect(provider: Provider, request: ChatRequest) -> tuple[str, list[Delta], Finished]:
    """The text, all deltas, and the end of an answer."""
    items = [item async for item in provider.chat(request)]
    deltas = [item for item in items if isinstance(item, Delta)]
    finished = items[-1]
    assert isinstance(finished, Finished)
    assert len(deltas) == len(items) - 1
    return "".join(delta.text for delta in deltas), deltas, finished
