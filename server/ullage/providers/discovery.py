"""Which model servers there are, and which of them to use where nobody has chosen one.

Nothing but GET requests goes to an address that was only guessed, never with a key, and a server counts as found only
where its answer has the exact shape of its kind.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence

from attrs import frozen

from ullage.providers.base import Provider
from ullage.providers.embedded import EmbeddedOptions, EmbeddedProvider
from ullage.providers.http import ApiKey
from ullage.providers.llamacpp import LlamaCppProvider
from ullage.providers.ollama import OllamaProvider
from ullage.providers.openai import OpenAiProvider
from ullage.settings import OpenAiSettings, ProviderChoice, ProviderSettings

LM_STUDIO_URL = "http://127.0.0.1:1234"
VLLM_URL = "http://127.0.0.1:8000"


@frozen
class Discovery:
    """What was found. ``providers`` are the servers to use, the best first: those that answered, or the one that a
    person chose. ``all`` are the others too, behind them. ``tried`` says in words what was asked and how it went."""

    providers: tuple[Provider, ...]
    all: tuple[Provider, ...]
    tried: tuple[str, ...]

    @property
    def advice(self) -> str:
        """What was tried and what to do about it, for the end of an error's sentence."""
        return (
            f"Tried: {'; '.join(self.tried)}. Start one, for example with `ollama serve` or "
            "`llama-server -m <model file>`, or install the small model with `ullage install-model`."
        )


def build(
    settings: ProviderSettings,
    embedded: EmbeddedOptions,
    *,
    api_key: ApiKey | None = None,
    environment: Mapping[str, str] = os.environ,
) -> tuple[Provider, ...]:
    """Every model server that is configured, or that may be running where such servers usually do, the preferred first.

    No request is sent. ``api_key`` comes before the variable that settings name, and goes to the configured server of
    that style alone. Build them once, since each holds its connections and the engine, and close them in the end."""
    return (
        OllamaProvider(settings.ollama.url),
        LlamaCppProvider(settings.llamacpp.url),
        *_openai_style(settings.openai, api_key or _key_from(environment, settings.openai.api_key_env)),
        EmbeddedProvider(embedded),
    )


async def discover(providers: Sequence[Provider], choice: ProviderChoice = "auto") -> Discovery:
    """Ask all candidates at once, within two seconds. With a choice only servers of that kind are candidates, and where
    that leaves a single one, it is taken unasked: its own errors say best what is wrong. No other one ever takes its
    place."""
    candidates = [provider for provider in providers if choice in ("auto", provider.name)]
    if choice != "auto" and len(candidates) == 1:
        found, tried = candidates, [_described(candidates[0])]
    else:
        answers = await asyncio.gather(*(provider.probe() for provider in candidates))
        asked = list(zip(candidates, answers, strict=True))
        found = [provider for provider, answered in asked if answered]
        tried = [f"{_described(provider)} ({'answers' if answered else 'no answer'})" for provider, answered in asked]
    others = [provider for provider in providers if provider not in found]
    return Discovery(tuple(found), (*found, *others), tuple(tried))


def _openai_style(settings: OpenAiSettings, api_key: ApiKey) -> tuple[Provider, ...]:
    if settings.url:
        return (OpenAiProvider(settings.url, api_key=api_key),)
    return OpenAiProvider(LM_STUDIO_URL, title="LM Studio"), OpenAiProvider(VLLM_URL, title="vLLM")


def _key_from(environment: Mapping[str, str], variable: str | None) -> ApiKey:
    return lambda: environment.get(variable) if variable else None


def _described(provider: Provider) -> str:
    return f"{provider.name} at {provider.address}"
