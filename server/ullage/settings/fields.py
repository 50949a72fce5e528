"""How a class of settings says what each of its fields is for and which values it takes, and how that is read."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from functools import cache
from typing import Any, TypeGuard

import attrs
from attrs import Factory


def leaf(default: Any, description: str, *, least: float | None = None, most: float | None = None) -> Any:
    """One value. ``description`` is a sentence for a person in a settings editor; the bounds are part of the range."""
    metadata = {"description": description, "least": least, "most": most}
    return attrs.field(default=Factory(dict) if isinstance(default, dict) else default, metadata=metadata)


def branch(kind: type, description: str) -> Any:
    """A class of settings below another one, with its own defaults."""
    return attrs.field(default=kind(), metadata={"description": description})


def flatten(tree: Any, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every leaf of a settings tree with its dotted path."""
    for attribute in attrs.fields(type(tree)):
        path = prefix + camel(attribute.name)
        value = getattr(tree, attribute.name)
        if attrs.has(type(value)):
            yield from flatten(value, path + ".")
        else:
            yield path, value


def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


@cache
def hints(kind: Any) -> dict[str, Any]:
    """The types of a class's fields by their camelCase names."""
    return {camel(name): hint for name, hint in typing.get_type_hints(kind).items()}


@cache
def attributes(kind: Any) -> dict[str, attrs.Attribute[Any]]:
    """The fields themselves by their camelCase names."""
    return {camel(attribute.name): attribute for attribute in attrs.fields(kind)}


def is_branch(hint: Any) -> TypeGuard[type]:
    return isinstance(hint, type) and attrs.has(hint)


def default_of(attribute: attrs.Attribute[Any]) -> Any:
    factory = getattr(attribute.default, "factory", None)
    return factory() if factory else attribute.default


def get(tree: Any, path: str) -> Any:
    """The value at a dotted path that there is."""
    for part in path.split("."):
        tree = getattr(tree, _snake(tree, part))
    return tree


def put(tree: Any, path: str, value: Any) -> Any:
    """The tree with another value at a dotted path that there is."""
    head, _, rest = path.partition(".")
    name = _snake(tree, head)
    return attrs.evolve(tree, **{name: put(getattr(tree, name), rest, value) if rest else value})


def _snake(tree: Any, name: str) -> str:
    kind: Any = type(tree)
    return attributes(kind)[name].name
