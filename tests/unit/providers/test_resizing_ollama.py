"""Sizes and memory where each request carries the size."""

from __future__ import annotations

import pytest
from attrs import evolve

from support.served import collect, request_for
from support.stub_http import SERVER_ERROR, reply
from support.stub_servers import OllamaStub
from ullage.errors import InsufficientMemory, ModelUnavailable, ProviderError
from ullage.providers.base import Footprint, Resized
from ullage.providers.ollama import OllamaProvider

Served = tuple[OllamaStub, OllamaProvider]


async def test_a_resting_model_gets_its_size_with_the_next_request(ollama: Served) -> None:
    stub, provider = ollama
    assert await provider.resize("stub-model", 6144) == Resized(6144, reloaded=False)
    assert provider.planned_window("stub-model:latest") == 6144
    assert stub.sent("/api/generate") == []


async def test_a_loaded_model_is_loaded_anew_and_tells_its_size(ollama: Served) -> None:
    stub, provider = ollama
    stub.loaded_size = 4096
    assert await provider.resize("stub-model", 6144) == Resized(6144, reloaded=True)
    assert await provider.window("stub-model") == 6144
    assert stub.sent("/api/generate")[0].json() == {
        "model": "stub-model",
        "stream": False,
        "options": {"num_ctx": 6144},
    }


async def test_the_same_size_loads_nothing(ollama: Served) -> None:
    stub, provider = ollama
    stub.loaded_size = 4096
    assert await provider.resize("stub-model", 4096) == Resized(4096, reloaded=False)
    assert stub.sent("/api/generate") == []


async def test_what_the_server_really_gave_is_what_counts(ollama: Served) -> None:
    stub, provider = ollama
    stub.loaded_size = 4096
    assert await provider.resize("stub-model", 20000) == Resized(8192, reloaded=True)
    assert provider.planned_window("stub-model") == 8192


async def test_a_size_that_does_not_fit_is_refused_and_the_former_one_is_back(ollama: Served) -> None:
    stub, provider = ollama
    await provider.resize("stub-model", 4096)
    await collect(provider, evolve(request_for(stub), context_size=4096))
    stub.largest_size = 5000
    with pytest.raises(InsufficientMemory, match=r"6,144 tokens; it keeps 4,096 tokens"):
        await provider.resize("stub-model", 6144)
    assert await provider.window("stub-model") == 4096
    assert provider.planned_window("stub-model") == 4096


async def test_where_the_former_size_does_not_fit_any_more_it_is_said_that_nothing_is_loaded(ollama: Served) -> None:
    stub, provider = ollama
    stub.loaded_size, stub.largest_size = 4096, 1000
    with pytest.raises(
        InsufficientMemory, match=r"6,144 tokens, nor again with 4,096 tokens: it is no longer loaded\."
    ):
        await provider.resize("stub-model", 6144)
    assert await provider.window("stub-model") is None


async def test_another_failure_is_told_as_itself_after_going_back(ollama: Served) -> None:
    stub, provider = ollama
    stub.loaded_size = 4096
    stub.fail("/api/generate", SERVER_ERROR)
    with pytest.raises(ProviderError, match="status 500"):
        await provider.resize("stub-model", 6144)
    assert await provider.window("stub-model") == 4096


async def test_unloading_tells_what_it_freed(ollama: Served) -> None:
    stub, provider = ollama
    stub.loaded_size = 4096
    assert await provider.unload("stub-model") == 5_000_000
    assert stub.sent("/api/generate")[0].json()["keep_alive"] == 0
    assert await provider.window("stub-model") is None


async def test_unloading_a_resting_model_frees_nothing(ollama: Served) -> None:
    stub, provider = ollama
    assert await provider.unload("stub-model") == 0
    assert stub.sent("/api/generate") == []


@pytest.mark.parametrize(
    ("size", "size_vram", "footprint"),
    [
        (5_000_000, 4_000_000, Footprint(gpu_bytes=4_000_000, ram_bytes=1_000_000)),
        (5_000_000, 0, Footprint(gpu_bytes=0, ram_bytes=5_000_000)),
        (5_000_000, 6_000_000, Footprint(gpu_bytes=6_000_000, ram_bytes=0)),
        (5_000_000, None, Footprint()),
        (0, 0, Footprint()),
        (None, None, Footprint()),
    ],
)
async def test_card_and_ram_are_told_as_far_as_they_are_known(
    ollama: Served, size: int | None, size_vram: int | None, footprint: Footprint
) -> None:
    stub, provider = ollama
    stub.size, stub.size_vram, stub.loaded_size = size, size_vram, 4096
    assert await provider.footprint("stub-model") == footprint


async def test_a_resting_model_has_no_footprint(ollama: Served) -> None:
    _, provider = ollama
    assert await provider.footprint("stub-model") is None


async def test_metadata_are_those_of_the_models_file_without_what_is_null(ollama: Served) -> None:
    stub, provider = ollama
    stub.info = {"llama.attention.head_count_kv": [3, 0], "tokenizer.ggml.tokens": None}
    assert await provider.metadata("stub-model") == {
        "general.architecture": "llama",
        "llama.context_length": 8192,
        "llama.attention.head_count_kv": [3, 0],
    }


async def test_an_old_server_tells_no_metadata(ollama: Served) -> None:
    stub, provider = ollama
    stub.fail("/api/show", reply(200, '{"modelfile": "FROM x"}'))
    assert await provider.metadata("stub-model") is None


async def test_metadata_of_a_model_that_is_not_there_are_an_error(ollama: Served) -> None:
    stub, provider = ollama
    stub.fail("/api/show", reply(404, '{"error": "model not found"}'))
    with pytest.raises(ModelUnavailable):
        await provider.metadata("gone")
