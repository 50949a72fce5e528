"""`ullage fit`: the largest context that this machine's memory holds, for a model, a file, or every model here."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
from attrs import frozen

from ullage.app.configuration import Configuration
from ullage.cli.client import Client, ServerError, ServerGone, running
from ullage.cli.figures import one_line
from ullage.cli.fit_figures import ALL_TYPES, USUAL_TYPES, ModelFit, to_json
from ullage.cli.fit_file import Room, fit_of_file
from ullage.cli.fit_report import fit_of_model
from ullage.cli.fit_show import show_model, show_models
from ullage.cli.framing import Json
from ullage.cli.terminal import Terminal
from ullage.errors import UllageError
from ullage.memory.readings import DeviceReading
from ullage.settings import CacheType
from ullage.tokens.gguf import GgufError
from ullage.tokens.model_file import ModelFile, read_model_file

MEGABYTE = 2**20
SHOWN_NAMES = 8


class NothingToFit(Exception):
    """There is no such model, or none at all. The message is a sentence for a person."""


@frozen
class FitOptions:
    """What `ullage fit` was asked for; ``subject`` None: every model of this machine."""

    subject: str | None = None
    all_types: bool = False
    as_json: bool = False
    storage: Path | None = None

    @property
    def cache_types(self) -> tuple[CacheType, ...]:
        return ALL_TYPES if self.all_types else USUAL_TYPES


def fit(options: FitOptions) -> int:
    """Show what fits; 1 where there is no such model, or certainly nothing fits, or nothing can be sized."""
    terminal = Terminal()
    try:
        memory, fits = asyncio.run(_fits(terminal, options))
    except (ServerError, ServerGone, GgufError, UllageError, NothingToFit) as error:
        _show_failure(terminal, error, as_json=options.as_json)
        return 1
    if options.as_json:
        _show_json(terminal, {"memory": memory, "models": [to_json(each) for each in fits]})
    elif options.subject is None:
        show_models(terminal, fits, memory)
    elif fits[0].types:
        show_model(terminal, fits[0], memory)
    else:
        terminal.error(f"{fits[0].name}: {fits[0].reason}")
    return 0 if any(of_type.may_fit for each in fits for of_type in each.types) else 1


def _show_failure(terminal: Terminal, error: Exception, *, as_json: bool) -> None:
    if as_json:
        _show_json(terminal, {"error": str(error)})
    elif isinstance(error, ServerError | ServerGone):
        terminal.failure(error)
    else:
        terminal.error(str(error))


def _show_json(terminal: Terminal, document: Json) -> None:
    terminal.line(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


async def _fits(terminal: Terminal, options: FitOptions) -> tuple[Json, list[ModelFit]]:
    """The memory as it is read now, and the models asked for. A file that can't be read starts no server."""
    file = _file_of(options.subject)
    tell = terminal.error if options.as_json else terminal.aside
    async with running(tell, storage=options.storage) as client:
        memory = await client.request("context/memory", {})
        if file is not None:
            return memory, [await fit_of_file(client, file, options.cache_types, _room(memory))]
        models = await _models(client, options.subject)
        return memory, [await fit_of_model(client, model, options.cache_types) for model in models]


def _file_of(subject: str | None) -> ModelFile | None:
    """The file that is meant, read; None where the subject is a model's name. Raises GgufError."""
    if subject is None:
        return None
    path = Path(subject).expanduser()
    return read_model_file(path) if path.is_file() else None


async def _models(client: Client, name: str | None) -> list[Json]:
    """Every model, or the one of this name. Raises NothingToFit."""
    models: list[Json] = (await client.request("context/models", {}))["models"]
    if name is None:
        if not models:
            raise NothingToFit("No model server answers with a model. Start one, or run `ullage install-model`.")
        return models
    found = model_named(models, name)
    if found is None:
        raise NothingToFit(_no_such(name, models))
    return [found]


def model_named(models: list[Json], name: str) -> Json | None:
    """Ollama's names may be given without their `:latest`, as Ollama itself takes them."""
    return next((model for wanted in (name, f"{name}:latest") for model in models if model["name"] == wanted), None)


def _no_such(name: str, models: list[Json]) -> str:
    if name.lower().endswith(".gguf"):
        return f"There is no file {one_line(name)}, and no model of this name. Give the path of a GGUF file."
    names = [model["name"] for model in models]
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    known = f"It has: {', '.join(names[:SHOWN_NAMES])}{more}." if names else "No model server answers with a model."
    return f"This machine has no model named {one_line(name)}. {known}"


def _room(memory: Json) -> Room:
    """With the person's buffer and maximum; the server heeds them for models only."""
    configuration = Configuration()
    configuration.start({})
    context = configuration.settings.context
    devices = tuple(DeviceReading(**device) for device in memory["devices"])
    return Room(memory["available"], context.vram_buffer * MEGABYTE, context.max_size, devices)
