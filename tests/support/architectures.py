"""Metadata of models as GGUF headers have them, for tests of memory arithmetic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parent.parent / "data"


def observations() -> list[dict[str, Any]]:
    """What engines printed when they loaded real models: one row for each printed line."""
    rows: list[dict[str, Any]] = json.loads((DATA / "kv_cache_observations.json").read_text(encoding="utf-8"))
    return rows


def metadata_of(architecture: str, **keys: Any) -> dict[str, Any]:
    """Full keys from short ones, dots written as double underscores; None leaves a key out."""
    short = {name.replace("__", "."): value for name, value in keys.items() if value is not None}
    return {"general.architecture": architecture, **{f"{architecture}.{name}": short[name] for name in short}}


def plain(**changes: Any) -> dict[str, Any]:
    """A Llama of 8 billion parameters: 128 KiB a token with f16."""
    keys: dict[str, Any] = {
        "block_count": 32,
        "context_length": 131_072,
        "embedding_length": 4096,
        "feed_forward_length": 14_336,
        "attention__head_count": 32,
        "attention__head_count_kv": 8,
        "vocab_size": 128_256,
    }
    return metadata_of("llama", **(keys | changes))
