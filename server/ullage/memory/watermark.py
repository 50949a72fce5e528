"""When memory has become low: told once on crossing a mark downwards, and again only after it has recovered."""

from __future__ import annotations

from attrs import evolve, frozen

from ullage.memory.readings import MemoryReading
from ullage.settings import Settings

MEGABYTE = 2**20


def low_watermark_bytes(settings: Settings) -> int:
    """The person's own mark, or half of what sizing leaves free, so that a window sized to fill a card is no alarm."""
    return settings.memory.low_watermark_mb * MEGABYTE or settings.context.vram_buffer * MEGABYTE // 2


@frozen
class Watermark:
    """``threshold`` in bytes; 0 or less: never low.

    Low begins when less than the threshold is available and ends when a quarter more than it is: in between things
    stay as they are, so that a program that goes up and down around the mark is told of once.
    """

    threshold: int
    is_low: bool = False

    @property
    def recovered_at(self) -> int:
        """Bytes that must be available for the next crossing to count."""
        return self.threshold + -(-self.threshold // 4)

    def observe(self, reading: MemoryReading) -> tuple[Watermark, bool]:
        """The state after this reading, and whether the mark was crossed downwards just now. An unknown amount
        changes nothing; a first reading below the mark is a crossing."""
        available = reading.available
        if available is None:
            return self, False
        if self.is_low:
            return evolve(self, is_low=available < self.recovered_at), False
        is_low = available < self.threshold
        return evolve(self, is_low=is_low), is_low
