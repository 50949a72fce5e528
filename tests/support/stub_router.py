"""``llama-server`` in router mode: models from presets, each at rest, loading or loaded."""

from __future__ import annotations

from attrs import define, field

from support.stub_http import Exchange, Request
from support.stub_servers import LlamaCppStub


@define(eq=False)
class RoutedStub:
    """``preset`` is the size in the presets' file, ``read`` the one that the router read there last; ``loads_in`` is
    how often somebody has to ask until the model is loaded. ``slots`` None: the server chooses, and lets them share."""

    preset: int | None = 4096
    read: int | None = 4096
    loaded: int | None = None
    loads_in: int = 2
    slots: int | None = 1
    fails: bool = False
    status: str = "unloaded"
    arguments: tuple[str, ...] = ()

    def arguments_now(self) -> list[str]:
        size = ["--ctx-size", str(self.read)] if self.read else []
        slots = ["--parallel", str(self.slots)] if self.slots else []
        return ["llama-server", *size, *slots, *self.arguments]


@define(eq=False)
class RouterStub(LlamaCppStub):
    models: dict[str, RoutedStub] = field(factory=dict, kw_only=True)

    async def handle(self, request: Request, exchange: Exchange) -> None:
        match request.method, request.path:
            case "GET", "/props" if "model" not in request.query:
                settings = {"params": None, "n_ctx": 0}
                await exchange.json({"role": "router", "default_generation_settings": settings})
            case "GET", "/props" | "/slots" if (self._asked(request)).status != "loaded":
                await exchange.json({"error": {"code": 400, "message": "model is not loaded"}}, 400)
            case "GET", "/props":
                model = self._asked(request)
                self.n_ctx = (model.loaded or 0) // (model.slots or 1)
                await exchange.json(self.props())
            case "GET", "/models" | "/v1/models":
                if "reload" in request.query:
                    self._read_presets()
                await exchange.json({"object": "list", "data": [self._entry(name) for name in self.models]})
            case "POST", "/models/load" | "/models/unload":
                await self._change(request, exchange)
            case _:
                await super().handle(request, exchange)

    def _asked(self, request: Request) -> RoutedStub:
        return self.models[request.query["model"][0]]

    def _read_presets(self) -> None:
        for model in self.models.values():
            if model.read != model.preset:
                model.read, model.loaded, model.status = model.preset, None, "unloaded"

    def _entry(self, name: str) -> dict[str, object]:
        model = self.models[name]
        if model.status == "loading":
            model.loads_in -= 1
            if model.loads_in <= 0:
                model.status = "unloaded" if model.fails else "loaded"
                model.loaded = None if model.fails else model.read or self.n_ctx_train
        status: dict[str, object] = {"value": model.status, "args": model.arguments_now()}
        if model.fails and model.status == "unloaded":
            status |= {"failed": True, "exit_code": 1}
        meta = {"n_ctx": model.loaded, "n_ctx_train": self.n_ctx_train, "size": 1_000_000}
        return {"id": name, "status": status, **({"meta": meta} if model.loaded else {})}

    async def _change(self, request: Request, exchange: Exchange) -> None:
        model = self.models.get(request.json()["model"])
        loads = request.path == "/models/load"
        if model is None:
            await exchange.json({"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}}, 404)
        elif loads == (model.status != "unloaded"):
            words = "already running" if loads else "not running"
            await exchange.json({"error": {"code": 400, "message": f"model is {words}"}}, 400)
        else:
            model.status, model.loaded = ("loading" if loads else "unloaded"), None
            await exchange.json({"success": True})
