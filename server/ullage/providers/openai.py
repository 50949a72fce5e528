"""Servers with OpenAI's interface: LM Studio, vLLM and others.

Beyond the common part, two of them tell the window: vLLM in its list of models, LM Studio in a list of its own
(https://lmstudio.ai/docs/developer/rest/endpoints). Of any other server it stays unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress

from ullage.conversation.messages import SentMessage, ToolDefinition
from ullage.errors import ProviderError, UllageError
from ullage.providers import chat_completions
from ullage.providers.base import ChatRequest, Delta, Finished, ModelInfo
from ullage.providers.http import PROBE_TIMEOUT_S, ApiKey, Connection, no_key, parse_address
from ullage.providers.json_reply import Json
from ullage.providers.messages_json import message_json, tool_json
from ullage.providers.untold import Untold

HINT = "Start it (LM Studio: the Developer page; vLLM: `vllm serve <model>`), or choose another one in the settings."


class OpenAiProvider(Untold):
    """``url`` may end in ``/v1`` or not. The key is asked for at every request, so that a new one counts at once; it
    is sent to this address only.

    Texts are not counted: vLLM's tokenizer always reads special-token text as tokens, and others have none to ask."""

    def __init__(self, url: str, *, title: str = "The model server", api_key: ApiKey = no_key) -> None:
        address = parse_address(url.rstrip("/").removesuffix("/v1"))
        self._connection = Connection(f"{title} at {address.url}", address, HINT, api_key)

    @property
    def name(self) -> str:
        return "openai"

    @property
    def address(self) -> str:
        return self._connection.address.url

    @property
    def sizes_by_request(self) -> bool:
        return False

    @property
    def renders_with_own_template(self) -> bool:
        return False

    def planned_window(self, model: str) -> int | None:  # noqa: ARG002  # not ours to say
        return None

    async def probe(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                reply = await self._connection.get("/v1/models")
                return reply["data"].is_list() and all(entry["id"].name() for entry in reply["data"])
        except (UllageError, TimeoutError):
            return False

    async def models(self) -> Sequence[ModelInfo]:
        listed = list((await self._connection.get("/v1/models"))["data"])
        details = {} if any(entry["max_model_len"] for entry in listed) else await self._lm_studio_models()
        return [
            _model_info(entry, details.get(entry["id"].name()))
            for entry in listed
            if not _is_embedding(details.get(entry["id"].name()))
        ]

    async def window(self, model: str) -> int | None:
        return next((info.allocated_context for info in await self.models() if info.name == model), None)

    def chat(self, request: ChatRequest) -> AsyncGenerator[Delta | Finished]:
        return chat_completions.chat(self._connection, request)

    async def count_prompt(
        self, model: str, messages: Sequence[SentMessage], tools: Sequence[ToolDefinition]
    ) -> int | None:
        """Asked of vLLM alone: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"""
        listed = (await self._connection.get("/v1/models"))["data"]
        if not any(entry["id"].text() == model and entry["max_model_len"] for entry in listed):
            return None
        body: dict[str, object] = {"model": model, "messages": [message_json(message) for message in messages]}
        if tools:
            body["tools"] = [tool_json(tool) for tool in tools]
        reply = await self._connection.post_if_there("/tokenize", body, model)
        return reply["count"].count() if reply else None

    async def close(self) -> None:
        await self._connection.close()

    async def _lm_studio_models(self) -> dict[str, Json]:
        """LM Studio's own list by name; empty of every other server, whatever that answers here."""
        with suppress(ProviderError):
            reply = await self._connection.get_if_there("/api/v0/models")
            if reply and reply["data"].is_list():
                return {entry["id"].name(): entry for entry in reply["data"]}
        return {}


def _is_embedding(details: Json | None) -> bool:
    return details is not None and details["type"].text() == "embeddings"


def _model_info(entry: Json, details: Json | None) -> ModelInfo:
    """``max_model_len`` is what vLLM has allocated; LM Studio lists what it could load beside what it has loaded."""
    if details is None:
        allocated = entry["max_model_len"].size()
        return ModelInfo(name=entry["id"].name(), loaded=True, allocated_context=allocated)
    return ModelInfo(
        name=entry["id"].name(),
        loaded=details["state"].text() == "loaded",
        context_length=details["max_context_length"].size(),
        allocated_context=details["loaded_context_length"].size(),
    )
