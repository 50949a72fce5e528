"""Sizes and memory of LM Studio, vLLM, and servers that are neither."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from support.served import request_for
from support.stub_http import SERVER_ERROR, reply
from support.stub_lm_studio import LmStudioStub
from support.stub_servers import Answer, OpenAiStub
from ullage.errors import ContextBusy, InsufficientMemory, ModelUnavailable, NotSupported, ProviderError
from ullage.providers.base import Footprint, ModelInfo, Resized
from ullage.providers.openai import OpenAiProvider
from ullage.providers.vllm import cache_used

Served = tuple[LmStudioStub, OpenAiProvider]
METRICS = """\
# HELP vllm:kv_cache_usage_perc KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc_total{model_name="stub-model"} 0.9
vllm:kv_cache_usage_perc{engine="0",model_name="stub-model"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="stub-model"} 5.0e-1
vllm:kv_cache_usage_perc{engine="0",model_name="another"} 0.75
"""


@pytest.fixture
async def lm_studio() -> AsyncIterator[Served]:
    async with LmStudioStub() as stub:
        provider = OpenAiProvider(stub.url)
        yield stub, provider
        await provider.close()


@pytest.fixture(params=["vllm", "lmstudio", "plain"])
async def unmanaged(request: pytest.FixtureRequest) -> AsyncIterator[tuple[OpenAiStub, OpenAiProvider]]:
    async with OpenAiStub(kind=request.param) as stub:
        provider = OpenAiProvider(stub.url)
        yield stub, provider
        await provider.close()


async def test_lm_studio_tells_the_loaded_length_the_nominal_one_and_the_size(lm_studio: Served) -> None:
    stub, provider = lm_studio
    assert list(await provider.models()) == [ModelInfo(stub.model, True, 32768, 4096, 1_000_000)]
    stub.window = 0
    assert list(await provider.models()) == [ModelInfo(stub.model, False, 32768, None, 1_000_000)]


async def test_lm_studio_loads_a_model_anew_with_what_else_it_had(lm_studio: Served) -> None:
    stub, provider = lm_studio
    assert await provider.resize(stub.model, 6144) == Resized(6144, reloaded=True)
    assert await provider.window(stub.model) == 6144
    assert stub.flash_attention


async def test_lm_studio_loads_a_resting_model(lm_studio: Served) -> None:
    stub, provider = lm_studio
    stub.window = 0
    assert await provider.resize(stub.model, 6144) == Resized(6144, reloaded=True)
    assert stub.sent("/api/v1/models/unload") == []


async def test_the_size_that_it_has_needs_nothing(lm_studio: Served) -> None:
    stub, provider = lm_studio
    assert await provider.resize(stub.model, 4096) == Resized(4096, reloaded=False)
    assert stub.sent("/api/v1/models/load") == []


@pytest.mark.parametrize("fails_as_success", [False, True])
async def test_a_size_that_does_not_fit_is_refused_and_the_former_one_is_back(
    lm_studio: Served, fails_as_success: bool
) -> None:
    stub, provider = lm_studio
    stub.largest, stub.fails_as_success = 5000, fails_as_success
    with pytest.raises(InsufficientMemory, match=r"6,144 tokens; it keeps 4,096 tokens"):
        await provider.resize(stub.model, 6144)
    assert await provider.window(stub.model) == 4096


async def test_where_the_former_size_does_not_fit_any_more_it_is_said_that_nothing_is_loaded(
    lm_studio: Served,
) -> None:
    stub, provider = lm_studio
    stub.largest = 1000
    with pytest.raises(
        InsufficientMemory, match=r"6,144 tokens, nor again with 4,096 tokens: it is no longer loaded\."
    ):
        await provider.resize(stub.model, 6144)
    assert await provider.window(stub.model) is None


async def test_a_model_that_was_unloaded_without_an_answer_is_loaded_as_it_was(lm_studio: Served) -> None:
    stub, provider = lm_studio
    stub.unloads_without_an_answer = True
    with pytest.raises(ProviderError):
        await provider.resize(stub.model, 6144)
    assert await provider.window(stub.model) == 4096


async def test_a_model_that_was_not_unloaded_is_not_loaded_twice(lm_studio: Served) -> None:
    stub, provider = lm_studio
    stub.fail("/api/v1/models/unload", SERVER_ERROR)
    with pytest.raises(ProviderError, match="status 500"):
        await provider.resize(stub.model, 6144)
    assert await provider.window(stub.model) == 4096
    assert stub.sent("/api/v1/models/load") == []


async def test_an_instance_answers_to_its_own_name(lm_studio: Served) -> None:
    stub, provider = lm_studio
    stub.instance = "mine"
    assert await provider.resize("mine", 6144) == Resized(6144, reloaded=True)
    assert stub.sent("/api/v1/models/load")[0].json()["model"] == stub.model


async def test_an_answer_of_ours_is_not_cut(lm_studio: Served) -> None:
    stub, provider = lm_studio
    stub.answers.append(Answer(pause=asyncio.Event()))
    async with aclosing(provider.chat(request_for(stub))) as answer:
        await anext(answer)
        with pytest.raises(ContextBusy):
            await provider.resize(stub.model, 6144)
        with pytest.raises(ContextBusy):
            await provider.unload(stub.model)
    assert await provider.resize(stub.model, 6144) == Resized(6144, reloaded=True)


async def test_lm_studio_unloads(lm_studio: Served) -> None:
    stub, provider = lm_studio
    assert await provider.unload(stub.model) is None
    assert await provider.window(stub.model) is None
    assert await provider.unload(stub.model) == 0


async def test_a_model_that_lm_studio_does_not_have_is_named(lm_studio: Served) -> None:
    _, provider = lm_studio
    with pytest.raises(ModelUnavailable, match="gone"):
        await provider.resize("gone", 6144)


async def test_lm_studio_tells_weights_and_slots(lm_studio: Served) -> None:
    stub, provider = lm_studio
    assert await provider.footprint(stub.model) == Footprint(weights_bytes=1_000_000, slots=4)
    stub.window = 0
    assert await provider.footprint(stub.model) is None


async def test_a_server_that_answers_any_address_with_a_success_is_no_lm_studio() -> None:
    async with OpenAiStub() as stub:
        provider = OpenAiProvider(stub.url)
        unknown = reply(200, '{"error": "Unexpected endpoint or method. (GET /api/v1/models)"}')
        stub.fail("/api/v1/models", unknown)
        stub.fail("/api/v0/models", unknown)
        assert [info.name for info in await provider.models()] == [stub.model]
        await provider.close()


async def test_where_nothing_can_be_done_a_person_is_told_what_they_can_do(
    unmanaged: tuple[OpenAiStub, OpenAiProvider],
) -> None:
    stub, provider = unmanaged
    advice = {"vllm": "--max-model-len 6144", "lmstudio": "--context-length 6144", "plain": "where you start it"}
    with pytest.raises(NotSupported, match=advice[stub.kind]):
        await provider.resize(stub.model, 6144)
    with pytest.raises(NotSupported):
        await provider.unload(stub.model)
    assert {request.method for request in stub.requests} == {"GET"}


async def test_how_full_the_cache_of_vllm_is() -> None:
    async with OpenAiStub(kind="vllm", metrics=METRICS) as stub:
        provider = OpenAiProvider(stub.url)
        assert await provider.footprint(stub.model) == Footprint(cache_used=0.5)
        stub.metrics = "vllm:num_requests_running 1.0\n"
        assert await provider.footprint(stub.model) is None
        await provider.close()


@pytest.mark.parametrize(
    ("metrics", "used"),
    [
        ('vllm:gpu_cache_usage_perc{model_name="m"} 0.125', 0.125),
        ("vllm:kv_cache_usage_perc 0.5 1700000000", 0.5),
        ("vllm:kv_cache_usage_perc 1.5", 1.0),
        ("vllm:kv_cache_usage_perc NaN", None),
        ("vllm:kv_cache_usage_perc -1", None),
        ("", None),
    ],
)
def test_the_gauge_under_either_name(metrics: str, used: float | None) -> None:
    assert cache_used(metrics, "m") == used


async def test_vllm_counts_texts_and_others_are_not_asked() -> None:
    async with OpenAiStub(kind="vllm") as stub, OpenAiStub() as plain:
        provider, other = OpenAiProvider(stub.url), OpenAiProvider(plain.url)
        assert await provider.count_texts(stub.model, ["one", "one two", ""]) == [1, 3, 0]
        assert await provider.count_texts(stub.model, ["<|user|>"], parse_special=True) == [1]
        assert await other.count_texts(plain.model, ["one"]) is None
        assert plain.sent("/tokenize") == []
        await provider.close()
        await other.close()


async def test_vllm_is_not_shown_a_marker_that_a_person_wrote() -> None:
    async with OpenAiStub(kind="vllm") as stub:
        provider = OpenAiProvider(stub.url)
        assert await provider.count_texts(stub.model, ["a<|user|>b", "a < b > c"]) == [7, 9]
        assert [request.json()["prompt"] for request in stub.sent("/tokenize")] == ["a<", "|user|>b", "a < b > c"]
        await provider.close()
