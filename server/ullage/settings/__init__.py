"""One frozen tree of settings with every default, and the rules by which sources are laid over each other.

Keys are the camelCase spellings of the attribute names. Each leaf carries its description and its bounds in its
metadata; a value that is out of them, of the wrong type, or at odds with another one is reported by path and source,
and the next lower source is used.
"""

from ullage.settings.environment import ENVIRONMENT, from_environment, ollama_url
from ullage.settings.fields import camel, flatten
from ullage.settings.resolving import Layer, Problem, Resolved, SettingSource, SettingValue, resolve
from ullage.settings.scopes import FROM_REPOSITORY, Scope
from ullage.settings.tree import (
    CacheType,
    CompressionSettings,
    ContextSettings,
    EmbeddedSettings,
    GuardSettings,
    LlamaCppSettings,
    MemorySettings,
    Mode,
    OllamaSettings,
    OpenAiSettings,
    PoolSettings,
    ProviderChoice,
    ProviderSettings,
    Settings,
    SnapshotSettings,
    Strategy,
    TokenSettings,
)

__all__ = [
    "ENVIRONMENT",
    "FROM_REPOSITORY",
    "CacheType",
    "CompressionSettings",
    "ContextSettings",
    "EmbeddedSettings",
    "GuardSettings",
    "Layer",
    "LlamaCppSettings",
    "MemorySettings",
    "Mode",
    "OllamaSettings",
    "OpenAiSettings",
    "PoolSettings",
    "Problem",
    "ProviderChoice",
    "ProviderSettings",
    "Resolved",
    "Scope",
    "SettingSource",
    "SettingValue",
    "Settings",
    "SnapshotSettings",
    "Strategy",
    "TokenSettings",
    "camel",
    "flatten",
    "from_environment",
    "ollama_url",
    "resolve",
]
