"""Sizes and memory of llama.cpp's server, with one model and as a router."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.stub_router import RoutedStub, RouterStub
from support.stub_servers import LlamaCppStub
from ullage.errors import ContextBusy, ModelUnavailable, NotSupported, ProviderError
from ullage.providers.base import Footprint, Resized
from ullage.providers.llamacpp import LlamaCppProvider

Served = tuple[LlamaCppStub, LlamaCppProvider]
Routed = tuple[RouterStub, LlamaCppProvider]


@pytest.fixture
async def router() -> AsyncIterator[Routed]:
    """A router with a loaded and a resting model."""
    models = {"busy-bee": RoutedStub(status="loaded", loaded=4096), "resting.gguf": RoutedStub()}
    async with RouterStub(models=models) as stub:
        provider = LlamaCppProvider(stub.url)
        yield stub, provider
        await provider.close()


async def test_a_server_with_one_model_says_how_to_start_it_with_another_size(llamacpp: Served) -> None:
    stub, provider = llamacpp
    stub.slots = 4
    with pytest.raises(NotSupported, match=r"`-c 24576` \(for 4 slots together\)"):
        await provider.resize(stub.model, 6144)
    with pytest.raises(NotSupported, match="End llama-server"):
        await provider.unload(stub.model)


async def test_a_server_with_one_model_tells_weights_and_slots(llamacpp: Served) -> None:
    stub, provider = llamacpp
    stub.slots = 4
    assert await provider.footprint("any name") == Footprint(weights_bytes=1_000_000, slots=4)
    assert await provider.metadata(stub.model) is None


async def test_a_routers_models_are_listed_by_their_whole_names(router: Routed) -> None:
    _, provider = router
    listed = [(info.name, info.loaded, info.allocated_context) for info in await provider.models()]
    assert listed == [("busy-bee", True, 4096), ("resting.gguf", False, None)]


async def test_a_router_loads_a_model_anew_with_what_its_presets_say_now(router: Routed) -> None:
    stub, provider = router
    stub.models["busy-bee"].preset, stub.models["busy-bee"].loads_in = 6144, 5
    assert await provider.resize("busy-bee", 6144) == Resized(6144, reloaded=True)
    assert await provider.window("busy-bee") == 6144


async def test_what_all_slots_have_together_is_divided(router: Routed) -> None:
    stub, provider = router
    stub.models["resting.gguf"].slots = 2
    assert await provider.resize("resting.gguf", 2048) == Resized(2048, reloaded=True)
    assert await provider.window("resting.gguf") == 2048


@pytest.mark.parametrize(
    ("slots", "arguments", "unified"),
    [
        (4, (), False),
        (None, (), True),
        (4, ("--kv-unified",), True),
        (4, ("-kvu",), True),
        (None, ("--no-kv-unified",), False),
    ],
)
async def test_slots_share_one_cache_where_the_arguments_or_the_server_itself_say_so(
    router: Routed, slots: int | None, arguments: tuple[str, ...], unified: bool
) -> None:
    stub, provider = router
    stub.models["busy-bee"].slots, stub.models["busy-bee"].arguments = slots, arguments
    footprint = await provider.footprint("busy-bee")
    assert footprint is not None
    assert footprint.unified_cache is unified


async def test_what_all_slots_share_is_not_divided(router: Routed) -> None:
    stub, provider = router
    stub.slots = 4
    stub.models["resting.gguf"].slots = None
    assert await provider.resize("resting.gguf", 4096) == Resized(4096, reloaded=True)
    assert await provider.window("resting.gguf") == 4096


async def test_a_resting_model_of_a_router_is_loaded(router: Routed) -> None:
    stub, provider = router
    assert await provider.resize("resting.gguf", 4096) == Resized(4096, reloaded=True)
    assert stub.sent("/models/unload") == []


async def test_presets_that_say_another_size_are_named_and_nothing_is_unloaded(router: Routed) -> None:
    stub, provider = router
    with pytest.raises(NotSupported, match=r"4,096 tokens.*`ctx-size = 6144`"):
        await provider.resize("busy-bee", 6144)
    assert await provider.window("busy-bee") == 4096
    assert {request.method for request in stub.requests} == {"GET"}


async def test_presets_without_a_size_are_told_as_that(router: Routed) -> None:
    stub, provider = router
    stub.models["resting.gguf"].preset = None
    with pytest.raises(NotSupported, match="the size that it was made for"):
        await provider.resize("resting.gguf", 6144)


async def test_the_size_that_it_has_needs_nothing(router: Routed) -> None:
    stub, provider = router
    assert await provider.resize("busy-bee", 4096) == Resized(4096, reloaded=False)
    assert {request.method for request in stub.requests} == {"GET"}


async def test_a_model_that_does_not_load_is_told(router: Routed) -> None:
    stub, provider = router
    stub.models["resting.gguf"].fails = True
    with pytest.raises(ProviderError, match="could not load"):
        await provider.resize("resting.gguf", 4096)


async def test_a_routers_running_answer_is_not_cut(router: Routed) -> None:
    stub, provider = router
    stub.busy = True
    stub.models["busy-bee"].preset = 6144
    with pytest.raises(ContextBusy) as caught:
        await provider.resize("busy-bee", 6144)
    assert caught.value.data == {"reason": "answering"}
    with pytest.raises(ContextBusy):
        await provider.unload("busy-bee")
    assert await provider.window("busy-bee") == 4096


async def test_a_router_unloads_and_does_not_tell_how_much_that_frees(router: Routed) -> None:
    stub, provider = router
    assert await provider.unload("busy-bee") is None
    assert await provider.window("busy-bee") is None
    assert await provider.unload("busy-bee") == 0
    assert len(stub.sent("/models/unload")) == 1


@pytest.mark.parametrize("name", ["gone", "busy"])
async def test_a_model_that_a_router_does_not_have_is_named(router: Routed, name: str) -> None:
    _, provider = router
    with pytest.raises(ModelUnavailable, match=f"no model named {name}"):
        await provider.unload(name)


async def test_a_routers_model_tells_its_cache_types(router: Routed) -> None:
    stub, provider = router
    stub.models["busy-bee"].arguments = ("--cache-type-k", "q8_0", "-ctv", "f16")
    assert await provider.footprint("busy-bee") == Footprint(
        weights_bytes=1_000_000, slots=1, unified_cache=False, cache_type_k="q8_0", cache_type_v="f16"
    )
    assert await provider.footprint("resting.gguf") is None


async def test_the_file_of_a_resting_model_is_known_from_its_arguments(router: Routed, tmp_path: Path) -> None:
    stub, provider = router
    file = tmp_path / "resting.gguf"
    file.write_bytes(b"GGUF")
    stub.models["resting.gguf"].arguments = ("--model", str(file))
    assert await provider.model_file("resting.gguf") == file
