"""The model servers that the settings name, made ready to be asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ullage.providers.base import Provider
from ullage.providers.discovery import build
from ullage.providers.embedded import EmbeddedOptions, bundled_model
from ullage.settings import Settings
from ullage.tokens.gguf import GgufError, GgufHeader

CELLS = 256
"""llama.cpp allocates caches in multiples of so many cells."""


def build_providers(settings: Settings) -> Sequence[Provider]:
    """Reads the header of the embedded model's file, so it belongs on a thread; sends nothing."""
    embedded = settings.providers.embedded
    model = _expanded(embedded.model) if embedded.model else None
    options = EmbeddedOptions(
        model=model,
        context_size=_embedded_size(settings, model or bundled_model()),
        cache_type=settings.context.kv_quantization,
        threads=embedded.threads,
    )
    return build(settings.providers, options)


def _expanded(file: str) -> Path:
    """With the home folder in place of a tilde; where that person is not known, the name stands for no file."""
    try:
        return Path(file).expanduser()
    except RuntimeError:
        return Path(file)


def _embedded_size(settings: Settings, model: Path | None) -> int:
    """What the embedded engine is started with: its own setting, else the target size within bounds; never more than
    the model was made for, but for the least that an engine allocates."""
    context = settings.context
    limit = _context_length(model)
    size = settings.providers.embedded.context_size or max(context.target_size or limit or CELLS, context.min_size)
    size = min([size, *(bound for bound in (context.max_size, limit) if bound)])
    return max(size // CELLS, 1) * CELLS


def _context_length(model: Path | None) -> int | None:
    if model is None:
        return None
    try:
        with GgufHeader(model) as header:
            return header.integer(f"{header.text('general.architecture')}.context_length")
    except (GgufError, OSError, ValueError):  # the engine itself will say what is wrong with the file
        return None
