"""LM Studio's own interface beside OpenAI's: https://lmstudio.ai/docs/developer/rest

Version 1 (LM Studio 0.4) lists instances and loads and unloads them; version 0 only lists. Other servers have neither,
and some answer unknown addresses with a success; so a list counts only where it has the right shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from attrs import frozen

from ullage.errors import ProviderError, UllageError
from ullage.providers.base import Footprint, Resized
from ullage.providers.failures import refusal, too_little
from ullage.providers.http import LOADING_TIMEOUT_S, Connection
from ullage.providers.json_reply import Json

_KEPT_SETTINGS = ("eval_batch_size", "flash_attention", "num_experts", "offload_kv_cache_to_gpu")
"""What a model was loaded with and keeps when its size changes."""


@frozen
class Instance:
    """A loaded model; ``settings`` are those that a request to load takes."""

    id: str
    context_length: int | None
    slots: int | None = None
    settings: Mapping[str, object] = {}


@frozen
class LmStudioModel:
    """``context_length`` is what the model was made for. ``instances`` is empty of a resting model. ``manageable``:
    listed by a version that can load and unload it."""

    name: str
    is_embedding: bool
    context_length: int | None
    instances: tuple[Instance, ...]
    size_bytes: int | None = None
    manageable: bool = False

    def instance(self, name: str) -> Instance | None:
        """The one that answers requests for this name."""
        return next((i for i in self.instances if i.id == name), None) or next(iter(self.instances), None)


async def models(connection: Connection) -> Sequence[LmStudioModel]:
    """Nothing of every other server, whatever that answers here."""
    for path, key, read in (("/api/v1/models", "models", _version_1), ("/api/v0/models", "data", _version_0)):
        with suppress(ProviderError):
            reply = await connection.get_if_there(path)
            if reply and reply[key].is_list():
                return [read(entry) for entry in reply[key]]
    return []


def find(listed: Sequence[LmStudioModel], name: str) -> LmStudioModel | None:
    """The model of this name, or that has an instance of this name: requests may say either."""
    return next((m for m in listed if m.name == name or any(i.id == name for i in m.instances)), None)


def footprint(model: LmStudioModel, name: str) -> Footprint | None:
    """The weights are as large as their file; of the rest only the number of slots is told."""
    instance = model.instance(name)
    return Footprint(weights_bytes=model.size_bytes, slots=instance.slots) if instance else None


async def resize(connection: Connection, model: LmStudioModel, name: str, tokens: int) -> Resized:
    """Unload the model and load it with ``tokens``; on failure with what it had. LM Studio takes no size with a
    request, so that a resting model is loaded too."""
    former = model.instance(name)
    if former is not None and former.context_length == tokens:
        return Resized(tokens, reloaded=False)
    if former is None:
        return Resized(await _load(connection, model, tokens, {}), reloaded=True)
    try:
        await _unload(connection, former)
        return Resized(await _load(connection, model, tokens, former.settings), reloaded=True)
    except UllageError as failure:
        if former.context_length is None:
            raise
        is_back = await _restore(connection, model, former, former.context_length)
        raise too_little(failure, connection.server, name, tokens, former.context_length, is_back=is_back) from None


async def unload(connection: Connection, model: LmStudioModel) -> None:
    for instance in model.instances:
        await _unload(connection, instance)


async def _load(connection: Connection, model: LmStudioModel, tokens: int, settings: Mapping[str, object]) -> int:
    body = {**settings, "model": model.name, "context_length": tokens, "echo_load_config": True}
    reply = await connection.post("/api/v1/models/load", body, model.name, timeout_s=LOADING_TIMEOUT_S)
    if reply["error"]:  # which some versions send as a success
        raise refusal(connection.server, 500, reply.value, model.name)
    return reply["load_config"]["context_length"].size() or tokens


async def _restore(connection: Connection, model: LmStudioModel, former: Instance, tokens: int) -> bool:
    """Whether the instance is there again, or still: a model can be loaded twice."""
    with suppress(UllageError):
        listed = find(await models(connection), model.name)
        if listed is None or former not in listed.instances:
            await _load(connection, model, tokens, former.settings)
        return True
    return False


async def _unload(connection: Connection, instance: Instance) -> None:
    await connection.post("/api/v1/models/unload", {"instance_id": instance.id})


def _version_1(entry: Json) -> LmStudioModel:
    return LmStudioModel(
        name=entry["key"].name(),
        is_embedding=entry["type"].text() == "embedding",
        context_length=entry["max_context_length"].size(),
        instances=tuple(_instance(instance) for instance in entry["loaded_instances"]),
        size_bytes=entry["size_bytes"].size(),
        manageable=True,
    )


def _instance(entry: Json) -> Instance:
    config = entry["config"]
    settings = {key: config[key].value for key in _KEPT_SETTINGS if config[key]}
    return Instance(entry["id"].name(), config["context_length"].size(), config["parallel"].size(), settings)


def _version_0(entry: Json) -> LmStudioModel:
    name = entry["id"].name()
    loaded = entry["state"].text() == "loaded"
    return LmStudioModel(
        name=name,
        is_embedding=entry["type"].text() == "embeddings",
        context_length=entry["max_context_length"].size(),
        instances=(Instance(name, entry["loaded_context_length"].size()),) if loaded else (),
    )
