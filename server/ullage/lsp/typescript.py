"""The protocol's classes written as TypeScript, in the form in which they travel."""

from __future__ import annotations

import inspect
import re
import textwrap
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, Union

import attrs
import orjson

from ullage import events, settings
from ullage.contexts import values
from ullage.conversation import messages, operations, usage
from ullage.lsp.encode import encode
from ullage.settings import camel

WIDTH = 116

ALIASES: dict[Any, str] = {
    value: name
    for module in (settings, messages, operations, usage, events, values)
    for name, value in vars(module).items()
    if typing.get_origin(value) is Literal
}
"""The names under which the project knows its sets of words."""

_PRIMITIVES: dict[Any, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    types.NoneType: "null",
    Any: "unknown",
    object: "unknown",
}


def interface(kind: type) -> str:
    """One class. A field is optional where it may be left out: of params by the client, of results by the server."""
    base = next((parent for parent in kind.__mro__[1:] if attrs.has(parent)), None)
    extends = f" extends {base.__name__}" if base else ""
    lines = [_field(kind, field) for field in attrs.fields(kind) if not field.inherited]
    return "\n".join([*_comment(kind), f"interface {kind.__name__}{extends} {{", *lines, "}"])


def alias(words: Any) -> str:
    text = f"type {ALIASES[words]} = {_union(words)};"
    return "\n".join(textwrap.wrap(text, WIDTH, subsequent_indent="  "))


def spelled(kind: Any) -> str:
    """A type as TypeScript writes it; classes and known sets of words by their names."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in ALIASES:
        return ALIASES[kind]
    if origin is Literal:
        return _union(kind)
    if origin in (Union, types.UnionType):
        return " | ".join(spelled(argument) for argument in arguments)
    if origin in (list, tuple):
        item = spelled(arguments[0])
        return f"({item})[]" if " " in item else f"{item}[]"
    if origin is dict:
        return "object"
    return _PRIMITIVES[kind] if kind in _PRIMITIVES else str(kind.__name__)


def mentioned(kind: Any) -> Iterator[Any]:
    """The classes and named sets of words that a type is made of, itself first."""
    if kind in ALIASES:
        yield kind
    elif attrs.has(kind):
        yield kind
        for hint in typing.get_type_hints(kind).values():
            yield from mentioned(hint)
    else:
        for argument in typing.get_args(kind):
            yield from mentioned(argument)


def prose(text: str) -> str:
    """A docstring for readers of the protocol: one paragraph, names as they travel."""
    joined = re.sub(r"\bNone\b", "``null``", " ".join(text.split()))
    return re.sub(r"``+([^`]+)``+", lambda match: f"`{_wire_name(match[1])}`", joined)


def _wire_name(code: str) -> str:
    return re.sub(r"\b[a-z]+(?:_[a-z]+)+\b", lambda match: camel(match[0]), code)


def _field(owner: type, field: attrs.Attribute[Any]) -> str:
    hint = typing.get_type_hints(owner)[field.name]
    optional = field.default is not attrs.NOTHING
    if optional and field.default is None:
        hint = Union[tuple(part for part in typing.get_args(hint) if part is not types.NoneType)]  # noqa: UP007  # built at run time
    line = f"  {camel(field.name)}{'?' if optional else ''}: {spelled(hint)};"
    note = "; ".join(part for part in (_bounds(field), _default(field)) if part)
    return f"{line}  // {note}" if note else line


def _bounds(field: attrs.Attribute[Any]) -> str | None:
    if "least" not in field.metadata:
        return None
    return f"{field.metadata['least']:,} to {field.metadata['most']:,}"


def _default(field: attrs.Attribute[Any]) -> str | None:
    if field.default is None or field.default is attrs.NOTHING:
        return None
    factory = getattr(field.default, "factory", None)
    value = orjson.loads(encode(factory() if factory else field.default))
    return f"{orjson.dumps(value).decode()} when left out"


def _comment(kind: type) -> list[str]:
    if not kind.__dict__.get("__doc__"):
        return []
    text = prose(inspect.cleandoc(kind.__doc__ or ""))
    return textwrap.wrap(text, WIDTH, initial_indent="// ", subsequent_indent="// ")


def _union(words: Any) -> str:
    return " | ".join(f'"{word}"' for word in typing.get_args(words))
