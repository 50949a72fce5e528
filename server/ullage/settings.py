"""One frozen tree of settings with every default, and the rules by which sources are laid over each other.

Keys are the camelCase spellings of the attribute names. Each leaf carries its bounds in its metadata; a value that is
out of them, or of the wrong type, is reported by path and source, and the next lower source is used.
"""

from __future__ import annotations

import fnmatch
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeAlias

import attrs
from attrs import Factory, frozen

CacheType = Literal["f16", "q8_0", "q4_0", "q5_0", "q5_1", "q4_1", "bf16", "f32", "iq4_nl"]
Strategy = Literal["truncate", "summarize", "hybrid"]
ProviderChoice = Literal["auto", "embedded", "llamacpp", "ollama", "openai"]
SettingSource = Literal["default", "user file", "workspace file", "editor", "environment", "command"]
"""From the weakest to the strongest."""

FROM_REPOSITORY = ("context", "tokens")
"""The branches that a cloned repository's own file may set: sizes, compression, counting. Servers, executables, model
files, keys, storage and the deletion of snapshots are the person's own, so that a repository can't redirect words."""

NOT_FROM_REPOSITORY = ("context.snapshots.maxCount", "context.snapshots.maxAgeDays")


def _leaf(default: Any, *, least: float | None = None, most: float | None = None) -> Any:
    factory = isinstance(default, dict)
    bounds = {"least": least, "most": most}
    return attrs.field(default=Factory(dict) if factory else default, metadata=bounds)


@frozen
class CompressionSettings:
    enabled: bool = True
    threshold: float = _leaf(0.8, least=0.1, most=1)
    target: float = _leaf(0.5, least=0.05, most=0.95)
    strategy: Strategy = "hybrid"
    preserve_recent: int = _leaf(4096, least=0, most=2**31 - 1)
    summary_max_tokens: int = _leaf(1024, least=64, most=2**20)


@frozen
class SnapshotSettings:
    enabled: bool = True
    max_count: int = _leaf(5, least=1, most=1000)
    auto_create: bool = True
    auto_threshold: float = _leaf(0.8, least=0.1, most=1)
    max_age_days: int = _leaf(0, least=0, most=36500)


@frozen
class ContextSettings:
    target_size: int = _leaf(16384, least=0, most=2**31 - 1)
    min_size: int = _leaf(2048, least=1, most=2**31 - 1)
    max_size: int = _leaf(0, least=0, most=2**31 - 1)
    auto_size: bool = True
    vram_buffer: int = _leaf(512, least=0, most=2**20)
    kv_quantization: CacheType = "q8_0"
    reserve_output: int = _leaf(1024, least=1, most=2**31 - 1)
    compression: CompressionSettings = CompressionSettings()
    snapshots: SnapshotSettings = SnapshotSettings()


@frozen
class PoolSettings:
    max_contexts: int = _leaf(30, least=1, most=30)
    base_cpu: float = _leaf(0.5, least=0)
    base_memory_mb: int = _leaf(2048, least=0, most=2**31 - 1)
    burst_cpu: float = _leaf(2.0, least=0)
    burst_memory_mb: int = _leaf(8192, least=0, most=2**31 - 1)


@frozen
class TokenSettings:
    multipliers: dict[str, float] = _leaf({}, least=0.1, most=10)

    def multiplier(self, model: str | None) -> float:
        """The person's own correction for this model: an exact name first, then the first glob that matches."""
        if model is None:
            return 1.0
        if model in self.multipliers:
            return self.multipliers[model]
        return next((value for glob, value in self.multipliers.items() if fnmatch.fnmatchcase(model, glob)), 1.0)


@frozen
class Mode:
    """A named persona that a context can take on."""

    system_prompt: str | None = None
    model: str | None = None


@frozen
class EmbeddedSettings:
    model: str | None = None
    threads: int = _leaf(0, least=0, most=1024)
    context_size: int = _leaf(0, least=0, most=2**31 - 1)


