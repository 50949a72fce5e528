"""Values to JSON: attrs classes in camelCase, each by a plan that is made once.

A field without a default is always sent, ``None`` as ``null``; one with a default is left out while it equals it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any

import attrs
import orjson
from lsprotocol.types import is_special_property

from ullage.settings import camel


def encode(value: Any) -> bytes:
    """``value`` as JSON text in UTF-8.

    Raises TypeError (orjson's JSONEncodeError) for what JSON can't hold: lone surrogates, integers over 64 bits, other
    classes than those of attrs.
    """
    return orjson.dumps(value, default=_plain)


def _plain(value: Any) -> dict[str, Any]:
    """One level of an attrs value; orjson asks again for the values inside."""
    kind: Any = type(value)
    return _plan(kind)(value)


@cache
def _plan(kind: Any) -> Callable[[Any], dict[str, Any]]:
    if not attrs.has(kind):
        raise TypeError(f"{kind.__name__} has no form in JSON")
    always = [field.name for field in attrs.fields(kind) if _is_always_sent(kind, field)]
    names = [camel(name) for name in always]
    optional = [(camel(f.name), f.name, _default(f)) for f in attrs.fields(kind) if f.name not in always]

    def plain(value: Any) -> dict[str, Any]:
        sent = dict(zip(names, _values(value), strict=True))
        for name, attribute, default in optional:
            entry = getattr(value, attribute)
            if entry != default:
                sent[name] = entry
        return sent

    _values = _getter(always)
    return plain


def _is_always_sent(kind: type, field: attrs.Attribute[Any]) -> bool:
    if field.default is attrs.NOTHING:
        return True
    return kind.__module__.startswith("lsprotocol.") and is_special_property(kind, field.name)


def _getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)  # answers a tuple only for several names
    return lambda value: tuple(getattr(value, name) for name in names)


def _default(field: attrs.Attribute[Any]) -> Any:
    factory = getattr(field.default, "factory", None)
    return factory() if factory else field.default
