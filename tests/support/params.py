"""Params of every request, good and bad, made of the types themselves: a new request is there as soon as it exists."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, Union

import attrs

from ullage.settings import camel

WRONG: dict[type, tuple[Any, ...]] = {
    str: (None, 1, True, ["x"], {"x": 1}, 2**63),
    bool: (None, 1, 0, "true", [], 2**63),
    int: (None, 1.5, 2.0, "1", True, [1], 2**53, 2**63, -(2**63)),
    float: (None, "1", True, [1.0], 2**63, 1e300),
    list: (None, "x", {}, 1, 2**63),
    dict: (None, "x", [], 1, 2**63),
}


def bare(hint: Any) -> Any:
    """A hint without its None, which params only have to say that a field may be left out."""
    if typing.get_origin(hint) in (Union, types.UnionType):
        kinds = tuple(each for each in typing.get_args(hint) if each is not types.NoneType)
        return Union[kinds]  # noqa: UP007  # built at run time
    return hint


def valid(hint: Any, field: Any = None) -> Any:
    hint = bare(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return arguments[0]
    if origin is list:
        return [valid(arguments[0])]
    if origin is dict:
        return {"type": "object"}
    if origin is Union:
        return "token"
    if attrs.has(hint):
        hints = typing.get_type_hints(hint)
        return {camel(each.name): valid(hints[each.name], each) for each in attrs.fields(hint)}
    return {str: "text", bool: True, int: 1, float: 1.0}[hint]


def wrong(hint: Any, field: Any) -> Iterator[Any]:
    hint = bare(hint)
    origin = typing.get_origin(hint)
    if origin is Literal:
        yield from (*WRONG[str], "no such word")
    elif origin is Union:
        yield from (None, True, 1.5, [], {}, 2**53, 2**63)
    elif attrs.has(hint):
        yield from WRONG[dict]
    else:
        yield from WRONG[origin or hint]
    if field.metadata.get("least") is not None:
        yield from (field.metadata["least"] - 1, field.metadata["most"] + 1)


def replaced(params: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """``params`` with the value at ``path``; Ellipsis takes the field away."""
    copy = json.loads(json.dumps(params))
    place = copy
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return copy


def spelled(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def fields(kind: type, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any, Any]]:
    """Every field of a class, and of the classes inside of it: its path, its type, its attribute."""
    for field in attrs.fields(kind):
        hint = typing.get_type_hints(kind)[field.name]
        here = (*path, camel(field.name))
        yield here, hint, field
        inner = bare(hint)
        if typing.get_origin(inner) is list:
            inner, here = typing.get_args(inner)[0], (*here, 0)
        if attrs.has(inner):
            yield from fields(inner, here)


def cases(kind: type) -> Iterator[tuple[str, Any]]:
    """Every bad variant of the params with the path that its error must name."""
    good = valid(kind)
    for path, hint, field in fields(kind):
        if field.default is attrs.NOTHING:
            yield spelled(path), replaced(good, path, ...)
        for value in wrong(hint, field):
            yield spelled(path), replaced(good, path, value)
        element = bare(hint)
        if typing.get_origin(element) is list:
            for value in wrong(typing.get_args(element)[0], field):
                yield spelled((*path, 0)), replaced(good, path, [value])
