"""Reads a model's metadata as it is written in a GGUF header, and believes none of it.

The keys may come out of a file or a server's reply: every value is held against its type and a bound far above what any
model has, and a value that makes no sense is refused by its key instead of becoming a wrong number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from ullage.errors import InvalidArgument

MAX_NAME = 64
_MISSING = object()


@frozen
class Metadata:
    """One model's keys. ``whole("block_count", 1, 1024)`` reads ``<architecture>.block_count``; getters answer None
    for a key that is not there, the ``required_`` ones refuse. All raise ``InvalidArgument`` with the key's path."""

    values: Mapping[str, object]
    architecture: str

    def key(self, name: str) -> str:
        return f"{self.architecture}.{name}"

    def whole(self, name: str, least: int, most: int) -> int | None:
        """A whole number within bounds."""
        key = self.key(name)
        value = self.values.get(key, _MISSING)
        return None if value is _MISSING else _whole(key, value, least, most)

    def required_whole(self, name: str, least: int, most: int) -> int:
        value = self.whole(name, least, most)
        if value is None:
            raise missing(self.key(name))
        return value

    def per_layer(self, name: str, least: int, most: int, lengths: Sequence[int]) -> int | tuple[int, ...] | None:
        """A whole number for all layers, or a list with one for each; ``lengths`` are those that a list may have."""
        key = self.key(name)
        value = self.values.get(key, _MISSING)
        if isinstance(value, list | tuple):
            if len(value) not in lengths:
                raise refused(key, f"has {len(value)} entries where the model has {lengths[0]} layers")
            return tuple(_whole(key, entry, least, most) for entry in value)
        return None if value is _MISSING else _whole(key, value, least, most)

    def flags(self, name: str, lengths: Sequence[int]) -> tuple[bool, ...] | None:
        """A list with true or false (or 1 and 0) for each layer; None where it is no list."""
        key = self.key(name)
        value = self.values.get(key)
        if not isinstance(value, list | tuple):
            return None
        if len(value) not in lengths:
            raise refused(key, f"has {len(value)} entries where the model has {lengths[0]} layers")
        return tuple(entry if isinstance(entry, bool) else bool(_whole(key, entry, 0, 1)) for entry in value)


def read_metadata(values: Mapping[str, object]) -> Metadata:
    """The keys with the name of their architecture."""
    key = "general.architecture"
    if key not in values:
        raise missing(key)
    name = values[key]
    if not isinstance(name, str):
        raise refused(key, "must be a text")
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise refused(key, "is no architecture's name")
    return Metadata(values, name)


def missing(key: str) -> InvalidArgument:
    return InvalidArgument(f"The model's metadata has no {key}. Give all keys of its GGUF header.", _path(key))


def refused(key: str, reason: str) -> InvalidArgument:
    """``reason`` continues the sentence that the key begins."""
    return InvalidArgument(f"The model's {key} {reason}. The file may be damaged.", _path(key))


def whole_at(values: Mapping[str, object], key: str, least: int, most: int) -> int | None:
    """The whole number under a full key, None where it is not there."""
    value = values.get(key, _MISSING)
    return None if value is _MISSING else _whole(key, value, least, most)


def _whole(key: str, value: object, least: int, most: int) -> int:
    if type(value) is float and value.is_integer():  # JSON writers may put 32.0; infinities and NaN are no integers
        value = int(value)
    if type(value) is not int:
        raise refused(key, "must be a whole number")
    if not least <= value <= most:
        raise refused(key, f"must be between {least:,} and {most:,}")
    return value


def _path(key: str) -> str:
    return f'metadata["{key}"]'
