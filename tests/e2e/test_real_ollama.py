"""`OllamaProvider`, and the whole server with it, against a real Ollama with a real, small model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from support import real_ollama
from support.engine import smollm2
from support.raw_client import RawClient, RpcError
from support.real_ollama import NotHere, RealOllama
from support.served import collect
from support.ullage_server import appended, opened, ullage, using
from ullage.conversation.messages import SentMessage
from ullage.errors import WindowExceeded
from ullage.providers.base import AnswerOptions, ChatRequest, Delta, Finished, ModelInfo, Resized
from ullage.providers.http import Connection, parse_address
from ullage.providers.ollama import OllamaProvider
from ullage.tokens.gguf import GgufHeader

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # the first time, Ollama is built
    pytest.mark.skipif(smollm2() is None, reason="the small model is not installed: `ullage install-model`"),
]

MODEL = "tiny:latest"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealOllama]:
    try:
        prefix = real_ollama.installed()
    except NotHere as reason:
        pytest.skip(f"NOTHING WAS TESTED AGAINST A REAL OLLAMA: {reason}")
    folder = tmp_path_factory.mktemp("ollama")
    with real_ollama.running(prefix, folder) as server:
        model = smollm2()
        assert model is not None
        server.create("tiny", model, folder)
        yield server


@pytest.fixture
async def provider(server: RealOllama) -> AsyncIterator[OllamaProvider]:
    """Its model rests."""
    provider = OllamaProvider(server.url)
    await provider.unload(MODEL)
    yield provider
    await provider.close()


def _asking(*texts: str, context_size: int = 2048, max_tokens: int = 4) -> ChatRequest:
    roles = ("user", "assistant")
    messages = tuple(SentMessage(roles[index % 2], text) for index, text in enumerate(texts))  # type: ignore[arg-type]
    return ChatRequest(MODEL, messages, AnswerOptions(max_tokens=max_tokens, temperature=0.0), context_size)


@pytest.fixture
async def another(server: RealOllama) -> AsyncIterator[Connection]:
    """Another client of the same server."""
    connection = Connection("Ollama", parse_address(server.url), "")
    yield connection
    await connection.close()


def _as_another_client(*texts: str, context_size: int) -> dict[str, object]:
    """A request that leaves the cutting to the server."""
    roles = ("user", "assistant")
    messages = [{"role": roles[index % 2], "content": text} for index, text in enumerate(texts)]
    options = {"num_predict": 1, "num_ctx": context_size}
    return {"model": MODEL, "messages": messages, "stream": False, "options": options}


async def test_it_is_found_and_lists_its_model(provider: OllamaProvider) -> None:
    assert await provider.probe()
    [info] = await provider.models()
    assert info.size_bytes
    told = {"size_bytes": info.size_bytes, "parameter_count": 134_520_000, "quantisation": "Q4_1"}
    assert info == ModelInfo(MODEL, loaded=False, context_length=8192, **told)


async def test_what_it_shows_is_what_the_models_file_says(provider: OllamaProvider) -> None:
    metadata = await provider.metadata("tiny")
    model = smollm2()
    assert metadata is not None
    assert model is not None
    with GgufHeader(model) as header:
        for key in ("block_count", "context_length", "attention.head_count", "attention.head_count_kv"):
            assert metadata[f"llama.{key}"] == header.integer(f"llama.{key}")
    assert metadata["general.architecture"] == "llama"


async def test_the_models_file_is_found_among_its_blobs(
    provider: OllamaProvider, server: RealOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", str(server.models))
    file = await provider.model_file("tiny")
    model = smollm2()
    assert file is not None
    assert model is not None
    assert file.read_bytes() == model.read_bytes()


async def test_a_chat_allocates_what_it_asks_for(provider: OllamaProvider) -> None:
    assert await provider.window(MODEL) is None
    text, _, finished = await collect(provider, _asking("Hello", context_size=1024))
    assert text
    assert finished.completion_tokens
    assert await provider.window("tiny") == 1024
    assert [info.allocated_context for info in await provider.models()] == [1024]
    assert await provider.footprint(MODEL) is not None


async def test_a_prompt_is_counted_whole_also_where_it_comes_from_the_cache(provider: OllamaProvider) -> None:
    first = (await collect(provider, _asking("What is a cask?")))[2]
    second = (await collect(provider, _asking("What is a cask?")))[2]
    assert first.prompt_tokens == second.prompt_tokens
    assert first.prompt_is_whole


async def test_a_resize_loads_it_anew_and_the_next_request_does_not(
    provider: OllamaProvider, another: Connection
) -> None:
    await collect(provider, _asking("Hello", context_size=1024))
    assert await provider.resize(MODEL, 2048) == Resized(2048, reloaded=True)
    assert await provider.window(MODEL) == provider.planned_window(MODEL) == 2048
    reply = await another.post("/api/chat", _as_another_client("Hello", context_size=2048))
    loading_ns = reply["load_duration"].count()
    assert loading_ns is not None
    assert loading_ns < 100_000_000


async def test_a_resting_model_gets_its_size_with_the_next_request(provider: OllamaProvider) -> None:
    assert await provider.resize(MODEL, 1024) == Resized(1024, reloaded=False)
    assert await provider.window(MODEL) is None


async def test_it_gives_no_more_than_the_model_was_made_for(provider: OllamaProvider) -> None:
    await collect(provider, _asking("Hello", context_size=1024))
    assert await provider.resize(MODEL, 20000) == Resized(8192, reloaded=True)


async def test_a_running_answer_ends_before_the_model_is_loaded_anew(provider: OllamaProvider) -> None:
    async with aclosing(provider.chat(_asking("Count from 1 to 100.", max_tokens=60))) as answer:
        assert isinstance(await anext(answer), Delta)
        resizing = asyncio.create_task(provider.resize(MODEL, 1024))
        rest = [item async for item in answer]
    assert isinstance(rest[-1], Finished)
    assert rest[-1].completion_tokens == 60
    assert await resizing == Resized(1024, reloaded=True)


async def test_unloading_empties_it(provider: OllamaProvider) -> None:
    await collect(provider, _asking("Hello"))
    await provider.unload("tiny")
    assert await provider.window(MODEL) is None
    assert await provider.footprint(MODEL) is None
    assert await provider.unload(MODEL) == 0


async def test_a_prompt_beyond_the_window_is_refused_with_both_figures(provider: OllamaProvider) -> None:
    with pytest.raises(WindowExceeded) as caught:
        await collect(provider, _asking("word " * 900, context_size=512))
    assert caught.value.limit == 512
    assert caught.value.needed is not None
    assert caught.value.needed > 900


async def test_what_it_cuts_silently_for_others_it_refuses_for_us(
    provider: OllamaProvider, another: Connection
) -> None:
    """The count that it reports shows the cut: fewer tokens than the prompt has."""
    texts = ("word " * 400, "word " * 400, "Go on.")
    reply = await another.post("/api/chat", _as_another_client(*texts, context_size=512), timeout_s=90)
    evaluated = reply["prompt_eval_count"].count()
    with pytest.raises(WindowExceeded) as caught:
        await collect(provider, _asking(*texts, context_size=512))
    assert evaluated is not None
    assert caught.value.needed is not None
    assert evaluated < 512 < caught.value.needed


async def test_its_other_words_for_a_prompt_that_is_too_long_are_understood(another: Connection) -> None:
    body = {**_as_another_client("word " * 900, context_size=512), "shift": False}
    with pytest.raises(WindowExceeded):
        await another.post("/api/chat", body, MODEL, timeout_s=90)


@pytest.fixture
async def client(server: RealOllama, provider: OllamaProvider, tmp_path: Path) -> AsyncIterator[RawClient]:
    """An editor whose contexts are to have 2,048 tokens, in front of a model that rests."""
    options = using(server.url, "ollama", targetSize=2048, minSize=256, reserveOutput=64)
    async with ullage(tmp_path / "home", options, env={"OLLAMA_MODELS": str(server.models)}) as client:
        yield client


async def _allocated(another: Connection) -> list[int | None]:
    """The sizes of the models that the server has loaded, as it tells them itself."""
    running = await another.get("/api/ps")
    return [entry["context_length"].size() for entry in running["models"]]


async def _chat(client: RawClient, context_id: str, text: str) -> dict[str, int]:
    """The figures of one short answer."""
    options = {"maxTokens": 4, "temperature": 0.0}
    result = await client.request("context/chat", {"contextId": context_id, "text": text, "options": options}, 90)
    timing: dict[str, int] = result["timing"]
    return timing


async def test_an_editors_chat_brings_the_size_along(client: RawClient, another: Connection) -> None:
    context_id = await opened(client)
    await _chat(client, context_id, "What is a cask?")
    assert await _allocated(another) == [2048]
    assert (await client.request("context/status"))["usage"]["limit"] == 2048


async def test_an_editors_resize_loads_the_model_anew_for_every_context(client: RawClient, another: Connection) -> None:
    first = await opened(client)
    await _chat(client, first, "What is a cask?")
    second = await opened(client, "another")
    report = await client.request("context/resize", {"contextId": first, "tokens": 1024}, 90)
    assert (report["tokens"], report["reloaded"]) == (1024, True)
    assert await _allocated(another) == [1024]
    await _chat(client, second, "What is a barrel?")
    assert await _allocated(another) == [1024]
    limits = [(await client.request("context/status", {"contextId": id_}))["usage"]["limit"] for id_ in (first, second)]
    assert limits == [1024, 1024]


async def test_an_editor_unloads_a_model(client: RawClient, another: Connection) -> None:
    context_id = await opened(client)
    await _chat(client, context_id, "What is a cask?")
    freed = await client.request("context/model/unload", {"model": MODEL}, 30)
    assert freed == {"freedBytes": None}  # this version tells 0 of a model that no card holds, which is no figure
    assert await _allocated(another) == []
    await _chat(client, context_id, "And a barrel?")
    assert await _allocated(another) == [2048]


async def test_a_size_that_somebody_else_gave_is_kept_to_and_nothing_is_cut_silently(
    client: RawClient, another: Connection
) -> None:
    """What leaves the window does so by our own trimming, which is told. A cut by the server would lose one turn at
    least, that has more than 200 tokens; our count is an estimate, as the server does not tell its template."""
    await another.post("/api/chat", _as_another_client("Hello", context_size=512), timeout_s=90)
    context_id = await opened(client)
    trims = 0
    for turn in range(5):
        await appended(client, context_id, f"Question {turn}: " + "why is the sky blue, and the grass green? " * 20)
        counted = (await client.request("context/status"))["usage"]["tokens"]
        client.notifications.clear()
        options = {"maxTokens": 4, "temperature": 0.0}
        result = await client.request("context/chat", {"contextId": context_id, "options": options}, timeout=90)
        events = [n["params"] for n in client.notifications if n["method"] == "context/event"]
        trimmed = [
            event["detail"]["compressedTokens"] for event in events if event["kind"] in ("trimmed", "compressed")
        ]
        trims += bool(trimmed)
        assert result["timing"]["promptTokens"] == pytest.approx((trimmed or [counted])[-1], abs=100)
        assert await _allocated(another) == [512]
    assert trims


async def test_a_message_that_no_window_holds_is_refused_before_it_is_sent(client: RawClient) -> None:
    context_id = await opened(client)
    await _chat(client, context_id, "What is a cask?")
    with pytest.raises(RpcError) as refused:
        await _chat(client, context_id, "word " * 3000)
    assert refused.value.data["kind"] == "contextOverflow"
    assert (refused.value.data["limit"], refused.value.data["needed"] > 3000) == (2048, True)
