"""The model servers that settings make."""

from __future__ import annotations

from pathlib import Path

import pytest

from ullage.app.servers import build_providers
from ullage.errors import ModelUnavailable
from ullage.providers import embedded
from ullage.settings import ContextSettings, EmbeddedSettings, ProviderSettings, Settings


@pytest.mark.parametrize("model", ["~nobodyxyz/m.gguf", "no\0name.gguf", "/tmp", "/nowhere/m.gguf"])
async def test_a_model_file_that_is_none_fails_when_it_is_used(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "engine_is_installed", lambda: True)
    settings = Settings(providers=ProviderSettings(embedded=EmbeddedSettings(model=model)))
    providers = build_providers(settings)
    [engine] = [provider for provider in providers if provider.name == "embedded"]
    with pytest.raises(ModelUnavailable, match="missing"):
        await engine.models()
    for provider in providers:
        await provider.close()


def test_a_persons_home_may_be_written_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = Settings(providers=ProviderSettings(embedded=EmbeddedSettings(model="~/tiny.gguf")))
    [engine] = [provider for provider in build_providers(settings) if provider.name == "embedded"]
    assert engine.address == "tiny.gguf"


@pytest.mark.parametrize(
    ("context", "given"),
    [
        (ContextSettings(target_size=8192, max_size=1000), 768),
        (ContextSettings(target_size=8192, max_size=100), 256),
        (ContextSettings(target_size=1024, min_size=256), 1024),
    ],
)
def test_the_embedded_engine_gets_whole_cells_within_the_maximum(context: ContextSettings, given: int) -> None:
    settings = Settings(context, providers=ProviderSettings(embedded=EmbeddedSettings(model="/nowhere/m.gguf")))
    [engine] = [provider for provider in build_providers(settings) if provider.name == "embedded"]
    assert engine.planned_window("m") == given
