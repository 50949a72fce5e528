"""LM Studio from 0.4 on, with one model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import define, field

from support.stub_http import Exchange, Request
from support.stub_servers import OpenAiStub


@define(eq=False)
class LmStudioStub(OpenAiStub):
    """``window`` 0: the model rests. ``instance`` is what the loaded one is called; ``largest`` fits the memory.
    ``unloads_without_an_answer``: it unloads, and answers with a failure."""

    kind: Literal["vllm", "lmstudio", "plain"] = field(default="lmstudio", kw_only=True)
    instance: str = field(default="stub-model", kw_only=True)
    largest: int = field(default=1 << 20, kw_only=True)
    fails_as_success: bool = field(default=False, kw_only=True)
    unloads_without_an_answer: bool = field(default=False, kw_only=True)
    flash_attention: bool = field(default=True, kw_only=True)

    async def handle(self, request: Request, exchange: Exchange) -> None:
        match request.method, request.path:
            case "GET", "/api/v1/models":
                await exchange.json({"models": [self._model(), {"key": "embedder", "type": "embedding"}]})
            case "POST", "/api/v1/models/unload":
                assert request.json() == {"instance_id": self.instance}
                self.window = 0
                await exchange.json({"instance_id": self.instance}, 500 if self.unloads_without_an_answer else 200)
            case "POST", "/api/v1/models/load":
                await self._load(request.json(), exchange)
            case _:
                await super().handle(request, exchange)

    def _model(self) -> dict[str, object]:
        config = {"context_length": self.window, "parallel": 4, "flash_attention": self.flash_attention}
        instances = [{"id": self.instance, "config": config}] if self.window else []
        facts = {"max_context_length": 32768, "size_bytes": 1_000_000}
        return {"key": self.model, "type": "llm", "loaded_instances": instances, **facts}

    async def _load(self, body: Mapping[str, Any], exchange: Exchange) -> None:
        if body["context_length"] > self.largest:
            text = "Model loading was stopped due to insufficient system resources."
            await exchange.json({"error": {"message": text}}, 200 if self.fails_as_success else 500)
            return
        self.window = body["context_length"]
        self.flash_attention = body.get("flash_attention", False)
        loaded = {"instance_id": self.model, "status": "loaded"}
        await exchange.json({**loaded, "load_config": {"context_length": self.window}})
