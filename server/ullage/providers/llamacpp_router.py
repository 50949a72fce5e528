"""llama.cpp's router mode: one server, many models, each loaded with the arguments that a person's presets give it.

https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md#using-multiple-models
A request to load names the model and no size; but the presets are read again on request, so that what a person changed
in them counts with the next loading.
"""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from ullage.errors import ModelUnavailable, NotSupported, ProviderError
from ullage.providers.base import Resized
from ullage.providers.http import LOADING_TIMEOUT_S, Connection
from ullage.providers.json_reply import Json
from ullage.providers.polling import comes_true

UNLOADING_TIMEOUT_S = 15.0
"""The router itself gives a model ten seconds to end."""

_UNIFIED, _NOT_UNIFIED = ("--kv-unified", "-kvu"), ("--no-kv-unified", "-no-kvu")
_RUNNING = ("loaded", "loading", "sleeping")


@frozen
class RoutedModel:
    """A model in the router's list. ``arguments`` are those with which it is loaded or would be."""

    status: str
    failed: bool
    arguments: tuple[str, ...]

    @property
    def is_running(self) -> bool:
        return self.status in _RUNNING

    @property
    def context_size(self) -> int | None:
        """Tokens of one conversation, where the arguments say how many all slots have together."""
        size, slots = self._number("--ctx-size", "-c"), self._slots
        return size // (1 if self.unified_cache else slots or 1) if size else None

    @property
    def unified_cache(self) -> bool:
        """Whether all slots share one cache. The server itself decides that where it decides how many there are."""
        if any(name in self.arguments for name in _NOT_UNIFIED):
            return False
        return self._slots is None or any(name in self.arguments for name in _UNIFIED)

    @property
    def file(self) -> Path | None:
        path = self.argument("--model", "-m")
        return Path(path) if path else None

    def argument(self, *names: str) -> str | None:
        """The value behind one of these names."""
        pairs = zip(self.arguments, self.arguments[1:], strict=False)
        return next((value for name, value in pairs if name in names), None)

    @property
    def _slots(self) -> int | None:
        return self._number("--parallel", "-np")

    def _number(self, *names: str) -> int | None:
        text = self.argument(*names) or ""
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def routed(entry: Json) -> RoutedModel | None:
    """None for the entry of a server with one model, which has no status."""
    status = entry["status"]
    if not status:
        return None
    arguments = tuple(item.text() for item in status["args"])
    return RoutedModel(status["value"].text(), status["failed"].value is True, arguments)


async def is_router(connection: Connection) -> bool:
    return (await connection.get("/props"))["role"].text() == "router"


async def find(connection: Connection, model: str, *, presets_anew: bool = False) -> RoutedModel:
    """The model as the router lists it; ``presets_anew``: it reads its presets again first, and ends a model for which
    they have changed. Raises ``ModelUnavailable``."""
    listed = (await connection.get("/models", {"reload": "1"} if presets_anew else None))["data"]
    found = next((entry for entry in listed if entry["id"].text() == model), None)
    if found is None or (model_ := routed(found)) is None:
        raise ModelUnavailable(f"{connection.server} has no model named {model}. Choose one from the list of models.")
    return model_


async def resize(connection: Connection, model: str, tokens: int, former: int | None) -> Resized:
    """Load the model with the size that its presets give it, where that is ``tokens``; ``former`` is what it has now.

    Raises ``NotSupported``, without any change, where they give it another one."""
    if former == tokens:
        return Resized(tokens, reloaded=False)
    planned = await find(connection, model, presets_anew=True)
    if planned.context_size != tokens:
        given = f"{planned.context_size:,} tokens" if planned.context_size else "the size that it was made for"
        raise NotSupported(
            f"{connection.server} loads {model} with {given}, as it was told at its start. Set `ctx-size = {tokens}` "
            f"for it in the file of `--models-preset`, or start the router with `-c {tokens}`; then try again."
        )
    if planned.is_running:
        await unload(connection, model)
    await _load(connection, model)
    return Resized(tokens, reloaded=True)


async def unload(connection: Connection, model: str) -> None:
    """Ends the model's process, and waits for that."""
    await connection.post("/models/unload", {"model": model})

    async def is_gone() -> bool:
        return not (await find(connection, model)).is_running

    if not await comes_true(is_gone, UNLOADING_TIMEOUT_S):
        raise ProviderError(f"{connection.server} does not end {model}. Its own log may say why; then try again.")


async def _load(connection: Connection, model: str) -> None:
    await connection.post("/models/load", {"model": model}, model)

    async def is_settled() -> bool:
        return (await find(connection, model)).status != "loading"

    settled = await comes_true(is_settled, LOADING_TIMEOUT_S)
    if not settled or not (await find(connection, model)).is_running:
        raise ProviderError(
            f"{connection.server} could not load {model} with the size of its presets. There may be too little memory: "
            "set a smaller one there, then try again."
        )
