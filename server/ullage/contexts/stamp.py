"""Where time and randomness enter: everything below takes them as arguments."""

from __future__ import annotations

import secrets
import time

from ullage.conversation.ids import RANDOM_BITS, Monotonic


class Stamp:
    """Makes times (milliseconds since the epoch) and ids that ascend in this process."""

    def __init__(self) -> None:
        self._ids = Monotonic()

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def id(self) -> str:
        return self._ids.next(self.now(), secrets.randbits(RANDOM_BITS))
