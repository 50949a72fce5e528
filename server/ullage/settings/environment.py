"""The environment variables that are settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ullage.settings.fields import hints
from ullage.settings.resolving import Layer, Problem
from ullage.settings.tree import Settings

ENVIRONMENT: dict[str, str] = {
    # The first variable with a valid value wins; the OLLM_ names are read for those who have them set already.
    "ULLAGE_CONTEXT_SIZE": "context.targetSize",
    "OLLM_CONTEXT_SIZE": "context.targetSize",
    "ULLAGE_CONTEXT_AUTO": "context.autoSize",
    "OLLM_CONTEXT_AUTO": "context.autoSize",
    "ULLAGE_VRAM_BUFFER": "context.vramBuffer",
    "OLLM_CONTEXT_VRAM_BUFFER": "context.vramBuffer",
    "ULLAGE_KV_CACHE_TYPE": "context.kvQuantization",
    "OLLM_KV_CACHE_TYPE": "context.kvQuantization",
    "ULLAGE_STORAGE": "storageDirectory",
    "OLLAMA_HOST": "providers.ollama.url",
}

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def from_environment(environment: Mapping[str, str]) -> tuple[list[Layer], list[Problem]]:
    """A layer for each variable that is set, the weakest first, and the variables that can't be read at all."""
    layers, problems = [], []
    for variable, path in reversed(ENVIRONMENT.items()):
        text = environment.get(variable)
        if text is None:
            continue
        try:
            layers.append(Layer("environment", {path: _parsed(path, text.strip())}, variable))
        except ValueError as error:
            problems.append(Problem(path, "environment", str(error), variable))
    return layers, problems


def ollama_url(host: str) -> str:
    """The address that an ``OLLAMA_HOST`` names: scheme and port may be missing, and 0.0.0.0 is where it listens."""
    scheme, _, rest = host.rpartition("://")
    authority = rest.split("/")[0] or "127.0.0.1"
    name, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        name, port = authority, {"http": "80", "https": "443"}.get(scheme, "11434")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 2**16) or " " in name:
        raise ValueError("must be an address such as 127.0.0.1:11434")
    name = "127.0.0.1" if name in ("", "0.0.0.0") else name  # noqa: S104  # a client can't connect to "any address"
    return f"{scheme or 'http'}://{name}:{port}"


def _parsed(path: str, text: str) -> Any:
    """What the text stands for; text that stands for nothing of the right kind is left for the tree to refuse."""
    if not text:
        raise ValueError("the variable is empty; give it a value, or unset it")
    if path == "providers.ollama.url":
        return ollama_url(text)
    kind: Any = Settings
    for part in path.split("."):
        kind = hints(kind)[part]
    if kind is bool:
        return _BOOLEANS.get(text.lower(), text)
    if kind is int:
        return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else text
    return text
