"""Which servers run on this machine, and so share its memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ullage.providers.base import Provider
from ullage.providers.embedded import EmbeddedOptions, EmbeddedProvider
from ullage.providers.llamacpp import LlamaCppProvider
from ullage.providers.ollama import OllamaProvider
from ullage.providers.openai import OpenAiProvider


@pytest.mark.parametrize("kind", [LlamaCppProvider, OllamaProvider, OpenAiProvider])
@pytest.mark.parametrize(
    ("url", "local"), [("http://127.0.0.1:1", True), ("http://localhost:1", True), ("http://192.0.2.1:1", False)]
)
def test_a_server_is_local_where_its_address_is_this_machine(
    kind: Callable[[str], Provider], url: str, local: bool
) -> None:
    assert kind(url).is_local is local


def test_the_embedded_engine_is_local() -> None:
    assert EmbeddedProvider(EmbeddedOptions(Path("tiny.gguf"))).is_local
