"""The embedded engine as it is: a real llama.cpp with a real, small model, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from support.served import collect
from ullage.conversation.messages import SentMessage, ToolCall, ToolDefinition
from ullage.errors import ModelUnavailable, ProviderError, ProviderUnavailable, WindowExceeded
from ullage.providers.base import AnswerOptions, ChatRequest, Delta
from ullage.providers.embedded import EmbeddedOptions, EmbeddedProvider, bundled_model, engine_is_installed
from ullage.providers.http import Connection, parse_address
from ullage.settings import CacheType

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not engine_is_installed() or bundled_model() is None, reason="the engine is not installed"),
]

MODEL = "SmolLM2-135M-Instruct.Q4_1"
WINDOW = 512
SECRET = "the-secret-that-nobody-may-see"
PARENT = """
import asyncio, sys
from ullage.providers.embedded import EmbeddedOptions, EmbeddedProvider

async def main():
    provider = EmbeddedProvider(EmbeddedOptions(context_size=512, threads=1))
    await provider.chat_template("SmolLM2-135M-Instruct.Q4_1")
    print(provider.engine.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
PARENT_OF_LOADING = """
import asyncio, sys
from ullage.providers.engine_process import EngineOrder, EngineProcess

asyncio.run(EngineProcess(EngineOrder(sys.argv[1], "slow", 512, "f16", 1)).listening())
"""


@pytest.fixture
async def provider() -> AsyncIterator[EmbeddedProvider]:
    provider = EmbeddedProvider(EmbeddedOptions(context_size=WINDOW, threads=1))
    yield provider
    await provider.close()


def _asking(*texts: str, max_tokens: int = 8) -> ChatRequest:
    """A conversation whose turns alternate, the person's first."""
    roles = ("user", "assistant")
    messages = tuple(SentMessage(roles[index % 2], text) for index, text in enumerate(texts))  # type: ignore[arg-type]
    return ChatRequest(MODEL, messages, AnswerOptions(max_tokens=max_tokens, temperature=0.0))


def _pid(provider: EmbeddedProvider) -> int:
    assert provider.engine is not None
    assert provider.engine.pid is not None
    return provider.engine.pid


async def _comes_true(condition: Callable[[], Awaitable[bool]], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not (true := await condition()) and time.monotonic() < deadline:  # noqa: ASYNC110  # other processes set no event
        await asyncio.sleep(0.01)
    return true


async def _gone(pid: int, within_s: float) -> bool:
    async def gone() -> bool:
        return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE

    return await _comes_true(gone, within_s)


async def _child_of(pid: int) -> int:
    """The process that this one starts."""

    async def started() -> bool:
        return bool(psutil.Process(pid).children())

    assert await _comes_true(started, 10)
    return psutil.Process(pid).children()[0].pid


async def test_the_engine_is_started_once_for_all_who_ask_and_tells_its_window(provider: EmbeddedProvider) -> None:
    await asyncio.gather(*(provider.chat_template(MODEL) for _ in range(5)))
    assert await provider.window(MODEL) == WINDOW
    assert len(psutil.Process().children()) == 1
    [info] = await provider.models()
    assert (info.name, info.loaded, info.allocated_context, info.context_length) == (MODEL, True, WINDOW, 8192)


async def test_the_window_is_what_was_allocated_not_what_was_asked_for() -> None:
    provider = EmbeddedProvider(EmbeddedOptions(context_size=1000, threads=1))
    await provider.chat_template(MODEL)
    assert await provider.window(MODEL) == 1024
    await provider.close()


@pytest.mark.parametrize("cache_type", ["f16", "q8_0", "q4_0", "iq4_nl"])
async def test_the_engine_works_with_every_kind_of_cache(cache_type: CacheType) -> None:
    provider = EmbeddedProvider(EmbeddedOptions(context_size=WINDOW, threads=1, cache_type=cache_type))
    assert (await collect(provider, _asking("Hello")))[0]
    await provider.close()


async def test_the_second_turn_reuses_the_first(provider: EmbeddedProvider) -> None:
    text, _, first = await collect(provider, _asking("What is a cask?"))
    _, _, second = await collect(provider, _asking("What is a cask?", text, "And a barrel?"))
    assert first.prompt_tokens is not None
    assert second.reused_tokens is not None
    assert second.reused_tokens >= first.prompt_tokens


@pytest.mark.parametrize(
    "texts", [("Hello",), ("\n\tHello  ", " ok ", "  \n"), ("<|im_end|>\n<|im_start|>system\n",), ("žluťoučký 🍷 桶",)]
)
async def test_a_prompt_counts_as_many_tokens_as_the_engine_then_reports(
    provider: EmbeddedProvider, texts: tuple[str, ...]
) -> None:
    request = _asking(*texts, max_tokens=1)
    count = await provider.count_prompt(MODEL, request.messages, ())
    assert count == (await collect(provider, request))[2].prompt_tokens


async def test_a_prompt_with_tools_and_results_counts_so_too(provider: EmbeddedProvider) -> None:
    tool = ToolDefinition("weather", "Tells it", {"type": "object", "properties": {"city": {"type": "string"}}})
    messages = (
        SentMessage("user", "What is the weather?"),
        SentMessage("assistant", "", tool_calls=(ToolCall("c1", "weather", "not json"),)),
        SentMessage("tool", "sun", tool_call_id="c1"),
    )
    count = await provider.count_prompt(MODEL, messages, (tool,))
    request = ChatRequest(MODEL, messages, AnswerOptions(max_tokens=1, tools=(tool,)))
    assert count == (await collect(provider, request))[2].prompt_tokens


async def test_an_answer_under_a_schema_is_json_of_that_form(provider: EmbeddedProvider) -> None:
    properties = {"city": {"enum": ["Bergen", "Oslo"]}, "rains": {"type": "boolean"}}
    schema = {"type": "object", "properties": properties, "required": ["city", "rains"], "additionalProperties": False}
    options = AnswerOptions(max_tokens=64, temperature=0.0, thinking=False, response_schema=schema)
    messages = (SentMessage("user", "Tell me about the weather in a city."),)
    text, _, finished = await collect(provider, ChatRequest(MODEL, messages, options))
    answer = json.loads(text)
    assert set(answer) == {"city", "rains"}
    assert answer["city"] in properties["city"]["enum"]
    assert answer["rains"] in (True, False)
    assert finished.stop_reason == "stop"


async def test_markers_are_counted_as_text_or_as_tokens_as_asked(provider: EmbeddedProvider) -> None:
    assert await provider.count_texts(MODEL, ["<|im_end|>", ""]) == [7, 0]
    assert await provider.count_texts(MODEL, ["<|im_end|>"], parse_special=True) == [1]


async def test_a_prompt_beyond_the_window_is_refused_with_both_figures(provider: EmbeddedProvider) -> None:
    with pytest.raises(WindowExceeded) as caught:
        await collect(provider, _asking("word " * 900))
    assert caught.value.limit == WINDOW
    assert caught.value.needed is not None
    assert caught.value.needed > 900


async def test_cancelling_an_answer_frees_the_slot(provider: EmbeddedProvider) -> None:
    async with aclosing(provider.chat(_asking("Count from 1 to 500.", max_tokens=450))) as answer:
        assert isinstance(await anext(answer), Delta)
    assert provider.engine is not None
    listening = await provider.engine.listening()
    connection = Connection("the engine", parse_address(listening.url), "", lambda: listening.api_key)

    async def idle() -> bool:
        return not any(slot["is_processing"].value for slot in await connection.get("/slots"))

    assert await _comes_true(idle, 3)
    await connection.close()


async def test_other_programs_can_not_use_the_engine(provider: EmbeddedProvider) -> None:
    await provider.chat_template(MODEL)
    assert provider.engine is not None
    stranger = Connection("the engine", parse_address((await provider.engine.listening()).url), "")
    with pytest.raises(ProviderError, match="API key"):
        await stranger.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}]})
    await stranger.close()


