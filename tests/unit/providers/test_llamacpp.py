from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from attrs import evolve

from support.served import collect, request_for
from support.stub_http import Exchange, Request, reply
from support.stub_servers import TEMPLATE, LlamaCppStub, rendered, tokens_of
from ullage.conversation.messages import SentMessage, ToolDefinition
from ullage.errors import ProviderError, ProviderUnavailable
from ullage.providers.base import ModelInfo
from ullage.providers.llamacpp import LlamaCppProvider

Served = tuple[LlamaCppStub, LlamaCppProvider]
MESSAGES = (SentMessage("system", "Be brief."), SentMessage("user", "Hello there"))
TOOL = ToolDefinition("weather", "Tells the weather", {"type": "object"})


class Silent(LlamaCppStub):
    """Takes every request and answers none."""

    async def handle(self, request: Request, exchange: Exchange) -> None:
        await asyncio.Event().wait()


async def test_who_counts_or_lists_gives_a_silent_server_up_after_two_seconds() -> None:
    async with Silent() as stub:
        provider = LlamaCppProvider(stub.url)
        asked = [
            provider.count_texts(stub.model, ["one", "two"]),
            provider.count_prompt(stub.model, MESSAGES, ()),
            provider.chat_template(stub.model),
            provider.window(stub.model),
            provider.models(),
        ]
        began = time.monotonic()
        failures = await asyncio.gather(*asked, return_exceptions=True)
        assert time.monotonic() - began < 3
        assert [type(failure) for failure in failures] == [ProviderUnavailable] * len(asked)
        await provider.close()


async def test_the_window_is_what_the_server_allocated(llamacpp: Served) -> None:
    stub, provider = llamacpp
    stub.n_ctx = 1536
    assert await provider.window(stub.model) == 1536


async def test_a_model_is_listed_with_both_its_own_and_its_allocated_length(llamacpp: Served) -> None:
    stub, provider = llamacpp
    assert list(await provider.models()) == [ModelInfo(stub.model, True, 8192, 4096, 1_000_000)]


async def test_a_model_named_by_its_path_gets_a_short_name(llamacpp: Served) -> None:
    stub, provider = llamacpp
    stub.model = "/home/someone/models/Tiny-1B.Q4_1.gguf"
    assert [info.name for info in await provider.models()] == ["Tiny-1B.Q4_1"]


async def test_a_routers_model_at_rest_is_not_loaded_and_has_no_window(llamacpp: Served) -> None:
    stub, provider = llamacpp
    listed = '{"data": [{"id": "big", "status": {"value": "unloaded"}}, {"id": "tiny", "status": {"value": "loaded"}}]}'
    stub.fail("/v1/models", reply(200, listed))
    stub.fail("/props", reply(400, '{"error": {"message": "model is not loaded"}}'))
    assert [(info.name, info.loaded) for info in await provider.models()] == [("big", False), ("tiny", True)]
    assert await provider.window("big") is None
    assert stub.sent("/props")[0].query == {"model": ["big"], "autoload": ["false"]}


async def test_the_second_turn_reports_what_came_from_the_cache(llamacpp: Served) -> None:
    stub, provider = llamacpp
    await collect(provider, request_for(stub))
    _, _, finished = await collect(provider, request_for(stub))
    assert (finished.prompt_tokens, finished.reused_tokens) == (len(stub.last_prompt), len(stub.last_prompt) - 1)


async def test_figures_come_from_the_timings_where_usage_is_missing(llamacpp: Served) -> None:
    stub, provider = llamacpp
    end = '{"choices":[{"delta":{},"finish_reason":"stop"}],"timings":{"cache_n":7,"prompt_n":5,"predicted_n":2}}'
    stub.fail("/v1/chat/completions", reply(200, f"data: {end}\n\n", "text/event-stream"))
    _, _, finished = await collect(provider, request_for(stub))
    assert (finished.prompt_tokens, finished.reused_tokens, finished.completion_tokens) == (12, 7, 2)


async def test_stream_requests_close_their_connection(llamacpp: Served) -> None:
    stub, provider = llamacpp
    await collect(provider, request_for(stub))
    assert stub.sent("/v1/chat/completions")[0].headers["connection"] == "close"


