"""Size and memory of the embedded engine, as the real one has and prints them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import takewhile

import psutil
import pytest

from support.engine import needs_engine, smollm2
from support.served import collect
from ullage.conversation.messages import SentMessage
from ullage.errors import ContextBusy, InsufficientMemory, ModelUnavailable
from ullage.providers.base import AnswerOptions, ChatRequest, Delta, Resized
from ullage.providers.embedded import EmbeddedOptions, EmbeddedProvider
from ullage.settings import CacheType

pytestmark = needs_engine

MODEL = "SmolLM2-135M-Instruct.Q4_1"
MIB = 1 << 20
ROOM_FOR_A_SMALL_ONE = 600 * MIB
"""Of address space: the engine's libraries and threads, the model, and a cache of some thousand tokens."""
PRINTING_ENGINE = """
import os, sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.port, params.verbosity = sys.argv[1], int(sys.argv[2]), 0, 4
params.n_parallel, params.fit_params, params.cache_ram_mib = 1, False, 0
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.cache_type_k = params.cache_type_v = getattr(xllamacpp.ggml_type, "GGML_TYPE_" + sys.argv[3].upper())
server = xllamacpp.Server(params)
sys.stdin.read()
os._exit(0)
"""


def _made(context_size: int = 512, cache_type: CacheType = "q8_0", address_space_bytes: int = 0) -> EmbeddedProvider:
    options = EmbeddedOptions(
        context_size=context_size, cache_type=cache_type, threads=1, address_space_bytes=address_space_bytes
    )
    return EmbeddedProvider(options)


@pytest.fixture
async def provider() -> AsyncIterator[EmbeddedProvider]:
    """A running engine with 512 tokens."""
    provider = _made()
    await provider.chat_template(MODEL)
    yield provider
    await provider.close()


def _asking(text: str, max_tokens: int = 4) -> ChatRequest:
    return ChatRequest(MODEL, (SentMessage("user", text),), AnswerOptions(max_tokens=max_tokens, temperature=0.0))


def _printed(context_size: int, cache_type: CacheType) -> dict[str, float]:
    """MiB of each kind of buffer, as an engine of its own prints them."""
    command = [sys.executable, "-c", PRINTING_ENGINE, str(smollm2()), str(context_size), cache_type]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as engine:
        assert engine.stdin is not None
        assert engine.stderr is not None
        output = "".join(takewhile(lambda line: "listening on" not in line, engine.stderr))
        engine.stdin.close()
    found = re.findall(r"(model|KV|compute|output) buffer size =\s+([\d.]+) MiB", output)
    return {kind: float(size) for kind, size in found}


async def test_the_engine_grows_and_shrinks(provider: EmbeddedProvider) -> None:
    for tokens in (2048, 512, 1024):
        assert await provider.resize(MODEL, tokens) == Resized(tokens, reloaded=True)
        assert await provider.window(MODEL) == provider.planned_window(MODEL) == tokens
        assert (await collect(provider, _asking("Hello")))[0]


async def test_a_size_is_rounded_down_to_whole_cells(provider: EmbeddedProvider) -> None:
    assert await provider.resize(MODEL, 1000) == Resized(768, reloaded=True)


async def test_the_cache_type_changes_with_the_size_or_alone(provider: EmbeddedProvider) -> None:
    assert await provider.resize(MODEL, 512, "f16") == Resized(512, reloaded=True)
    footprint = await provider.footprint(MODEL)
    assert footprint is not None
    assert (footprint.cache_type_k, footprint.cache_type_v) == ("f16", "f16")
    assert footprint.cache_bytes == pytest.approx(11.25 * MIB)


async def test_the_same_size_restarts_nothing(provider: EmbeddedProvider) -> None:
    assert provider.engine is not None
    pid = provider.engine.pid
    assert await provider.resize(MODEL, 512) == Resized(512, reloaded=False)
    assert provider.engine.pid == pid


async def test_a_resting_engine_starts_later_with_its_new_size() -> None:
    provider = _made()
    assert await provider.resize(MODEL, 1024, "f16") == Resized(1024, reloaded=False)
    assert provider.planned_window(MODEL) == 1024
    assert await provider.footprint(MODEL) is None
    await provider.chat_template(MODEL)
    assert await provider.window(MODEL) == 1024
    await provider.close()


@pytest.mark.parametrize(("context_size", "cache_type"), [(512, "q8_0"), (2048, "f16"), (2048, "q4_0"), (8192, "q8_0")])
async def test_the_footprint_is_what_the_engine_prints(context_size: int, cache_type: CacheType) -> None:
    provider = _made(context_size, cache_type)
    await provider.chat_template(MODEL)
    footprint = await provider.footprint(MODEL)
    await provider.close()
    printed = _printed(context_size, cache_type)
    assert footprint is not None
    told = (footprint.weights_bytes, footprint.cache_bytes, footprint.compute_bytes, footprint.ram_bytes)
    assert told == pytest.approx(
        (printed["model"] * MIB, printed["KV"] * MIB, printed["compute"] * MIB, sum(printed.values()) * MIB), abs=2
    )
    assert (footprint.gpu_bytes, footprint.slots, footprint.measured) == (0, 1, True)


