from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support.served import Served, provider_for
from support.stub_servers import LlamaCppStub, OllamaStub, OpenAiStub
from ullage.providers.llamacpp import LlamaCppProvider
from ullage.providers.ollama import OllamaProvider

KINDS = {"llamacpp": LlamaCppStub, "ollama": OllamaStub, "openai": OpenAiStub}


@pytest.fixture(params=KINDS)
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    """Each kind of server in turn."""
    stub = KINDS[request.param]()
    path = "/api/chat" if request.param == "ollama" else "/v1/chat/completions"
    async with stub:
        provider = provider_for(stub)
        yield Served(stub, provider, path)
        await provider.close()


@pytest.fixture
async def llamacpp() -> AsyncIterator[tuple[LlamaCppStub, LlamaCppProvider]]:
    async with LlamaCppStub() as stub:
        provider = LlamaCppProvider(stub.url)
        yield stub, provider
        await provider.close()


@pytest.fixture
async def ollama() -> AsyncIterator[tuple[OllamaStub, OllamaProvider]]:
    async with OllamaStub() as stub:
        provider = OllamaProvider(stub.url)
        yield stub, provider
        await provider.close()