@frozen
class LlamaCppSettings:
    url: str = "http://127.0.0.1:8080"


@frozen
class OllamaSettings:
    url: str = "http://127.0.0.1:11434"


@frozen
class OpenAiSettings:
    url: str | None = None
    api_key_env: str | None = None


@frozen
class ProviderSettings:
    default: ProviderChoice = "auto"
    embedded: EmbeddedSettings = EmbeddedSettings()
    llamacpp: LlamaCppSettings = LlamaCppSettings()
    ollama: OllamaSettings = OllamaSettings()
    openai: OpenAiSettings = OpenAiSettings()


@frozen
class MemorySettings:
    poll_seconds: float = _leaf(5.0, least=0.5, most=3600)
    low_watermark_mb: int = _leaf(0, least=0, most=2**31 - 1)


@frozen
class Settings:
    """The whole tree. Sizes are tokens unless the name says MB; fractions are of the usable window."""

    context: ContextSettings = ContextSettings()
    pool: PoolSettings = PoolSettings()
    tokens: TokenSettings = TokenSettings()
    modes: dict[str, Mode] = _leaf({})
    providers: ProviderSettings = ProviderSettings()
    memory: MemorySettings = MemorySettings()
    storage_directory: str | None = None


@frozen
class Problem:
    """A value that was not taken, and why, in words for a person."""

    path: str
    source: SettingSource
    reason: str

    def __str__(self) -> str:
        return f"Setting {self.path} ({self.source}): {self.reason}"


@frozen
class SettingValue:
    """One leaf of the resolved tree and the source that it came from."""

    path: str
    value: object
    source: SettingSource


@frozen
class Resolved:
    settings: Settings
    origins: dict[str, SettingSource]
    problems: tuple[Problem, ...]

    def values(self) -> list[SettingValue]:
        """Every leaf, fit to be shown: addresses without what could be a secret."""
        return [
            SettingValue(path, _shown(path, value), self.origins.get(path, "default"))
            for path, value in flatten(self.settings)
        ]


Layer: TypeAlias = tuple[SettingSource, Mapping[str, Any]]

