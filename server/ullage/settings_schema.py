"""Writes the JSON Schema of the settings: ``python -m ullage.settings_schema [--check] settings.schema.json``.

It keeps to what a VS Code manifest understands of draft 2020-12, and takes everything from the tree of settings.
``x-ullage-scope`` says who may set a leaf: ``machine``, the person alone; ``resource``, a workspace's file, too. Rules
between two settings stand in their descriptions only.
"""

from __future__ import annotations

import json
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from ullage.generated import write_or_check
from ullage.settings.fields import attributes, default_of, hints, is_branch
from ullage.settings.scopes import scope
from ullage.settings.tree import Settings

Schema: typing.TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
COMMENT = "Written by `make format` from server/ullage/settings; change the tree there."

_TYPES: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}


def main(arguments: list[str]) -> int:
    return write_or_check(arguments, "ullage.settings_schema", lambda _: as_text(schema()))


def as_text(value: Schema) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


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
