"""Looks for words in everything that lies in a storage folder, also in what is compressed there."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

from backports import zstd

_CONTENT = re.compile(rb'"content": "([A-Za-z0-9+/=\s]+)')


def files_with(folder: Path, words: str) -> list[str]:
    """The names of the files that hold these words, in plain sight or packed."""
    wanted = words.encode()
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [
        path.relative_to(folder).as_posix()
        for path in paths
        if any(wanted in each for each in _readings(path.read_bytes()))
    ]


def _readings(raw: bytes) -> Iterator[bytes]:
    """The bytes as they are, and what they hold in a snapshot's form, as far as it can be unpacked."""
    yield raw
    for found in _CONTENT.finditer(raw):
        packed = found[1][: len(found[1]) // 4 * 4]
        unpacker = zstd.ZstdDecompressor()
        try:
            yield unpacker.decompress(b64decode(packed))
        except (ValueError, zstd.ZstdError):
            continue
