"""Where Ollama keeps a model's weights: a manifest names the blob that is the GGUF file.

The layout: ``manifests/<host>/<namespace>/<model>/<tag>`` and ``blobs/sha256-<digest>`` below the models' folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import orjson

WEIGHTS = "application/vnd.ollama.image.model"
LARGEST_MANIFEST_BYTES = 1 << 20

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,349}")
_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")


def model_file(model: str, environment: Mapping[str, str] = os.environ) -> Path | None:
    """The model's GGUF file on this machine, or None where it isn't there or may not be read."""
    manifest = manifest_path(model)
    if manifest is None:
        return None
    for folder in _folders(environment):
        digest = _weights_digest(folder / "manifests" / manifest)
        blob = folder / "blobs" / f"sha256-{digest}"
        if digest and blob.is_file() and os.access(blob, os.R_OK):
            return blob
    return None


def manifest_path(model: str) -> Path | None:
    """``[host/][namespace/]model[:tag]`` as a path below the manifests; None for what is no such name, so that nothing
    else becomes part of a path."""
    *before, last = model.split("/")
    name, _, tag = last.partition(":")
    namespace = before.pop() if before else "library"
    host = "/".join(before) if before else "registry.ollama.ai"
    parts = (namespace, name, tag or "latest")
    if not _HOST.fullmatch(host) or not all(_PART.fullmatch(part) for part in parts):
        return None
    return Path(host, *parts)


def _folders(environment: Mapping[str, str]) -> list[Path]:
    """The folder that a person may have chosen, their own, and that of the service on Linux."""
    chosen = environment.get("OLLAMA_MODELS")
    own = [Path.home() / ".ollama" / "models", Path("/usr/share/ollama/.ollama/models")]
    return [Path(chosen), *own] if chosen else own


def _weights_digest(manifest: Path) -> str | None:
    try:
        with manifest.open("rb") as file:
            layers = orjson.loads(file.read(LARGEST_MANIFEST_BYTES))["layers"]
        digests = [layer["digest"] for layer in layers if layer["mediaType"] == WEIGHTS]
        match = _DIGEST.fullmatch(digests[0]) if digests else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return match.group(1) if match else None
