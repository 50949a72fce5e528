"""A checker for the part of JSON Schema that the settings' schema uses; any other keyword is an error."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

ANNOTATIONS = {"$schema", "$comment", "title", "description", "default", "x-ullage-scope"}
ASSERTIONS = {"type", "enum", "minimum", "maximum", "properties", "additionalProperties"}


def faults(schema: Mapping[str, Any], value: Any, path: str = "") -> Iterator[str]:
    """What is wrong with a value, each fault by its path."""
    assert schema.keys() <= ANNOTATIONS | ASSERTIONS
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(_is(kind, value) for kind in kinds):
        yield f"{path}: not {kinds}"
        return
    if value is None:
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: not in {schema['enum']}"
    if "minimum" in schema and value < schema["minimum"]:
        yield f"{path}: under {schema['minimum']}"
    if "maximum" in schema and value > schema["maximum"]:
        yield f"{path}: over {schema['maximum']}"
    if isinstance(value, Mapping):
        yield from _of_members(schema, value, path)


def _of_members(schema: Mapping[str, Any], value: Mapping[str, Any], path: str) -> Iterator[str]:
    known, other = schema.get("properties", {}), schema["additionalProperties"]
    for key, entry in value.items():
        if key in known:
            yield from faults(known[key], entry, f"{path}.{key}")
        elif other is False:
            yield f"{path}.{key}: unknown"
        else:
            yield from faults(other, entry, f"{path}.{key}")


def _is(kind: str, value: Any) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, int | float):
        return math.isfinite(value) and (kind == "number" or (kind == "integer" and value == int(value)))
    return kind == {str: "string", type(None): "null"}.get(type(value), "object" if isinstance(value, Mapping) else "")