async def test_a_size_that_does_not_fit_is_refused_and_the_former_one_is_back() -> None:
    provider = _made(address_space_bytes=ROOM_FOR_A_SMALL_ONE)
    await provider.chat_template(MODEL)
    with pytest.raises(InsufficientMemory, match=r"65,536 tokens; it keeps 512 tokens"):
        await provider.resize(MODEL, 65536, "f16")
    assert await provider.window(MODEL) == provider.planned_window(MODEL) == 512
    footprint = await provider.footprint(MODEL)
    assert footprint is not None
    assert footprint.cache_type_k == "q8_0"
    assert (await collect(provider, _asking("Hello")))[0]
    await provider.close()


async def test_an_engine_that_can_not_start_for_lack_of_memory_says_so() -> None:
    provider = _made(65536, "f16", ROOM_FOR_A_SMALL_ONE)
    with pytest.raises(InsufficientMemory, match=r"65,536 tokens"):
        await provider.chat_template(MODEL)
    await provider.close()


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is killed there for lack of memory")
async def test_an_engine_that_the_system_kills_while_it_loads_is_replaced_by_the_former(
    provider: EmbeddedProvider,
) -> None:
    assert provider.engine is not None
    former = provider.engine.pid
    resizing = asyncio.create_task(provider.resize(MODEL, 8192))
    while not (children := [child.pid for child in psutil.Process().children() if child.pid != former]):  # noqa: ASYNC110  # a process sets no event
        await asyncio.sleep(0.005)
    os.kill(children[0], signal.SIGKILL)
    with pytest.raises(InsufficientMemory):
        await resizing
    assert await provider.window(MODEL) == 512


async def test_an_answer_is_never_cut(provider: EmbeddedProvider) -> None:
    async with aclosing(provider.chat(_asking("Count from 1 to 500.", max_tokens=300))) as answer:
        assert isinstance(await anext(answer), Delta)
        with pytest.raises(ContextBusy) as caught:
            await provider.resize(MODEL, 1024)
        assert caught.value.data == {"reason": "answering"}
        with pytest.raises(ContextBusy):
            await provider.unload(MODEL)
    assert await provider.resize(MODEL, 1024) == Resized(1024, reloaded=True)


async def test_requests_that_come_while_it_restarts_wait_for_it(provider: EmbeddedProvider) -> None:
    resizing = asyncio.create_task(provider.resize(MODEL, 1024))
    await asyncio.sleep(0)
    text, count, window = await asyncio.gather(
        collect(provider, _asking("Hello")), provider.count_texts(MODEL, ["Hello"]), provider.window(MODEL)
    )
    assert text[0]
    assert count == [1]
    assert await resizing == Resized(1024, reloaded=True)
    assert window == 1024


async def test_questions_under_way_are_answered_before_it_restarts(provider: EmbeddedProvider) -> None:
    text = "word " * 2000
    alone = await provider.count_texts(MODEL, [text])
    assert alone is not None
    counting = asyncio.create_task(provider.count_texts(MODEL, [text] * 100))
    await asyncio.sleep(0.05)
    assert not counting.done()
    assert await provider.resize(MODEL, 1024) == Resized(1024, reloaded=True)
    assert await counting == alone * 100


async def test_who_stops_waiting_for_a_resize_leaves_a_working_engine(provider: EmbeddedProvider) -> None:
    resizing = asyncio.create_task(provider.resize(MODEL, 1024))
    await asyncio.sleep(0.1)
    resizing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await resizing
    assert (await collect(provider, _asking("Hello")))[0]
    assert await provider.window(MODEL) == provider.planned_window(MODEL) == 1024


async def test_unloading_ends_the_engine_and_tells_what_that_freed(provider: EmbeddedProvider) -> None:
    footprint = await provider.footprint(MODEL)
    assert footprint is not None
    assert await provider.unload(MODEL) == footprint.ram_bytes
    assert psutil.Process().children() == []
    assert await provider.unload(MODEL) == 0
    assert (await collect(provider, _asking("Hello")))[0]
    assert await provider.window(MODEL) == 512


async def test_another_models_name_is_refused(provider: EmbeddedProvider) -> None:
    for request in (provider.resize("another", 1024), provider.unload("another")):
        with pytest.raises(ModelUnavailable, match="another"):
            await request


async def test_a_resize_takes_at_most_a_second_beyond_the_engines_own_loading(provider: EmbeddedProvider) -> None:
    fresh = _made(4096)
    began = time.perf_counter()
    await fresh.chat_template(MODEL)
    loading_s = time.perf_counter() - began
    await fresh.close()
    began = time.perf_counter()
    await provider.resize(MODEL, 4096)
    resizing_s = time.perf_counter() - began
    print(f"a start takes {loading_s:.2f} s, a resize {resizing_s:.2f} s")
    assert resizing_s - loading_s <= 1