async def test_texts_are_counted_in_order_without_reading_markers(llamacpp: Served) -> None:
    _, provider = llamacpp
    texts = ["one", "one two", "", "<|user|>"] * 5
    assert await provider.count_texts("m", texts) == [1, 3, 0, 5] * 5


async def test_markers_are_read_where_that_is_asked_for(llamacpp: Served) -> None:
    _, provider = llamacpp
    assert await provider.count_texts("m", ["<|user|>"], parse_special=True) == [1]


async def test_a_failure_while_counting_is_told_as_itself(llamacpp: Served) -> None:
    stub, provider = llamacpp
    stub.fail("/tokenize", reply(503, "{}"))
    with pytest.raises(ProviderUnavailable):
        await provider.count_texts("m", ["a", "b", "c"])


@pytest.mark.parametrize("counts_prompts", [True, False], ids=["new", "old"])
@pytest.mark.parametrize("tools", [(), (TOOL,)], ids=["bare", "tools"])
async def test_a_prompt_is_counted_as_the_server_will_count_it(
    llamacpp: Served, counts_prompts: bool, tools: tuple[ToolDefinition, ...]
) -> None:
    stub, provider = llamacpp
    stub.counts_prompts = counts_prompts
    count = await provider.count_prompt(stub.model, MESSAGES, tools)
    assert count == await provider.count_prompt(stub.model, MESSAGES, tools)
    _, _, finished = await collect(provider, evolve(request_for(stub, tools=tools), messages=MESSAGES))
    assert count == finished.prompt_tokens


async def test_an_old_servers_prompt_is_counted_with_the_token_that_begins_it(llamacpp: Served) -> None:
    stub, provider = llamacpp
    stub.counts_prompts = False
    count = await provider.count_prompt(stub.model, MESSAGES, ())
    assert count == len(tokens_of(rendered([{"role": m.role, "content": m.content} for m in MESSAGES])))
    assert stub.sent("/tokenize")[0].json()["add_special"] is True


async def test_the_template_is_told(llamacpp: Served) -> None:
    stub, provider = llamacpp
    assert await provider.chat_template(stub.model) == TEMPLATE


async def test_the_models_file_is_told_where_it_is_on_this_machine(llamacpp: Served, tmp_path: Path) -> None:
    stub, provider = llamacpp
    assert await provider.model_file(stub.model) is None
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    stub.model_path = str(file)
    assert await provider.model_file(stub.model) == file


async def test_a_path_on_another_machine_means_nothing() -> None:
    assert await LlamaCppProvider("http://192.0.2.1:8080").model_file("m") is None


async def test_a_server_that_is_loading_is_unavailable_for_now(llamacpp: Served) -> None:
    stub, provider = llamacpp
    stub.fail("/props", reply(503, '{"error": {"message": "Loading model", "type": "unavailable_error"}}'))
    with pytest.raises(ProviderUnavailable, match="loading"):
        await provider.window(stub.model)


async def test_a_figure_of_the_wrong_type_is_an_error(llamacpp: Served) -> None:
    stub, provider = llamacpp
    stub.fail("/props", reply(200, '{"default_generation_settings": {"n_ctx": "many"}}'))
    with pytest.raises(ProviderError, match="n_ctx"):
        await provider.window(stub.model)


@pytest.mark.parametrize(
    "chunk",
    [
        '{"choices": 5}',
        '{"choices": ["text"]}',
        '{"choices": [{"delta": {"content": 7}}]}',
        '{"choices": [{"delta": {"content": ["text"]}}]}',
        '{"choices": [{"delta": {}, "finish_reason": 1}]}',
        '{"choices": [{"delta": {"tool_calls": [{"index": -1}]}}]}',
        '{"choices": [{"delta": {"tool_calls": [{"index": 0}]}, "finish_reason": "stop"}]}',
        '{"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": "many"}}',
    ],
)
async def test_a_chunk_of_the_wrong_shape_is_an_error(llamacpp: Served, chunk: str) -> None:
    stub, provider = llamacpp
    stub.fail("/v1/chat/completions", reply(200, f"data: {chunk}\n\n", "text/event-stream"))
    with pytest.raises(ProviderError):
        await collect(provider, request_for(stub))
