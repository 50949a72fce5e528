from __future__ import annotations

import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from support.stub_http import HTML
from support.stub_servers import LlamaCppStub, OllamaStub, OpenAiStub
from ullage.providers import discovery, embedded
from ullage.providers.base import Provider
from ullage.providers.discovery import build, discover
from ullage.providers.embedded import EmbeddedOptions
from ullage.settings import LlamaCppSettings, OllamaSettings, OpenAiSettings, ProviderSettings

NOBODY = "http://127.0.0.1:9"
NO_ENGINE = EmbeddedOptions(model=Path("/nowhere/model.gguf"))


@pytest.fixture(autouse=True)
def nobody_on_the_usual_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "LM_STUDIO_URL", NOBODY)
    monkeypatch.setattr(discovery, "VLLM_URL", NOBODY)


def _settings(ollama: str = NOBODY, llamacpp: str = NOBODY, openai: str | None = None) -> ProviderSettings:
    return ProviderSettings(
        ollama=OllamaSettings(ollama), llamacpp=LlamaCppSettings(llamacpp), openai=OpenAiSettings(openai, "THE_KEY")
    )


async def _close(providers: tuple[Provider, ...]) -> None:
    for provider in providers:
        await provider.close()


async def test_the_servers_that_answer_are_found_in_the_order_of_preference() -> None:
    async with OllamaStub() as ollama, LlamaCppStub() as llamacpp, OpenAiStub() as openai:
        providers = build(_settings(ollama.url, llamacpp.url, openai.url), NO_ENGINE)
        found = await discover(providers)
        assert [provider.address for provider in found.providers] == [ollama.url, llamacpp.url, openai.url]
        methods = {request.method for stub in (ollama, llamacpp, openai) for request in stub.requests}
        assert methods == {"GET"}
        await _close(providers)


async def test_those_that_do_not_answer_stand_behind() -> None:
    async with LlamaCppStub() as llamacpp:
        providers = build(_settings(llamacpp=llamacpp.url), NO_ENGINE)
        found = await discover(providers)
        assert [provider.name for provider in found.all] == ["llamacpp", "ollama", "openai", "openai", "embedded"]
        await _close(providers)


async def test_where_nobody_answers_all_that_was_tried_is_told() -> None:
    providers = build(_settings(), NO_ENGINE)
    found = await discover(providers)
    assert found.providers == ()
    assert f"ollama at {NOBODY} (no answer)" in found.advice
    assert "ollama serve" in found.advice
    assert "ullage install-model" in found.advice
    await _close(providers)


async def test_something_else_on_a_usual_port_is_not_taken_for_a_model_server() -> None:
    async with OllamaStub() as web:
        web.fail("*", *[HTML] * 10)
        providers = build(_settings(web.url, web.url, web.url), NO_ENGINE)
        assert (await discover(providers)).providers == ()
        await _close(providers)


async def test_a_chosen_server_is_taken_also_when_it_is_away_and_others_answer() -> None:
    async with OllamaStub() as ollama:
        providers = build(_settings(ollama.url), NO_ENGINE)
        found = await discover(providers, "llamacpp")
        assert [provider.name for provider in found.providers] == ["llamacpp"]
        assert ollama.requests == []
        await _close(providers)


async def test_of_guessed_servers_of_the_chosen_kind_the_one_that_answers_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with OpenAiStub(kind="vllm") as vllm:
        monkeypatch.setattr(discovery, "VLLM_URL", vllm.url)
        providers = build(_settings(), NO_ENGINE)
        assert [provider.address for provider in (await discover(providers, "openai")).providers] == [vllm.url]
        await _close(providers)


async def test_a_key_goes_to_the_configured_address_and_to_no_guessed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncExitStack() as stack:
        guessed, configured = [await stack.enter_async_context(OpenAiStub()) for _ in range(2)]
        monkeypatch.setattr(discovery, "LM_STUDIO_URL", guessed.url)
        environment = {"THE_KEY": "sk-secret"}
        for settings in (_settings(), _settings(openai=configured.url)):
            providers = build(settings, NO_ENGINE, environment=environment)
            await discover(providers)
            await _close(providers)
        assert {request.headers.get("authorization") for request in guessed.requests} == {None}
        assert {request.headers.get("authorization") for request in configured.requests} == {"Bearer sk-secret"}


async def test_the_embedded_engine_comes_last_and_is_not_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = tmp_path / "tiny.gguf"
    model.write_bytes(b"GGUF")
    monkeypatch.setattr(embedded, "engine_is_installed", lambda: True)
    providers = build(_settings(), EmbeddedOptions(model))
    assert [provider.name for provider in (await discover(providers)).providers] == ["embedded"]
    assert isinstance(providers[-1], embedded.EmbeddedProvider)
    assert providers[-1].engine is None
    await _close(providers)


def test_heavy_libraries_wait_for_the_first_request() -> None:
    heavy = "{'httpx', 'httpx_sse', 'ollama', 'xllamacpp'}"
    code = f"import sys, ullage.providers.discovery; sys.exit(', '.join({heavy} & set(sys.modules)) or None)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).stderr == b""
