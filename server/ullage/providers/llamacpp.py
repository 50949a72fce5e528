"""llama.cpp's own server. Its interface: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path, PureWindowsPath

from ullage.conversation.messages import SentMessage, ToolDefinition
from ullage.errors import NotSupported
from ullage.providers import chat_completions, llamacpp_router
from ullage.providers.base import ChatRequest, Delta, Finished, Footprint, ModelInfo, Resized
from ullage.providers.failures import busy_answering
from ullage.providers.http import ApiKey, Connection, no_key, parse_address
from ullage.providers.json_reply import Json
from ullage.providers.llamacpp_router import routed
from ullage.providers.messages_json import message_json, tool_json
from ullage.providers.server import ModelServer
from ullage.settings import CacheType

COUNTS_AT_ONCE = 4
HINT = "Start it with `llama-server -m <model file>`, or choose another model server in the settings."

_LOADED_STATES = ("loaded", "sleeping")
"""Of a router's models."""


class LlamaCppProvider(ModelServer):
    """A ``llama-server`` with one model, or in router mode with many."""

    name = "llamacpp"

    def __init__(self, url: str, *, title: str = "", hint: str = HINT, api_key: ApiKey = no_key) -> None:
        address = parse_address(url)
        super().__init__(Connection(title or f"llama.cpp at {address.url}", address, hint, api_key))
        self._counts_prompts = True

    async def models(self) -> Sequence[ModelInfo]:
        return [_model_info(entry) for entry in (await self._connection.get("/v1/models"))["data"]]

    async def window(self, model: str) -> int | None:
        """What one slot has really been given; None for a router's model that is not loaded."""
        props = await self._props(model)
        return props["default_generation_settings"]["n_ctx"].size() if props else None

    def chat(self, request: ChatRequest) -> AsyncGenerator[Delta | Finished]:
        """A template without a switch for reasoning begins it all the same; a budget of 0 ends it at once. The budget
        counts where the server was started without one."""
        extra: dict[str, object] = {"cache_prompt": True}
        if request.options.thinking is False:
            extra["thinking_budget_tokens"] = 0
        return chat_completions.chat(self._connection, request, extra)

    async def count_texts(self, model: str, texts: Sequence[str], *, parse_special: bool = False) -> list[int] | None:
        turn = asyncio.Semaphore(COUNTS_AT_ONCE)

        async def count(text: str) -> int:
            async with turn:
                return await self._tokenize(model, text, add_special=False, parse_special=parse_special)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(count(text)) for text in texts]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [task.result() for task in tasks]

    async def count_prompt(
        self, model: str, messages: Sequence[SentMessage], tools: Sequence[ToolDefinition]
    ) -> int | None:
        """Asked for in one request where the server is new enough, else by rendering the template and counting that."""
        body: dict[str, object] = {"model": model, "messages": [message_json(message) for message in messages]}
        if tools:
            body["tools"] = [tool_json(tool) for tool in tools]
        if self._counts_prompts:
            reply = await self._connection.post_if_there(f"{chat_completions.PATH}/input_tokens", body, model)
            if reply is not None:
                return reply["input_tokens"].count()
            self._counts_prompts = False
        rendered = (await self._connection.post("/apply-template", body, model))["prompt"].text()
        # Templates leave out the token that begins a text where the server adds it itself: hence add_special.
        return await self._tokenize(model, rendered, add_special=True, parse_special=True)

    async def chat_template(self, model: str) -> str | None:
        props = await self._props(model)
        return (props["chat_template"].text() or None) if props else None

    async def model_file(self, model: str) -> Path | None:
        """Only of a server on this machine; what another one calls a path means nothing here."""
        if not self.is_local:
            return None
        props = await self._props(model)
        path = Path(props["model_path"].text()) if props else await self._routed_file(model)
        return path if path and path.is_absolute() and await asyncio.to_thread(path.is_file) else None

    async def footprint(self, model: str) -> Footprint | None:
        """The weights' size and the number of slots; of a router's model also how they share the cache, and its types
        where they were set."""
        props = await self._props(model)
        entry = await self._entry(model)
        if props is None or entry is None:
            return None
        router = routed(entry)
        return Footprint(
            weights_bytes=entry["meta"]["size"].size(),
            slots=props["total_slots"].size(),
            unified_cache=router.unified_cache if router else None,
            cache_type_k=router.argument("--cache-type-k", "-ctk") if router else None,
            cache_type_v=router.argument("--cache-type-v", "-ctv") if router else None,
        )

    async def resize(self, model: str, tokens: int, cache_type: CacheType | None = None) -> Resized:  # noqa: ARG002  # the server's own argument
        """Only a router can load a model anew, with the size that its presets say."""
        if not await llamacpp_router.is_router(self._connection):
            slots = (await self._connection.get("/props"))["total_slots"].size() or 1
            raise NotSupported(
                f"{self._connection.server} keeps the size that it was started with. Start llama-server again with "
                f"`-c {tokens * slots}`{f' (for {slots} slots together)' if slots > 1 else ''}, then try again."
            )
        await self._refuse_while_answering(model)
        return await llamacpp_router.resize(self._connection, model, tokens, await self.window(model))

    async def unload(self, model: str) -> int | None:
        """Only a router can, and it does not tell how much that frees."""
        if not await llamacpp_router.is_router(self._connection):
            raise NotSupported(
                f"{self._connection.server} holds its model as long as it runs. End llama-server to free the memory."
            )
        if not (await llamacpp_router.find(self._connection, model)).is_running:
            return 0
        await self._refuse_while_answering(model)
        await llamacpp_router.unload(self._connection, model)
        return None

    async def _answers_as_such(self) -> bool:
        props = await self._connection.get("/props")
        settings = props["default_generation_settings"]
        return settings.is_object() and (bool(props["total_slots"].count()) or props["role"].text() == "router")

    async def _props(self, model: str) -> Json | None:
        """A server with one model ignores the query; a router answers for that model, and must not load it for this."""
        return await self._connection.get_if_there("/props", {"model": model, "autoload": "false"})

    async def _entry(self, model: str) -> Json | None:
        """The model in the server's list. One that serves a single model takes any name for it."""
        entries = list((await self._connection.get("/v1/models"))["data"])
        named = next((entry for entry in entries if entry["id"].text() == model), None)
        alone = entries[0] if len(entries) == 1 and routed(entries[0]) is None else None
        return named or alone

    async def _routed_file(self, model: str) -> Path | None:
        entry = await self._entry(model)
        router = routed(entry) if entry else None
        return router.file if router else None

    async def _refuse_while_answering(self, model: str) -> None:
        """Nobody is refused where the server does not tell."""
        slots = await self._connection.get_if_there("/slots", {"model": model, "autoload": "false"})
        if slots and any(slot["is_processing"].value is True for slot in slots):
            raise busy_answering(self._connection.server)

    async def _tokenize(self, model: str, text: str, *, add_special: bool, parse_special: bool) -> int:
        body = {"model": model, "content": text, "add_special": add_special, "parse_special": parse_special}
        return sum(1 for _ in (await self._connection.post("/tokenize", body, model))["tokens"])


def _model_info(entry: Json) -> ModelInfo:
    meta, router = entry["meta"], routed(entry)
    name = entry["id"].name()
    return ModelInfo(
        name=name if router else _short_name(name),
        loaded=router.status in _LOADED_STATES if router else True,
        context_length=meta["n_ctx_train"].size(),
        allocated_context=meta["n_ctx"].size(),
        size_bytes=meta["size"].size(),
    )


def _short_name(identifier: str) -> str:
    """A server with one model may name it by its whole path, and takes any name in requests."""
    return PureWindowsPath(identifier).stem if identifier.endswith(".gguf") else identifier