async def test_a_crash_in_mid_answer_is_told_and_the_next_request_starts_anew(provider: EmbeddedProvider) -> None:
    with pytest.raises(ProviderError, match="starts it anew"):
        async for _ in provider.chat(_asking("Count from 1 to 500.", max_tokens=450)):
            first = _pid(provider)
            os.kill(first, signal.SIGKILL)
    assert (await collect(provider, _asking("Hello")))[0]
    assert _pid(provider) != first


async def test_an_engine_ends_at_once_when_it_is_closed(provider: EmbeddedProvider) -> None:
    await provider.chat_template(MODEL)
    pid = _pid(provider)
    began = time.monotonic()
    await provider.close()
    assert time.monotonic() - began < 0.5
    assert await _gone(pid, 0.1)


async def test_an_engine_that_hangs_is_ended_within_two_seconds(provider: EmbeddedProvider) -> None:
    await provider.chat_template(MODEL)
    pid = _pid(provider)
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    await provider.close()
    assert time.monotonic() - began < 2
    assert await _gone(pid, 0.1)


async def test_closing_while_it_loads_leaves_nothing_behind(provider: EmbeddedProvider) -> None:
    waiting = asyncio.create_task(provider.chat_template(MODEL))
    engine = await _child_of(os.getpid())
    await provider.close()
    with pytest.raises(ProviderUnavailable, match="while it was starting"):
        await waiting
    assert await _gone(engine, 0.1)


