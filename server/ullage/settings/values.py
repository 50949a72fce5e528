"""Whether a value is one that its setting takes. Nothing is coerced but a whole number to a float."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from ullage.settings.fields import attributes, hints

LONGEST_SHOWN = 64

_WORDS: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def checked(kind: Any, value: Any, bounds: Mapping[Any, Any]) -> Any:
    """``value`` as ``kind``, or ValueError with the reason, in words that follow the setting's name."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return None if value is None else checked(arguments[0], value, bounds)
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            raise ValueError("must be one of " + ", ".join(arguments))
        return value
    if origin is dict:
        return _table(arguments[1], value, bounds)
    if attrs.has(kind):
        return _entry(kind, value)
    return _scalar(kind, value, bounds)


def printable(name: str) -> str:
    """A name that a source chose, in a form that can be shown: short, and of characters that print."""
    shown = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name[:LONGEST_SHOWN]
    )
    return shown + ("…" if len(name) > LONGEST_SHOWN else "")


def _table(kind: Any, value: Any, bounds: Mapping[Any, Any]) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) and _is_unicode(key) for key in value):
        raise ValueError("must be a table of names")
    table = {}
    for key, entry in value.items():
        try:
            table[key] = checked(kind, entry, bounds)
        except ValueError as error:
            raise ValueError(f"in “{printable(key)}”: {error}") from error
    return table


def _entry(kind: type, value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError("must be a table")
    known = attributes(kind)
    fields = {}
    for key, entry in value.items():
        if key not in known:
            raise ValueError(f"there is no “{printable(str(key))}” here")
        fields[known[key].name] = checked(hints(kind)[key], entry, known[key].metadata)
    return kind(**fields)


def _scalar(kind: Any, value: Any, bounds: Mapping[Any, Any]) -> Any:
    if kind is float and type(value) is int:
        value = float(value) if abs(value) < 2**63 else math.inf
    if type(value) is not kind or (kind is str and not _is_unicode(value)):
        raise ValueError(f"must be {_WORDS[kind]}")
    if kind in (int, float):
        least, most = bounds.get("least"), bounds.get("most")
        if not math.isfinite(value) or (least is not None and value < least) or (most is not None and value > most):
            raise ValueError("must be " + _range(least, most))
    return value


def _range(least: float | None, most: float | None) -> str:
    if least is None:
        return "a finite number"
    return f"a finite number, at least {least:,}" if most is None else f"between {least:,} and {most:,}"


def _is_unicode(text: str) -> bool:
    """Half of a surrogate pair is a character that can't be stored or sent."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
