"""Folders, and the contexts that belong to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ullage.cli.framing import Json


def absolute(folder: Path) -> Path:
    """One spelling: home expanded, links followed."""
    return folder.expanduser().resolve()


def folder_of(uri: str) -> Path | None:
    """The folder that a file URI names; None for other schemes."""
    parts = urlsplit(uri)
    if parts.scheme != "file":
        return None
    return Path(url2pathname(parts.path)).resolve()


def contexts_of(contexts: Sequence[Json], folder: Path) -> list[Json]:
    """Those of the folder, however an editor spelled its URI; the one used last first."""
    own = [context for context in contexts if folder_of(context["workspaceUri"]) == folder]
    return sorted(own, key=lambda context: int(context["lastUsedAt"]), reverse=True)


def named(contexts: Sequence[Json], name: str) -> Json | None:
    return next((context for context in contexts if context["name"] == name), None)