ENVIRONMENT: dict[str, str] = {
    # The first variable that is set wins; the OLLM_ names are read for those who have them set already.
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


def resolve(layers: Sequence[Layer]) -> Resolved:
    """Lay the sources over the defaults, the weakest first. Unknown keys are reported and passed over."""
    settings, origins, problems = Settings(), {}, []
    for source, tree in layers:
        for path, value in _leaves_of(tree):
            if source == "workspace file" and not _allowed_from_repository(path):
                problems.append(Problem(path, source, "only your own settings may set this, not a workspace's file"))
                continue
            try:
                settings = _set(settings, path.split("."), value)
            except (TypeError, ValueError, LookupError) as error:
                problems.append(Problem(path, source, str(error).strip("'\"")))
            else:
                origins[path] = source
    return Resolved(settings, origins, tuple(problems))


def from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings that environment variables make, as a tree. Numbers and booleans are read from their text."""
    tree: dict[str, Any] = {}
    for variable, path in ENVIRONMENT.items():
        text = environment.get(variable, "").strip()
        if text and _get(tree, path) is None:
            _put(tree, path, _parse(path, text))
    return tree


def flatten(tree: Any, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every leaf of a settings tree with its dotted path."""
    for attribute in attrs.fields(type(tree)):
        path = prefix + camel(attribute.name)
        value = getattr(tree, attribute.name)
        if attrs.has(type(value)):
            yield from flatten(value, path + ".")
        else:
            yield path, value


def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def _shown(path: str, value: object) -> object:
    return _without_secrets(value) if path.endswith(".url") and isinstance(value, str) else value


def _without_secrets(url: str) -> str:
    """A URL without user, password, query and fragment. A password may hold any character, so that all up to the last
    "@" goes."""
    scheme, separator, rest = url.rpartition("://") if "://" in url else ("", "", url)
    return scheme + separator + re.split(r"[?#]", rest.rpartition("@")[2])[0]


def _allowed_from_repository(path: str) -> bool:
    return path.partition(".")[0] in FROM_REPOSITORY and path not in NOT_FROM_REPOSITORY


def _leaves_of(tree: Mapping[str, Any], kind: Any = Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves as a source wrote them. Below a leaf of type dict (multipliers, modes) nothing is taken apart."""
    hints = _hints(kind)
    for key, value in tree.items():
        branch = hints.get(key)
        if isinstance(value, Mapping) and isinstance(branch, type) and attrs.has(branch):
            yield from _leaves_of(value, branch, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _set(tree: Any, path: Sequence[str], value: Any) -> Any:
    attribute = next((a for a in attrs.fields(type(tree)) if camel(a.name) == path[0]), None)
    if attribute is None:
        raise LookupError("there is no such setting")
    if len(path) > 1:
        changed = _set(getattr(tree, attribute.name), path[1:], value)
    else:
        changed = _checked(_hints(tree.__class__)[path[0]], value, attribute.metadata)
    return attrs.evolve(tree, **{attribute.name: changed})


def _checked(kind: Any, value: Any, bounds: Mapping[Any, Any]) -> Any:
    """``value`` as ``kind``, or ValueError with the reason. No coercion but from int to float."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return None if value is None else _checked(arguments[0], value, bounds)
    if origin is Literal:
        if value not in arguments:
            raise ValueError("must be one of " + ", ".join(arguments))
        return value
    if origin is dict:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise ValueError("must be a table of names")
        return {key: _checked(arguments[1], entry, bounds) for key, entry in value.items()}
    if attrs.has(kind):
        return _branch(kind, value)
    return _scalar(kind, value, bounds)


def _branch(kind: Any, value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError("must be a table")
    tree = kind()
    for key, entry in value.items():
        tree = _set(tree, [str(key)], entry)
    return tree


def _scalar(kind: Any, value: Any, bounds: Mapping[Any, Any]) -> Any:
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ValueError(f"must be {_WORDS[kind]}")
    if kind in (int, float):
        least, most = bounds.get("least"), bounds.get("most")
        if not math.isfinite(value) or (least is not None and value < least) or (most is not None and value > most):
            raise ValueError("must be " + _range(least, most))
    return value


_WORDS: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _range(least: float | None, most: float | None) -> str:
    if least is None:
        return "a finite number"
    return f"at least {least}" if most is None else f"between {least} and {most}"


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return {camel(name): hint for name, hint in typing.get_type_hints(kind).items()}


def _parse(path: str, text: str) -> Any:
    if path == "providers.ollama.url":
        return ollama_url(text)
    kind: Any = Settings
    for part in path.split("."):
        kind = _hints(kind)[part]
    if kind is bool:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(text.lower(), text)
    if kind is int:
        return int(text) if text.lstrip("-").isascii() and text.lstrip("-").isdigit() and len(text) < 20 else text
    return text


def ollama_url(host: str) -> str:
    """The address that an ``OLLAMA_HOST`` names: scheme and port may be missing, and 0.0.0.0 is where it listens."""
    scheme, _, rest = host.rpartition("://")
    authority = rest.split("/")[0] or "127.0.0.1"
    name, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        name, port = authority, {"http": "80", "https": "443"}.get(scheme, "11434")
    name = "127.0.0.1" if name in ("", "0.0.0.0") else name  # noqa: S104  # a client can't connect to "any address"
    return f"{scheme or 'http'}://{name}:{port}"


def _get(tree: Mapping[str, Any], path: str) -> Any:
    node: Any = tree
    for part in path.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _put(tree: dict[str, Any], path: str, value: Any) -> None:
    *branches, leaf = path.split(".")
    for branch in branches:
        tree = tree.setdefault(branch, {})
    tree[leaf] = value
