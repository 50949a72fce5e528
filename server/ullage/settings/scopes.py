"""Who may set what: a workspace's file comes with a cloned repository, and several of them can be open at once."""

from __future__ import annotations

from typing import Literal

Scope = Literal["machine", "resource"]
"""``machine``: the person's own settings alone; ``resource``: a workspace's file, too."""

FROM_REPOSITORY = (
    "context.targetSize",
    "context.minSize",
    "context.maxSize",
    "context.autoSize",
    "context.kvQuantization",
    "context.reserveOutput",
    "context.compression",
)
"""What a cloned repository's own file may set: sizes and compression. Servers, executables, model files, keys, storage,
snapshots, the memory that stays free and how tokens are counted are the person's own, so that a repository can neither
redirect words, nor fill a card, nor do away with the ways back."""

OF_ONE_CONTEXT = ("context.reserveOutput", "context.compression")
"""What each context can have of its own. All else belongs to a server and its model, which all contexts share."""


def scope(path: str) -> Scope:
    return "resource" if _lies_in(path, FROM_REPOSITORY) else "machine"


def why_refused(path: str, *, alone: bool) -> str | None:
    """Why a workspace's file may not set this, None where it may; ``alone``: its folder is the only one open."""
    if scope(path) == "machine":
        return "only your own settings may set this, not a workspace's file"
    if not alone and not _lies_in(path, OF_ONE_CONTEXT):
        return "the open folders share this, so it counts only where this folder is the only one open"
    return None


def _lies_in(path: str, branches: tuple[str, ...]) -> bool:
    return any(path == branch or path.startswith(branch + ".") for branch in branches)
