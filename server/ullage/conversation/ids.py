"""ULIDs: 26 characters that sort by the time of their making. Format: https://github.com/ulid/spec"""

from __future__ import annotations

import re

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SHAPE = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
RANDOM_BITS = 80
_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]


def encode(at_ms: int, randomness: int) -> str:
    """Spell 48 bits of milliseconds since the epoch and 80 bits of randomness."""
    value = (at_ms & (1 << 48) - 1) << RANDOM_BITS | randomness & (1 << RANDOM_BITS) - 1
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(120, -10, -10)])


def is_ulid(text: str) -> bool:
    """Whether ``text`` is a ULID in its canonical upper-case spelling. Nothing else may become part of a file name."""
    return _SHAPE.fullmatch(text) is not None


class Monotonic:
    """Makes ids that strictly ascend in one process, also within one millisecond and when the clock steps back."""

    def __init__(self) -> None:
        self._last = 0

    def next(self, at_ms: int, randomness: int) -> str:
        fresh = (at_ms & (1 << 48) - 1) << RANDOM_BITS | randomness & (1 << RANDOM_BITS) - 1
        self._last = max(fresh, self._last + 1)
        return encode(self._last >> RANDOM_BITS, self._last)
