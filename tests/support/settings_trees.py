"""Random settings: valid values for each leaf, and the trees that sources make of them."""

from __future__ import annotations

import types
import typing
from typing import Any, Literal

import attrs
from hypothesis import strategies as st

from ullage.settings import Mode, Settings, flatten
from ullage.settings.fields import attributes, hints, is_branch

MODES = st.fixed_dictionaries({}, optional={"systemPrompt": st.none() | st.text(), "model": st.none() | st.text()})

PATHS = tuple(path for path, _ in flatten(Settings()))


def field(path: str) -> tuple[Any, attrs.Attribute[Any]]:
    """The type of a leaf, and its field."""
    *branches, name = path.split(".")
    kind: Any = Settings
    for part in branches:
        kind = hints(kind)[part]
        assert is_branch(kind)
    return hints(kind)[name], attributes(kind)[name]


def valid(path: str) -> st.SearchStrategy[Any]:
    """Values that the leaf takes."""
    hint, attribute = field(path)
    return _values(hint, attribute.metadata)


def tree(values: dict[str, Any]) -> dict[str, Any]:
    """Values by their paths as tables in tables."""
    made: dict[str, Any] = {}
    for path, value in values.items():
        *branches, name = path.split(".")
        table = made
        for part in branches:
            table = table.setdefault(part, {})
        table[name] = value
    return made


def written(value: object) -> object:
    """A leaf of the settings as a source writes it."""
    if isinstance(value, dict):
        return {name: written(entry) for name, entry in value.items()}
    return {"systemPrompt": value.system_prompt, "model": value.model} if isinstance(value, Mode) else value


def _values(hint: Any, bounds: Any) -> st.SearchStrategy[Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return st.none() | _values(arguments[0], bounds)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is dict:
        return st.dictionaries(st.text(), _values(arguments[1], bounds), max_size=3)
    if hint is Mode:
        return MODES
    if hint is bool:
        return st.booleans()
    if hint is str:
        return st.text()
    if hint is int:
        return st.integers(bounds["least"], bounds["most"])
    return st.floats(bounds["least"], bounds["most"], allow_nan=False, allow_infinity=False)
