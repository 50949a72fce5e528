"""Writes the settings into the extension's manifest: ``python -m ullage.settings_manifest [--check] package.json``.

VS Code knows settings by their whole path, so the tree of the schema is laid flat, in one group for each branch of the
root. The manifest's first group is the extension's own and stays as it stands there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ullage.generated import write_or_check
from ullage.settings_schema import Schema, as_text, schema

SECTION = "ullage"
SCOPES = {"machine": "machine", "resource": "window"}
"""What a workspace may set holds for its whole window: the server asks for one tree. A single folder has its file."""


def main(arguments: list[str]) -> int:
    return write_or_check(arguments, "ullage.settings_manifest", manifest)


def manifest(file: Path) -> str:
    """The manifest with the settings as they are now; all else is as it stands in the file."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    own = found["contributes"]["configuration"][0]
    found["contributes"]["configuration"] = [own, *_groups(schema())]
    return as_text(found)


def _groups(tree: Schema) -> Iterator[Schema]:
    alone = {name: node for name, node in tree["properties"].items() if not _is_branch(node)}
    for name, node in tree["properties"].items():
        if _is_branch(node):
            yield _group(name, dict(_leaves(node, f"{SECTION}.{name}")))
    if alone:
        yield _group("more", {f"{SECTION}.{name}": _setting(node) for name, node in alone.items()})


def _group(name: str, settings: Schema) -> Schema:
    ordered = {path: setting | {"order": place} for place, (path, setting) in enumerate(settings.items())}
    return {"title": name.capitalize(), "properties": ordered}


def _leaves(branch: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    for name, node in branch["properties"].items():
        if _is_branch(node):
            yield from _leaves(node, f"{path}.{name}")
        else:
            yield f"{path}.{name}", _setting(node)


def _setting(leaf: Schema) -> Schema:
    kept = {key: value for key, value in leaf.items() if not key.startswith("x-ullage-")}
    return kept | {"scope": SCOPES[leaf["x-ullage-scope"]]}


def _is_branch(node: Schema) -> bool:
    return "x-ullage-scope" not in node and "properties" in node


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
