"""The memory in which the engine computes: known where the engine printed or reported it, else an upper bound.

The buffer is no constant: it holds what a micro-batch needs at the widest point of the model. The bound adds up what
lives at once in llama.cpp's graphs (its allocator reuses memory, so the real buffer is smaller), and is held against
buffers that people have seen printed, on CPU and GPU.
"""

from __future__ import annotations

from attrs import frozen

from ullage.memory.architecture import Architecture
from ullage.memory.kv_cache import CacheLayout, recurrent_bytes

FLOAT_BYTES = 4
MIB = 2**20
SPARE_BYTES = 8 * MIB
RESIDUAL_COPIES = 6
GATED_COPIES = 3
STATE_COPIES = 4
UNKNOWN_WIDTH = 8192
UNKNOWN_VOCABULARY = 262_144


@frozen
class ComputeBuffer:
    """Bytes on each memory that holds layers, and how they were found, in words. ``measured_at`` is the layout up to
    whose size a measurement holds; None: it holds for any, or nothing was measured."""

    bytes: int
    basis: str
    measured_at: CacheLayout | None = None


def measured(size: int, at: CacheLayout | None = None) -> ComputeBuffer:
    """What the engine itself reported for this model and layout."""
    return ComputeBuffer(size, "as the engine measured it", at)


def scaled(
    buffer: ComputeBuffer, architecture: Architecture, layout: CacheLayout, output_rows: int | None = None
) -> ComputeBuffer:
    """A measured buffer for another layout: never less than was measured, and beyond that layout more by the same ratio
    as the bound."""
    if buffer.measured_at is None:
        return buffer
    known = upper_bound(architecture, buffer.measured_at, output_rows).bytes
    wanted = upper_bound(architecture, layout, output_rows).bytes
    if wanted <= known:
        return buffer
    return ComputeBuffer(-(-buffer.bytes * wanted // known), "as the engine measured it, scaled", buffer.measured_at)


def upper_bound(architecture: Architecture, layout: CacheLayout, output_rows: int | None = None) -> ComputeBuffer:
    """``output_rows``: the tokens of a micro-batch whose logits are kept; None: all, as engines before 2026 reserve."""
    rows = layout.micro_batch if output_rows is None else output_rows
    widest = max(
        _attention(architecture, layout),
        _feed_forward(architecture, layout),
        rows * (architecture.vocabulary_size or UNKNOWN_VOCABULARY) * FLOAT_BYTES,
    )
    size = _residual(architecture, layout) + widest + _recurrent(architecture, layout)
    return ComputeBuffer(size + size // 10 + SPARE_BYTES, _basis(layout))


def _attention(architecture: Architecture, layout: CacheLayout) -> int:
    """The mask over all cells, the scores of an indexer, and without flash attention those of every head."""
    cells = layout.cells
    if any(group.sliding for group in architecture.layers):
        cells += layout.sliding_cells(architecture.sliding_window)
    scores = 0 if layout.flash_attention else layout.cells * architecture.head_count
    if architecture.indexer is not None:
        scores += layout.cells * (architecture.indexer.heads + 1)
    widths = [group.key_width + group.value_width for group in architecture.layers]
    projections = 3 * architecture.query_width + max(widths, default=0)
    return layout.micro_batch * FLOAT_BYTES * (cells + scores + projections)


def _feed_forward(architecture: Architecture, layout: CacheLayout) -> int:
    width = architecture.feed_forward_length
    if width is None:
        width = 4 * (architecture.embedding_length or UNKNOWN_WIDTH)
    experts = architecture.experts_used * (architecture.embedding_length or UNKNOWN_WIDTH)
    return layout.micro_batch * FLOAT_BYTES * (GATED_COPIES * width + 2 * experts)


def _residual(architecture: Architecture, layout: CacheLayout) -> int:
    width = architecture.embedding_length or UNKNOWN_WIDTH
    return layout.micro_batch * FLOAT_BYTES * RESIDUAL_COPIES * width


def _recurrent(architecture: Architecture, layout: CacheLayout) -> int:
    """States are gathered and written back, those of several slots as whole copies for every layer."""
    if architecture.recurrent is None:
        return 0
    every = recurrent_bytes(architecture, layout)
    one_layer = every // max(architecture.recurrent.layers, 1)
    several = STATE_COPIES * every if layout.slots > 1 else STATE_COPIES * one_layer
    width = architecture.embedding_length or UNKNOWN_WIDTH
    return several + layout.micro_batch * FLOAT_BYTES * 4 * RESIDUAL_COPIES * width


def _basis(layout: CacheLayout) -> str:
    attention = "with" if layout.flash_attention else "without"
    return (
        f"an upper bound from the model's widths, its vocabulary, a micro-batch of {layout.micro_batch} and"
        f" {layout.context_tokens:,} tokens {attention} flash attention"
    )