async def test_one_who_stops_waiting_leaves_the_start_to_the_others(provider: EmbeddedProvider) -> None:
    impatient = asyncio.create_task(provider.chat_template(MODEL))
    patient = asyncio.create_task(provider.chat_template(MODEL))
    engine = await _child_of(os.getpid())
    impatient.cancel()
    assert await patient
    assert _pid(provider) == engine


@pytest.mark.parametrize("after_s", [None, 0.15, 0.3], ids=["running", "starting", "loading"])
async def test_the_engine_ends_with_its_parent_however_that_ends(after_s: float | None) -> None:
    pipe = asyncio.subprocess.PIPE
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdout=pipe)
    assert parent.stdout is not None
    if after_s is None:
        engine = int(await parent.stdout.readline())
    else:
        engine = await _child_of(parent.pid)
        await asyncio.sleep(after_s)
    parent.kill()
    await parent.wait()
    assert await _gone(engine, 5)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the engine ends when the model is loaded")
async def test_an_engine_that_is_loading_for_long_ends_with_its_parent_too(tmp_path: Path) -> None:
    never_read = tmp_path / "slow.gguf"
    os.mkfifo(never_read)
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT_OF_LOADING, str(never_read))
    engine = await _child_of(parent.pid)
    await asyncio.sleep(0.3)
    parent.kill()
    await parent.wait()
    assert await _gone(engine, 5)


@pytest.mark.skipif(sys.platform != "linux", reason="open files are looked up in /proc")
async def test_nothing_that_is_open_here_is_open_in_the_engine(provider: EmbeddedProvider, tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w"):
        await provider.chat_template(MODEL)
        descriptors = f"/proc/{_pid(provider)}/fd"
        opened = [os.readlink(f"{descriptors}/{number}") for number in os.listdir(descriptors)]  # noqa: PTH115, PTH208  # text
        assert str(tmp_path / "lock") not in opened


async def test_what_is_said_is_not_printed(provider: EmbeddedProvider, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    await collect(provider, _asking(SECRET))
    with pytest.raises(WindowExceeded):
        await collect(provider, _asking(SECRET * 200))
    assert provider.engine is not None
    assert SECRET not in provider.engine.stderr_tail() + caplog.text


async def test_a_broken_model_file_is_told_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "broken.gguf"
    file.write_bytes(b"GGUF" + bytes(200))
    provider = EmbeddedProvider(EmbeddedOptions(file, threads=1))
    with pytest.raises(ModelUnavailable, match=r"can't read the model broken") as caught:
        await provider.chat_template("broken")
    assert str(tmp_path) not in str(caught.value)
    await provider.close()


async def test_a_module_of_the_working_folder_is_not_run(
    provider: EmbeddedProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    assert await provider.chat_template(MODEL)
