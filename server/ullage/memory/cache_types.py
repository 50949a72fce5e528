"""The bytes that a cached number takes, by cache type.

Quantised types store blocks of 32 numbers with a scale, some with a minimum beside it, so that a number takes a little
more than its bits: q8_0 is 34 bytes a block, not 32. The figures are ggml's own block sizes.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from ullage.settings import CacheType


@frozen
class Block:
    """``bytes`` hold ``elements`` numbers; a row of the cache is a whole number of blocks."""

    elements: int
    bytes: int


BLOCKS: Mapping[CacheType, Block] = {
    "f32": Block(1, 4),
    "f16": Block(1, 2),
    "bf16": Block(1, 2),
    "q8_0": Block(32, 34),
    "q5_1": Block(32, 24),
    "q5_0": Block(32, 22),
    "q4_1": Block(32, 20),
    "q4_0": Block(32, 18),
    "iq4_nl": Block(32, 18),
}


def row_bytes(cache_type: CacheType, elements: int) -> int | None:
    """Bytes of a row of ``elements`` numbers; None where they are no whole number of blocks."""
    block = BLOCKS[cache_type]
    blocks, rest = divmod(elements, block.elements)
    return None if rest else blocks * block.bytes
