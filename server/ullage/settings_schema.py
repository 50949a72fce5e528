"""Writes the JSON Schema of the settings: ``python -m ullage.settings_schema [--check] settings.schema.json``.

It keeps to what a VS Code manifest understands of draft 2020-12, and takes everything from the tree of settings.
``x-ullage-scope`` says who may set a leaf: ``machine``, the person alone; ``resource``, a workspace's file, too. Rules
between two settings stand in their descriptions only.
"""

from __future__ import annotations

import argparse
import json
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from ullage.settings.fields import attributes, default_of, hints, is_branch
from ullage.settings.scopes import scope
from ullage.settings.tree import Settings

Schema: typing.TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
COMMENT = "Written by `make format` from server/ullage/settings; change the tree there."

_TYPES: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m ullage.settings_schema", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where the file is stale")
    options = parser.parse_args(arguments)
    text = json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
    if not options.check:
        options.file.write_text(text, encoding="utf-8")
        return 0
    if options.file.exists() and options.file.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{options.file} does not say what the settings say; run `make format` to write it anew.\n")
    return 1


def schema() -> Schema:
    """The whole tree, as it stands in ``config.yaml`` and in an editor's settings under ``ullage``."""
    head = {"$schema": DIALECT, "$comment": COMMENT, "title": "Settings of Ullage"}
    return head | _branch(Settings, "Every setting may be left out, and has its default then.", "")


def _branch(kind: type, description: str, prefix: str) -> Schema:
    properties = {name: _property(kind, name, prefix + name) for name in attributes(kind)}
    return {"type": "object", "description": description, "additionalProperties": False, "properties": properties}


def _property(owner: type, name: str, path: str) -> Schema:
    hint, attribute = hints(owner)[name], attributes(owner)[name]
    if is_branch(hint):
        return _branch(hint, attribute.metadata["description"], path + ".")
    return _leaf(hint, attribute) | {"x-ullage-scope": scope(path)}


def _leaf(hint: Any, attribute: attrs.Attribute[Any]) -> Schema:
    shape = _shape(hint, attribute.metadata)
    return {"description": attribute.metadata["description"], **shape, "default": default_of(attribute)}


def _shape(hint: Any, bounds: Mapping[str, Any]) -> Schema:
    """What the values look like."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        shape = _shape(arguments[0], bounds)
        return shape | {"type": [shape["type"], "null"]}
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _shape(arguments[1], bounds)}
    if is_branch(hint):
        return _entry(hint)
    ends = {"minimum": bounds.get("least"), "maximum": bounds.get("most")}
    return {"type": _TYPES[hint], **{key: end for key, end in ends.items() if end is not None}}


def _entry(kind: type) -> Schema:
    """One of the values under names of a person's choice."""
    properties = {name: _leaf(hints(kind)[name], attribute) for name, attribute in attributes(kind).items()}
    return {"type": "object", "additionalProperties": False, "properties": properties}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
