"""Servers with OpenAI's interface: LM Studio, vLLM and others.

Beyond the common part, two of them tell the window: vLLM in its list of models, LM Studio in a list of its own. Of any
other server it stays unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from ullage.conversation.messages import SentMessage, ToolDefinition
from ullage.errors import ModelUnavailable, NotSupported
from ullage.providers import chat_completions, lm_studio, vllm
from ullage.providers.base import ChatRequest, Delta, Finished, Footprint, ModelInfo, Resized
from ullage.providers.failures import busy_answering
from ullage.providers.http import ApiKey, Connection, no_key, parse_address
from ullage.providers.json_reply import Json
from ullage.providers.lm_studio import LmStudioModel
from ullage.providers.server import ModelServer
from ullage.settings import CacheType

HINT = "Start it (LM Studio: the Developer page; vLLM: `vllm serve <model>`), or choose another one in the settings."


class OpenAiProvider(ModelServer):
    """``url`` may end in ``/v1`` or not. The key is asked for at every request, so that a new one counts at once; it
    is sent to this address only."""

    name = "openai"

    def __init__(self, url: str, *, title: str = "The model server", api_key: ApiKey = no_key) -> None:
        address = parse_address(url.rstrip("/").removesuffix("/v1"))
        super().__init__(Connection(f"{title} at {address.url}", address, HINT, api_key))
        self._is_vllm = False
        self._answering: Counter[str] = Counter()

    async def models(self) -> Sequence[ModelInfo]:
        listed = list((await self._connection.get("/v1/models"))["data"])
        details = [] if any(map(_told_by_vllm, listed)) else await lm_studio.models(self._connection)
        found = [(entry, lm_studio.find(details, entry["id"].name())) for entry in listed]
        return [_model_info(entry, detail) for entry, detail in found if detail is None or not detail.is_embedding]

    async def window(self, model: str) -> int | None:
        return next((info.allocated_context for info in await self.models() if info.name == model), None)

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Delta | Finished]:
        self._answering[request.model] += 1
        try:
            async with aclosing(chat_completions.chat(self._connection, request)) as items:
                async for item in items:
                    yield item
        finally:
            self._answering[request.model] -= 1

    async def count_prompt(
        self, model: str, messages: Sequence[SentMessage], tools: Sequence[ToolDefinition]
    ) -> int | None:
        """Asked of vLLM alone: the others have no tokenizer to ask."""
        return await vllm.count_prompt(self._connection, model, messages, tools) if await self._asks_vllm() else None

    async def count_texts(self, model: str, texts: Sequence[str], *, parse_special: bool = False) -> list[int] | None:
        if not await self._asks_vllm():
            return None
        return await vllm.count_texts(self._connection, model, texts, parse_special=parse_special)

    async def footprint(self, model: str) -> Footprint | None:
        if await self._asks_vllm():
            return await vllm.footprint(self._connection, model)
        detail = lm_studio.find(await lm_studio.models(self._connection), model)
        return lm_studio.footprint(detail, model) if detail else None

    async def resize(self, model: str, tokens: int, cache_type: CacheType | None = None) -> Resized:  # noqa: ARG002  # LM Studio's own setting
        """LM Studio from 0.4 on loads the model anew. Of answers to others it does not tell, and ends them."""
        how = f"Start vLLM again with `--max-model-len {tokens}`" if await self._asks_vllm() else ""
        detail = await self._managed(
            model, how, f"`lms unload {model}` and `lms load {model} --context-length {tokens}` do it"
        )
        self._refuse_while_answering(model)
        return await lm_studio.resize(self._connection, detail, model, tokens)

    async def unload(self, model: str) -> int | None:
        """LM Studio from 0.4 on can; how much that frees it does not tell."""
        how = "End vLLM to free the memory" if await self._asks_vllm() else ""
        detail = await self._managed(model, how, f"`lms unload {model}` does it")
        if not detail.instances:
            return 0
        self._refuse_while_answering(model)
        await lm_studio.unload(self._connection, detail)
        return None

    async def _answers_as_such(self) -> bool:
        reply = await self._connection.get("/v1/models")
        return reply["data"].is_list() and all(entry["id"].name() for entry in reply["data"])

    def _refuse_while_answering(self, model: str) -> None:
        if self._answering[model]:
            raise busy_answering(self._connection.server)

    async def _asks_vllm(self) -> bool:
        """Whether this is vLLM, which alone tells ``max_model_len``; asked until it was."""
        if not self._is_vllm:
            self._is_vllm = any(map(_told_by_vllm, (await self._connection.get("/v1/models"))["data"]))
        return self._is_vllm

    async def _managed(self, model: str, how: str, how_in_lm_studio: str) -> LmStudioModel:
        """The model, where its server can be told to load and unload it; ``how`` else says what a person can do."""
        server = self._connection.server
        listed = [] if how else await lm_studio.models(self._connection)
        if not listed:
            how = how or "Set the context size where you start it"
            raise NotSupported(f"{server} can't be told to load or unload models. {how}, then try again.")
        detail = lm_studio.find(listed, model)
        if detail is None:
            raise ModelUnavailable(f"{server} has no model named {model}. Choose one from the list of models.")
        if not detail.manageable:
            raise NotSupported(
                f"This version of LM Studio can't be told to load or unload models ({server}): {how_in_lm_studio}. "
                "From version 0.4 on it can."
            )
        return detail


def _told_by_vllm(entry: Json) -> bool:
    return bool(entry["max_model_len"])


def _model_info(entry: Json, detail: LmStudioModel | None) -> ModelInfo:
    """``max_model_len`` is what vLLM has allocated; LM Studio lists what it could load beside what it has loaded."""
    name = entry["id"].name()
    if detail is None:
        return ModelInfo(name=name, loaded=True, allocated_context=entry["max_model_len"].size())
    instance = detail.instance(name)
    return ModelInfo(
        name=name,
        loaded=instance is not None,
        context_length=detail.context_length,
        allocated_context=instance.context_length if instance else None,
        size_bytes=detail.size_bytes,
    )
