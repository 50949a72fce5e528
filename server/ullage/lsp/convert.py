"""Params out of JSON, strictly: no coercion but from a whole number to a float, and the path of what is refused.

Our own classes take no ``null`` for a field that may be left out; those of lsprotocol do, as the specification says.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Literal, Union

import attrs
import cattrs
from cattrs import AttributeValidationNote, ClassValidationError, IterableValidationNote
from cattrs.gen import make_dict_structure_fn, override
from lsprotocol.converters import get_converter

from ullage.errors import InvalidArgument, NotSupported, UllageError
from ullage.lsp.types import LARGEST_INTEGER, NewMessage
from ullage.settings import camel

Hook = Callable[[Any, Any], Any]

DEEPEST_OBJECT = 100
"""Levels that a free-form object may nest: encoders downstream give up at some 250."""


class _Refused(Exception):
    """Why a value is not taken, in words that follow its path."""


def make_converter() -> cattrs.Converter:
    """A converter for our params and those of lsprotocol; use it through `structure`."""
    converter = get_converter(cattrs.Converter())
    converter.register_structure_hook_factory(attrs.has, lambda kind: _object_hook(kind, converter))
    converter.register_structure_hook_factory(_is_list, lambda kind: _list_hook(kind, converter))
    converter.register_structure_hook_factory(_is_literal, _literal_hook)
    for kind, hook in ((str, _text), (bool, _truth), (int, _whole), (float, _number)):
        converter.register_structure_hook(kind, hook)
    converter.register_structure_hook_func(lambda kind: kind == dict[str, Any], _free_form)
    converter.register_structure_hook_func(lambda kind: kind == int | str, _token)
    converter.register_structure_hook_func(lambda kind: kind == int | str | None, _token_or_none)
    return converter


def structure(converter: cattrs.Converter, value: Any, kind: Any) -> Any:
    """``value`` as ``kind``.

    Raises `InvalidArgument` with the path of the first field that does not fit, and `NotSupported` for images.
    """
    try:
        return converter.structure(value, kind)
    except Exception as error:
        path, cause = _first_failure(error)
        if isinstance(cause, UllageError):
            raise cause from None
        reason = str(cause) if isinstance(cause, _Refused) else "is not valid"
        reason = "is missing" if isinstance(cause, KeyError) else reason
        raise InvalidArgument(f"{path} {reason}.", path) from None


def _first_failure(error: BaseException) -> tuple[str, BaseException]:
    """The path to the first thing that was refused, as the client wrote it, and why it was."""
    path = ""
    while True:
        for note in reversed(getattr(error, "__notes__", ())):
            if isinstance(note, AttributeValidationNote):
                path += "." + camel(note.name)
            elif isinstance(note, IterableValidationNote):
                path += f"[{note.index}]"
        if not isinstance(error, ClassValidationError):
            return path.lstrip(".") or "params", error
        error = error.exceptions[0]


def _object_hook(kind: type, converter: cattrs.Converter) -> Hook:
    attrs.resolve_types(kind)
    ours = not kind.__module__.startswith("lsprotocol.")
    overrides = {
        field.name: override(
            rename=camel(field.name), struct_hook=_field_hook(kind, field, converter) if ours else None
        )
        for field in attrs.fields(kind)
    }
    fill: Hook = make_dict_structure_fn(kind, converter, **overrides)  # type: ignore[arg-type]  # overrides only, no flags

    def hook(value: Any, kind: Any) -> Any:
        if type(value) is not dict:
            raise _Refused("must be an object")
        return fill(value, kind)

    return hook


def _field_hook(owner: type, field: attrs.Attribute[Any], converter: cattrs.Converter) -> Hook:
    """How one field of our own is read: without ``null`` where it may be left out, and within its bounds."""
    if owner is NewMessage and field.name == "content":
        return _content
    kind = _without_none(field.type) if field.default is None else field.type
    inner: Hook = converter.get_structure_hook(kind)
    least, most = field.metadata.get("least"), field.metadata.get("most")

    def hook(value: Any, _: Any) -> Any:
        taken = inner(value, kind)
        if least is not None and not least <= taken <= most:
            raise _Refused(f"must be from {least} to {most}")
        return taken

    return hook


def _without_none(kind: Any) -> Any:
    if typing.get_origin(kind) not in (Union, types.UnionType):
        return kind
    return Union[tuple(member for member in typing.get_args(kind) if member is not types.NoneType)]  # noqa: UP007  # built at run time


def _list_hook(kind: Any, converter: cattrs.Converter) -> Hook:
    """Stops at the first element that does not fit: a list of a million bad ones is one error, not a million."""
    (item,) = typing.get_args(kind)
    inner: Hook = converter.get_structure_hook(item)

    def hook(value: Any, _: Any) -> Any:
        if type(value) is not list:
            raise _Refused("must be a list")
        taken = []
        for index, element in enumerate(value):
            try:
                taken.append(inner(element, item))
            except Exception as error:
                error.add_note(IterableValidationNote("in a list", index, item))
                raise
        return taken

    return hook


def _literal_hook(kind: Any) -> Hook:
    words = typing.get_args(kind)

    def hook(value: Any, _: Any) -> Any:
        if type(value) is not str or value not in words:
            raise _Refused("must be one of " + ", ".join(map(str, words)))
        return value

    return hook


def _is_list(kind: Any) -> bool:
    return typing.get_origin(kind) in (list, Sequence) and len(typing.get_args(kind)) == 1


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _is_literal(kind: Any) -> bool:
    return typing.get_origin(kind) is Literal


def _text(value: Any, kind: Any) -> Any:
    if type(value) is not str:
        raise _Refused("must be text")
    return _member(value, kind)


def _truth(value: Any, _: Any) -> bool:
    if type(value) is not bool:
        raise _Refused("must be true or false")
    return value


def _whole(value: Any, kind: Any) -> Any:
    if type(value) is not int:
        raise _Refused("must be a whole number")
    if abs(value) > LARGEST_INTEGER:
        raise _Refused("must be at most 2^53 - 1 in size")
    return _member(value, kind)


def _member(value: Any, kind: Any) -> Any:
    """``value``, or the member that it names where ``kind`` is an enumeration of lsprotocol (all are of int or str).

    A value that the enumeration lacks stays as it is, since newer clients name newer ones in their capabilities.
    """
    try:
        return kind(value) if _is_enum(kind) else value
    except ValueError:
        return value


def _number(value: Any, _: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise _Refused("must be a number")
    if abs(value) > LARGEST_INTEGER:
        raise _Refused("must be at most 2^53 - 1 in size")
    return float(value)


def _token(value: Any, _: Any) -> Any:
    if type(value) not in (int, str):
        raise _Refused("must be a whole number or text")
    return _whole(value, int) if type(value) is int else _text(value, str)


def _token_or_none(value: Any, kind: Any) -> Any:
    return None if value is None else _token(value, kind)


def _free_form(value: Any, _: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise _Refused("must be an object")
    level: list[Any] = [value]
    for _depth in range(DEEPEST_OBJECT):
        level = [inner for outer in level for inner in _children(outer)]
        if not level:
            return value
    raise _Refused(f"must nest at most {DEEPEST_OBJECT} levels")


def _children(value: Any) -> Sequence[Any]:
    if type(value) is dict:
        return list(value.values())
    return value if type(value) is list else ()


def _content(value: Any, _: Any) -> Any:
    if type(value) is list and any(_is_image(part) for part in value):
        raise NotSupported("Images are not supported: send the message's content as text.")
    return _text(value, str)


def _is_image(part: Any) -> bool:
    """Whether a part of a list is an image in the spelling of OpenAI, Anthropic or Ollama's clients."""
    return type(part) is dict and ("image" in str(part.get("type")) or "image_url" in part)
