"""`LlamaCppProvider` against a real llama-server in router mode."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from attrs import frozen

from support import real_ollama
from support.engine import smollm2
from support.llama_server import NotHere
from support.ports import free_port
from support.served import collect
from ullage.conversation.messages import SentMessage
from ullage.errors import ContextBusy, NotSupported, ProviderError
from ullage.providers.base import AnswerOptions, ChatRequest, Delta, Resized
from ullage.providers.llamacpp import LlamaCppProvider
from ullage.providers.polling import comes_true

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # the first time, the server is fetched
    pytest.mark.skipif(smollm2() is None, reason="the small model is not installed: `ullage install-model`"),
]

MODEL = "tiny"


@frozen
class Router:
    url: str
    presets: Path

    def preset(self, context_size: int) -> None:
        """Write what a person would: the size with which the model is to be loaded."""
        lines = [
            "version = 1",
            f"[{MODEL}]",
            f"model = {smollm2()}",
            f"ctx-size = {context_size}",
            "cache-type-k = q8_0",
            "parallel = 1",
            "threads = 1",
            "[broken]",
            f"model = {self.presets}",
            "ctx-size = 1024",
        ]
        self.presets.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    try:
        binary = real_ollama.installed() / "lib" / "ollama" / "llama-server"
    except NotHere as reason:
        pytest.skip(f"NOTHING WAS TESTED AGAINST A REAL ROUTER: {reason}")
    port = free_port()
    router = Router(f"http://127.0.0.1:{port}", tmp_path_factory.mktemp("router") / "presets.ini")
    router.preset(1024)
    command = [str(binary), "--models-preset", str(router.presets), "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        yield router
        server.terminate()


@pytest.fixture
async def provider(router: Router) -> AsyncIterator[LlamaCppProvider]:
    """Its model is loaded with 1,024 tokens."""
    provider = LlamaCppProvider(router.url)
    assert await comes_true(provider.probe, 20)
    router.preset(1024)

    async def resized() -> bool:
        """The server notices a moment late that nobody reads the last test's answer any more."""
        try:
            return (await provider.resize(MODEL, 1024)).tokens == 1024
        except ContextBusy:
            return False

    assert await comes_true(resized, 20)
    yield provider
    await provider.close()


def _asking(text: str, max_tokens: int = 4) -> ChatRequest:
    return ChatRequest(MODEL, (SentMessage("user", text),), AnswerOptions(max_tokens=max_tokens))


async def test_its_models_are_listed_with_their_state(provider: LlamaCppProvider) -> None:
    info = next(info for info in await provider.models() if info.name == MODEL)
    assert (info.name, info.loaded, info.allocated_context, info.context_length) == (MODEL, True, 1024, 8192)


async def test_what_the_presets_say_now_is_what_it_loads(provider: LlamaCppProvider, router: Router) -> None:
    router.preset(2048)
    assert await provider.resize(MODEL, 2048) == Resized(2048, reloaded=True)
    assert await provider.window(MODEL) == 2048
    assert (await collect(provider, _asking("Hello")))[0]


async def test_what_the_presets_do_not_say_is_not_supported_and_changes_nothing(provider: LlamaCppProvider) -> None:
    with pytest.raises(NotSupported, match=r"1,024 tokens.*`ctx-size = 2048`"):
        await provider.resize(MODEL, 2048)
    assert await provider.window(MODEL) == 1024


async def test_a_running_answer_is_not_cut(provider: LlamaCppProvider, router: Router) -> None:
    router.preset(2048)
    async with aclosing(provider.chat(_asking("Count from 1 to 500.", max_tokens=400))) as answer:
        assert isinstance(await anext(answer), Delta)
        with pytest.raises(ContextBusy):
            await provider.resize(MODEL, 2048)


async def test_a_model_that_can_not_be_loaded_is_told(provider: LlamaCppProvider) -> None:
    with pytest.raises(ProviderError, match="could not load"):
        await provider.resize("broken", 1024)


async def test_it_unloads_and_the_next_request_loads_again(provider: LlamaCppProvider) -> None:
    await provider.unload(MODEL)
    assert await provider.window(MODEL) is None
    assert await provider.unload(MODEL) == 0
    assert await provider.model_file(MODEL) == smollm2()
    assert (await collect(provider, _asking("Hello")))[0]
    assert await provider.window(MODEL) == 1024


async def test_weights_slots_and_cache_types_are_told(provider: LlamaCppProvider) -> None:
    footprint = await provider.footprint(MODEL)
    assert footprint is not None
    assert footprint.weights_bytes == 96_576_768
    assert (footprint.slots, footprint.cache_type_k, footprint.cache_type_v) == (1, "q8_0", None)
