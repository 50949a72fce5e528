"""What is known of a model's memory, and the question that sizing is asked about it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from support.architectures import plain
from support.gguf_writer import write_gguf
from support.served import provider_for
from support.sized import GIB, TOKEN_BYTES, FakeServer
from support.stub_router import RoutedStub, RouterStub
from support.stub_servers import LlamaCppStub, OllamaStub, StubModelServer
from ullage.contexts.active_model import ActiveModel
from ullage.contexts.counters import Counters
from ullage.contexts.model_memory import ModelMemory, Readings
from ullage.hardware.probe import device, summed, unreadable
from ullage.memory.compute_buffer import measured
from ullage.memory.readings import DeviceReading
from ullage.memory.sizing import SizingRequest, largest_fitting, shortfall, size
from ullage.memory.weights import Weights
from ullage.providers.base import Footprint, Provider
from ullage.settings import ContextSettings, Resolved, Settings
from ullage.tokens.calibration import Calibration

BUFFER = 512 * 2**20
LAYERS = 32
SETTINGS = Settings(context=ContextSettings(target_size=0, max_size=0, vram_buffer=512))


@pytest.fixture
def memory() -> ModelMemory:
    return ModelMemory(lambda: Resolved(SETTINGS, {}, ()))


async def active_of(provider: Provider) -> ActiveModel:
    [info] = await provider.models()
    counter = Counters(lambda: SETTINGS).fallback()
    return ActiveModel(provider, info, counter, Calibration(), window=await provider.window(info.name))


@asynccontextmanager
async def model_on(stub: StubModelServer) -> AsyncGenerator[ActiveModel]:
    async with stub:
        provider = provider_for(stub)
        try:
            yield await active_of(provider)
        finally:
            await provider.close()


def cards(*devices: DeviceReading) -> Readings:
    return Readings(summed("nvidia", devices, 0))


def card(gigabytes_free: float) -> DeviceReading:
    return device("card", 24 * GIB, round(gigabytes_free * GIB))


async def request(memory: ModelMemory, active: ActiveModel, readings: Readings, **changes: Any) -> SizingRequest:
    """As much as fits, with a compute buffer of nothing unless another is said."""
    known = await memory.known(active)
    asked = memory.request(active, known, readings, auto=True, target=0)
    return attrs.evolve(asked, **{"compute": measured(0), "model_limit": None, "provider_limit": None, **changes})


def whole_cells(tokens: float) -> int:
    return int(tokens) // 256 * 256


class TestCards:
    """A gigabyte of weights, 128 KiB a token, and half a gigabyte that stays free on every card."""

    @pytest.fixture
    async def resting(self) -> ActiveModel:
        return await active_of(FakeServer())

    def room(self, gigabytes: float, layers: int) -> int:
        """Tokens for which so much memory is enough on a card with so many layers."""
        share = layers / LAYERS
        return whole_cells((gigabytes * GIB - GIB * share - BUFFER) / (TOKEN_BYTES * share))

    async def test_two_equal_cards_hold_half_each_and_each_keeps_a_buffer(
        self, memory: ModelMemory, resting: ActiveModel
    ) -> None:
        asked = await request(memory, resting, cards(card(8), card(8)))
        assert [part.layer_share for part in asked.memories] == [17 / LAYERS, 15 / LAYERS]
        assert largest_fitting(asked) == self.room(8, 17)

    async def test_cards_hold_layers_as_memory_is_free_on_them(self, memory: ModelMemory, resting: ActiveModel) -> None:
        asked = await request(memory, resting, cards(card(16), card(4)))
        assert [part.layer_share for part in asked.memories] == [27 / LAYERS, 5 / LAYERS]
        assert largest_fitting(asked) == min(self.room(16, 27), self.room(4, 5)) == self.room(16, 27)

    async def test_the_card_with_the_least_room_for_its_layers_limits(
        self, memory: ModelMemory, resting: ActiveModel
    ) -> None:
        asked = await request(memory, resting, cards(card(16), card(2.5)))
        assert [part.layer_share for part in asked.memories] == [29 / LAYERS, 3 / LAYERS]
        assert largest_fitting(asked) == min(self.room(16, 29), self.room(2.5, 3))

    async def test_each_card_has_a_compute_buffer_of_its_own(self, memory: ModelMemory, resting: ActiveModel) -> None:
        asked = await request(memory, resting, cards(card(8), card(8)), compute=measured(GIB))
        assert largest_fitting(asked) == self.room(7, 17)

    async def test_a_card_too_small_to_hold_anything_does_not_count(
        self, memory: ModelMemory, resting: ActiveModel
    ) -> None:
        with_it = await request(memory, resting, cards(card(8), card(0.6)))
        assert with_it.memories == (await request(memory, resting, cards(card(8)))).memories

    async def test_a_lost_card_does_not_count(self, memory: ModelMemory, resting: ActiveModel) -> None:
        asked = await request(memory, resting, cards(unreadable("lost"), card(8)))
        assert largest_fitting(asked) == self.room(8, LAYERS)
        assert size(asked).available_bytes == 8 * GIB

    async def test_without_any_card_left_nothing_is_known(self, memory: ModelMemory, resting: ActiveModel) -> None:
        report = size(await request(memory, resting, cards(unreadable("lost"), unreadable("lost"))))
        assert (report.available_bytes, report.limited_by) == (None, "minimum")

    async def test_a_loaded_model_is_no_rival_of_itself_on_any_card(self, memory: ModelMemory) -> None:
        loaded = await active_of(FakeServer(window_now=8192))
        full = cards(device("card", GIB, BUFFER), device("card", GIB + BUFFER, BUFFER))
        asked = await request(memory, loaded, full)
        assert shortfall(asked, 8192) == 0
        assert largest_fitting(asked) == 8192

    async def test_the_largest_measured_compute_buffer_counts_on_every_card(self, memory: ModelMemory) -> None:
        class Measured(FakeServer):
            async def footprint(self, model: str) -> Footprint | None:
                return Footprint(GIB, GIB, 300, gpu_bytes=3 * GIB, ram_bytes=0, measured=True)

        active = await active_of(Measured(window_now=8192))
        known = await memory.known(active)
        asked = memory.request(active, known, cards(card(8), card(8)), auto=True, target=0)
        assert asked.compute is not None
        assert asked.compute.bytes == 300
        assert [part.held_bytes for part in asked.memories] == [GIB * 17 // 32 + 300, GIB * 15 // 32 + 300]

    async def test_the_guard_goes_by_the_card_with_the_least_room(self, memory: ModelMemory) -> None:
        loaded = await active_of(FakeServer(window_now=8192))
        known = await memory.known(loaded)
        guarded = memory.cache_memory(loaded, known, cards(card(8), card(2)))
        assert guarded is not None
        assert (guarded.free_bytes, guarded.buffer_bytes) == (2 * GIB, BUFFER)
        share = guarded.bytes_per_token / TOKEN_BYTES
        assert guarded.held_bytes == pytest.approx(GIB * share)


class TestSlots:
    """A server with four slots. The engine has one row in each layer for every cell of every stream."""

    @pytest.fixture
    async def split(self, tmp_path: Path) -> AsyncIterator[ActiveModel]:
        """Four slots with 4,096 tokens each: `-c 16384 -np 4`."""
        file = write_gguf(tmp_path / "model.gguf", plain())
        async with model_on(LlamaCppStub(slots=4, n_ctx=4096, model_path=str(file))) as active:
            yield active

    @pytest.fixture
    async def unified(self, tmp_path: Path) -> AsyncIterator[ActiveModel]:
        """Four slots that share 16,384 tokens: `-c 16384`, and as many slots as the server likes."""
        file = write_gguf(tmp_path / "model.gguf", plain())
        routed = RoutedStub(status="loaded", loaded=16_384, read=16_384, slots=None, arguments=("-m", str(file)))
        async with model_on(RouterStub(slots=4, model_path=str(file), models={"routed": routed})) as active:
            yield active

    def printed(self, cells: int, streams: int) -> int:
        """What the engine prints for a cache of f16 with 8 heads of 128 numbers in each of 32 layers."""
        return cells * streams * LAYERS * 8 * (128 * 2 + 128 * 2)

    async def test_a_split_cache_is_there_once_for_every_slot(self, memory: ModelMemory, split: ActiveModel) -> None:
        known = await memory.known(split)
        cache = memory.cache_estimate(split, known, split.window or 0)
        assert cache is not None
        assert cache.total_bytes == self.printed(4096, 4)

    async def test_a_unified_cache_is_there_once(self, memory: ModelMemory, unified: ActiveModel) -> None:
        known = await memory.known(unified)
        cache = memory.cache_estimate(unified, known, unified.window or 0)
        assert cache is not None
        assert cache.total_bytes == self.printed(16_384, 1)

    async def test_a_split_cache_is_sized_for_every_slot(self, memory: ModelMemory, split: ActiveModel) -> None:
        """Beside what the loaded model's cache holds already, memory for a thousand tokens in each slot."""
        free = BUFFER + self.printed(1024, 4)
        asked = await request(memory, split, cards(device("card", 24 * GIB, free)))
        assert largest_fitting(asked) == 4096 + 1024
        assert size(asked).bytes_per_token == self.printed(1, 4)

    async def test_a_unified_cache_is_sized_for_all_slots_together(
        self, memory: ModelMemory, unified: ActiveModel
    ) -> None:
        free = BUFFER + self.printed(1024, 1)
        asked = await request(memory, unified, cards(device("card", 24 * GIB, free)))
        assert largest_fitting(asked) == 16_384 + 1024
        assert size(asked).bytes_per_token == self.printed(1, 1)

    async def test_a_token_in_use_stands_for_its_like_in_every_slot(
        self, memory: ModelMemory, split: ActiveModel
    ) -> None:
        guarded = memory.cache_memory(split, await memory.known(split), cards(card(8)))
        assert guarded is not None
        assert guarded.bytes_per_token == self.printed(1, 4)
        assert guarded.held_bytes == self.printed(4096, 4)


