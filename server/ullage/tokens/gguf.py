"""The header of a GGUF model file: its metadata, read where it lies, and none of the weights.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little-endian). One walk finds
where every value is; arrays are decoded only when asked for. A file comes from anywhere, so no figure in it is
believed: every length is held against the bytes that are really there before anything is read or reserved.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from attrs import frozen

Scalar = int | float | bool | str

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_METADATA = 1 << 16
MAX_KEY_BYTES = 1 << 16
MAX_ITEMS = 1 << 24
MAX_DEPTH = 8

_STRING, _ARRAY, _BOOL = 8, 9, 7
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", _BOOL: "?", 10: "Q", 11: "q", 12: "d"}
_LAYOUTS = {type_: struct.Struct("<" + code) for type_, code in _NUMBERS.items()}
_LENGTH = struct.Struct("<Q")
_ARRAY_HEAD = struct.Struct("<IQ")
_FILE_HEAD = struct.Struct("<4sIQQ")
_TYPE = struct.Struct("<I")


class GgufError(ValueError):
    """The file is no GGUF file that can be read, or the value asked for has another type; says which key."""


@frozen
class _Place:
    """Where a value lies: its type and the offsets of its first byte and of the byte behind it."""

    type: int
    start: int
    end: int


class GgufHeader:
    """An open file's metadata. Close it, or use it in a ``with`` statement: the file stays mapped until then.

    ``tensor_count`` is the file's own claim; ``file_size`` is in bytes. Getters answer None for a key that is not there
    and raise ``GgufError`` for one whose value has another type.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._map = _map(path)
        self.file_size = len(self._map)
        try:
            self.version, self.tensor_count, count = self._file_head()
            self._places = self._walk(count)
        except BaseException:
            self._map.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def keys(self) -> Iterable[str]:
        return self._places.keys()

    def close(self) -> None:
        self._map.close()

    def value(self, key: str) -> Scalar | None:
        """A number, a truth value or a text."""
        place = self._places.get(key)
        if place is None:
            return None
        if place.type == _ARRAY:
            raise GgufError(f"{self.name}: {key} is a list where a single value is expected.")
        if place.type == _STRING:
            return _text(self._map[place.start + _LENGTH.size : place.end], f"{self.name}: {key}")
        number: int | float | bool = _LAYOUTS[place.type].unpack_from(self._map, place.start)[0]
        return number

    def text(self, key: str) -> str | None:
        value = self.value(key)
        if value is None or isinstance(value, str):
            return value
        raise GgufError(f"{self.name}: {key} is not a text.")

    def integer(self, key: str) -> int | None:
        value = self.value(key)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise GgufError(f"{self.name}: {key} is not a whole number.")

    def boolean(self, key: str) -> bool | None:
        value = self.value(key)
        if value is None or isinstance(value, bool):
            return value
        raise GgufError(f"{self.name}: {key} is neither true nor false.")

    def strings(self, key: str) -> list[bytes] | None:
        """A list of texts, in the bytes of the file: whether they are UTF-8 is for the caller to judge."""
        place = self._places.get(key)
        if place is None:
            return None
        item_type, count, start = self._array(key, place)
        if item_type != _STRING:
            raise GgufError(f"{self.name}: {key} is not a list of texts.")
        return list(self._strings(start, count))

    def numbers(self, key: str) -> array[int] | array[float] | None:
        """A list of numbers; truth values come as 0 and 1."""
        place = self._places.get(key)
        if place is None:
            return None
        item_type, count, start = self._array(key, place)
        if item_type not in _NUMBERS:
            raise GgufError(f"{self.name}: {key} is not a list of numbers.")
        code = "B" if item_type == _BOOL else _NUMBERS[item_type]
        return array(code, struct.unpack_from(f"<{count}{code}", self._map, start))

    def digest(self, keys: Iterable[str]) -> str:
        """SHA-256, in hexadecimal, of these keys and their values as they stand in the file."""
        digest = hashlib.sha256()
        for key in keys:
            place = self._places.get(key)
            digest.update(f"{key}\0{-1 if place is None else place.end - place.start}\0".encode())
            if place is not None:
                with memoryview(self._map) as view, view[place.start : place.end] as part:
                    digest.update(part)
        return digest.hexdigest()

    def _file_head(self) -> tuple[int, int, int]:
        self._require(0, _FILE_HEAD.size, "its first bytes")
        magic, version, tensors, count = _FILE_HEAD.unpack_from(self._map, 0)
        if magic != MAGIC:
            raise GgufError(f"{self.name} is not a GGUF file.")
        if version not in VERSIONS:
            raise GgufError(f"{self.name} has GGUF version {version}; versions 2 and 3, little-endian, can be read.")
        if count > MAX_METADATA:
            raise GgufError(f"{self.name} claims {count} metadata values, which is more than any model has.")
        return version, tensors, count

    def _walk(self, count: int) -> dict[str, _Place]:
        places: dict[str, _Place] = {}
        offset = _FILE_HEAD.size
        for number in range(count):
            where = f"the name of metadata value {number}"
            end = self._string_end(offset, where)
            if end - offset > MAX_KEY_BYTES:
                raise GgufError(f"{self.name}: {where} is longer than any name.")
            key = _text(self._map[offset + _LENGTH.size : end], f"{self.name}: {where}")
            if key in places:
                raise GgufError(f"{self.name}: {key!r} is there twice.")
            self._require(end, _TYPE.size, key)
            (type_,) = _TYPE.unpack_from(self._map, end)
            start = end + _TYPE.size
            offset = self._value_end(type_, start, key, 0)
            places[key] = _Place(type_, start, offset)
        return places

    def _value_end(self, type_: int, start: int, key: str, depth: int) -> int:
        if type_ in _LAYOUTS:
            return self._require(start, _LAYOUTS[type_].size, key)
        if type_ == _STRING:
            return self._string_end(start, key)
        if type_ != _ARRAY:
            raise GgufError(f"{self.name}: {key!r} has the unknown type {type_}.")
        if depth >= MAX_DEPTH:
            raise GgufError(f"{self.name}: {key!r} holds lists within lists too deep to be meant.")
        return self._array_end(start, key, depth)

    def _array_end(self, start: int, key: str, depth: int) -> int:
        offset = self._require(start, _ARRAY_HEAD.size, key)
        item_type, count = _ARRAY_HEAD.unpack_from(self._map, start)
        if count > MAX_ITEMS:
            raise GgufError(f"{self.name}: {key!r} claims {count} items, which is more than any model has.")
        if item_type in _LAYOUTS:
            return self._require(offset, count * _LAYOUTS[item_type].size, key)
        if item_type == _STRING:
            return self._strings_end(offset, count, key)
        for _ in range(count):
            offset = self._value_end(item_type, offset, key, depth + 1)
        return offset

    def _string_end(self, start: int, key: str) -> int:
        self._require(start, _LENGTH.size, key)
        (length,) = _LENGTH.unpack_from(self._map, start)
        return self._require(start + _LENGTH.size, length, key)

    def _strings_end(self, offset: int, count: int, key: str) -> int:
        """``_string_end`` many times over, without a call for each: vocabularies have hundreds of thousands."""
        length_at, data, last = _LENGTH.unpack_from, self._map, self.file_size - _LENGTH.size
        for _ in range(count):
            if offset > last:
                break
            offset += _LENGTH.size + length_at(data, offset)[0]
        else:
            return self._require(offset, 0, key)
        raise self._truncated(key)

    def _strings(self, offset: int, count: int) -> Iterator[bytes]:
        length_at, data = _LENGTH.unpack_from, self._map
        for _ in range(count):
            start = offset + _LENGTH.size
            offset = start + length_at(data, offset)[0]
            yield data[start:offset]

    def _array(self, key: str, place: _Place) -> tuple[int, int, int]:
        if place.type != _ARRAY:
            raise GgufError(f"{self.name}: {key} is a single value where a list is expected.")
        item_type, count = _ARRAY_HEAD.unpack_from(self._map, place.start)
        return item_type, count, place.start + _ARRAY_HEAD.size

    def _require(self, start: int, length: int, key: str) -> int:
        """The offset behind ``length`` bytes from ``start``, which must be in the file."""
        if length > self.file_size - start:
            raise self._truncated(key)
        return start + length

    def _truncated(self, key: str) -> GgufError:
        return GgufError(f"{self.name} ends within {key!r}: it is damaged or not downloaded to its end.")


def _map(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError as error:
        raise GgufError(f"{path.name} is empty: download it again.") from error
    except OSError as error:
        raise GgufError(f"{path.name} can't be read: {error.strerror or 'unknown reason'}.") from error


def _text(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise GgufError(f"{where} is not UTF-8.") from error