class TestWeights:
    async def test_a_resting_models_file_tells_them(self, memory: ModelMemory, tmp_path: Path) -> None:
        file = write_gguf(tmp_path / "model.gguf", plain(), {"output.weight": (64, 64)})
        models = {"resting": RoutedStub(arguments=("-m", str(file)))}
        async with model_on(RouterStub(models=models)) as active:
            known = await memory.known(active)
        assert known.weights == Weights(file.stat().st_size, "file")

    @pytest.mark.parametrize(
        ("details", "general"),
        [
            ({"parameter_size": "8.0B", "quantization_level": "Q4_K_M"}, {}),
            ({}, {"general.parameter_count": 8 * 10**9, "general.file_type": 15}),
            ({"parameter_size": "7.5B", "quantization_level": "F16"}, {"general.parameter_count": 8 * 10**9}),
        ],
        ids=["details", "header", "both"],
    )
    async def test_where_no_size_is_told_they_follow_from_parameters_and_bits(
        self, memory: ModelMemory, details: dict[str, Any], general: dict[str, Any]
    ) -> None:
        async with model_on(OllamaStub(file_size=0, details=details, info=plain() | general)) as active:
            known = await memory.known(active)
            report = size(await request(memory, active, cards(card(8))))
        bits = 16.0 if details.get("quantization_level") == "F16" else 4.89
        assert known.weights == Weights(round(8 * 10**9 * bits / 8), "parameters")
        assert report.weights_bytes == known.weights_bytes
        assert "weights estimated from the number of parameters" in report.explanation

    async def test_without_size_and_parameters_they_are_unknown(self, memory: ModelMemory) -> None:
        async with model_on(OllamaStub(file_size=0, info=plain())) as active:
            report = size(await request(memory, active, cards(card(8))))
        assert report.weights_bytes is None
        assert "weights unknown" in report.explanation
