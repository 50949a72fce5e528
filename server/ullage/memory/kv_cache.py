"""What llama.cpp allocates for a context, to the byte.

Source: llama.cpp's ``llama_context`` (padding, shares of slots), ``llama_kv_cache``, ``llama_kv_cache_iswa``,
``llama_kv_cache_dsa`` and ``llama_memory_recurrent``. What it prints is the sum of these tensors.
"""

from __future__ import annotations

import attrs
from attrs import frozen

from ullage.errors import InvalidArgument
from ullage.memory.architecture import Architecture, LatentCache, LayerGroup
from ullage.memory.cache_types import BLOCKS, row_bytes
from ullage.settings import CacheType

CELL_PADDING = 256
"""The engine rounds every number of cells up to a multiple of it."""

MAX_CONTEXT = 2**31 - 1
MAX_SLOTS = 256
MAX_MICRO_BATCH = 2**20
MAX_ROLLBACK_COPIES = 256
STATE_BYTES = 4
MAX_BYTES = 2**53 - 1
"""What every reader of JSON holds exactly."""


@frozen
class CacheLayout:
    """How a server is asked to lay out a context. ``context_tokens`` is shared by all ``slots``; with a ``unified``
    cache any slot may use all of it.

    ``full_sliding_window`` keeps every token in sliding layers too (``--swa-full``). ``rollback_copies`` are those of
    the recurrent state that speculative decoding keeps. ``latent_cache`` is what is kept of latent attention: today's
    keys alone, keys and values (llama.cpp from April 2025 to January 2026), or full heads (older, or an older file).
    Raises ``InvalidArgument`` for figures that make no sense.
    """

    context_tokens: int
    slots: int = 1
    cache_type_k: CacheType = "f16"
    cache_type_v: CacheType = "f16"
    micro_batch: int = 512
    flash_attention: bool = True
    unified: bool = False
    full_sliding_window: bool = False
    rollback_copies: int = 0
    latent_cache: LatentCache = "keys"

    def __attrs_post_init__(self) -> None:
        _check("contextTokens", self.context_tokens, 1, MAX_CONTEXT)
        _check("slots", self.slots, 1, MAX_SLOTS)
        _check("microBatch", self.micro_batch, 1, MAX_MICRO_BATCH)
        _check("rollbackCopies", self.rollback_copies, 0, MAX_ROLLBACK_COPIES)
        for path, cache_type in (("cacheTypeK", self.cache_type_k), ("cacheTypeV", self.cache_type_v)):
            if cache_type not in BLOCKS:
                raise InvalidArgument(f"{path} must be one of {', '.join(BLOCKS)}.", path)

    @property
    def cells(self) -> int:
        """Tokens that each stream of a full layer has room for."""
        padded = pad(self.context_tokens)
        return padded if self.unified else pad(padded // self.slots)

    @property
    def streams(self) -> int:
        return 1 if self.unified else self.slots

    def sliding_cells(self, window: int) -> int:
        """Tokens that each stream of a sliding layer has room for: the window, and the batch that pushes it on."""
        if self.full_sliding_window:
            return self.cells
        return min(self.cells, pad(window * (self.slots if self.unified else 1) + self.micro_batch))


@frozen
class CacheEstimate:
    """All in bytes. ``kv_bytes`` are those of full layers and grow with the context, as do ``indexer_bytes``;
    ``sliding_window_bytes`` stop growing at the window, or never where the layout keeps the full window;
    ``recurrent_bytes`` never grow. ``bytes_per_token`` is the slope of all that grows without end."""

    kv_bytes: int
    sliding_window_bytes: int
    recurrent_bytes: int
    indexer_bytes: int
    total_bytes: int
    bytes_per_token: int

    @property
    def fixed_bytes(self) -> int:
        """Recurrent states and sliding layers: what is taken however long the context is, once it is longer than the
        window. Where the layout keeps the full window, its sliding layers are counted here although they grow."""
        growing = self.kv_bytes + self.indexer_bytes
        return self.total_bytes - growing


def estimate(architecture: Architecture, layout: CacheLayout) -> CacheEstimate:
    """Raises ``InvalidArgument`` for a cache type whose blocks do not divide the architecture's rows, and for a total
    of more than 2^53 - 1 bytes."""
    base_row, sliding_row, indexer_row = _rows(architecture, layout)
    kv = layout.cells * layout.streams * base_row
    sliding = layout.sliding_cells(architecture.sliding_window) * layout.streams * sliding_row
    recurrent = recurrent_bytes(architecture, layout)
    indexer = layout.cells * layout.streams * indexer_row
    total = kv + sliding + recurrent + indexer
    if total > MAX_BYTES:
        raise InvalidArgument(
            f"A context of {layout.context_tokens:,} tokens of this model is more than can be counted."
            " Choose a smaller contextTokens.",
            "contextTokens",
        )
    growing_row = base_row + indexer_row + (sliding_row if layout.full_sliding_window else 0)
    return CacheEstimate(kv, sliding, recurrent, indexer, total, growing_row)


def for_each_slot(layout: CacheLayout, tokens: int) -> CacheLayout:
    """The layout that gives every slot ``tokens``: a split cache has them once for each, a unified one once for all. At
    most as many as an engine can count."""
    return attrs.evolve(layout, context_tokens=min(max(tokens, 1) * layout.streams, MAX_CONTEXT))


def longest_countable(architecture: Architecture, layout: CacheLayout) -> int:
    """Tokens up to which `estimate` certainly gives a number, whatever ``context_tokens`` the layout has; 0: none."""
    row = sum(_rows(architecture, layout))
    if not row:
        return MAX_CONTEXT
    tokens = (MAX_BYTES - recurrent_bytes(architecture, layout)) // row - CELL_PADDING * (layout.slots + 1)
    return max(min(tokens, MAX_CONTEXT), 0)


def recurrent_bytes(architecture: Architecture, layout: CacheLayout) -> int:
    """The state of all recurrent layers, whole for every slot."""
    if architecture.recurrent is None:
        return 0
    copies = layout.slots * (1 + layout.rollback_copies)
    return architecture.recurrent.layers * architecture.recurrent.elements * STATE_BYTES * copies


def as_loaded(architecture: Architecture, layout: CacheLayout) -> CacheLayout:
    """The layout that today's llama.cpp makes of this very file: older files keep full heads of latent attention."""
    if architecture.latent is None or architecture.latent.absorbed:
        return layout
    return attrs.evolve(layout, latent_cache="full_heads")


def why_refused(architecture: Architecture, layout: CacheLayout) -> str | None:
    """Why llama.cpp would not load the model with this layout, as a sentence for a person; None: it would.

    It wants whole blocks in every head, and flash attention where values are quantised.
    """
    quantised = BLOCKS[layout.cache_type_v].elements > 1
    if quantised and not layout.flash_attention and architecture.layers and architecture.latent is None:
        return f"A {layout.cache_type_v} cache of values needs flash attention: switch it on, or choose f16."
    for group in architecture.layers:
        lengths = (layout.cache_type_k, group.key_length), (layout.cache_type_v, group.value_length)
        for cache_type, length in lengths:
            block = BLOCKS[cache_type].elements
            if length % block:
                return f"Heads of {length} numbers are no whole blocks of {block} as {cache_type} needs: choose f16."
    return None


def pad(tokens: int) -> int:
    """The next multiple of 256 that is no less."""
    return -(-tokens // CELL_PADDING) * CELL_PADDING


def _rows(architecture: Architecture, layout: CacheLayout) -> tuple[int, int, int]:
    """Bytes that full layers, sliding layers and an indexer keep for one token."""
    base = sum(_row(architecture, group, layout) for group in architecture.layers if not group.sliding)
    sliding = sum(_row(architecture, group, layout) for group in architecture.layers if group.sliding)
    return base, sliding, _indexer_row(architecture, layout)


def _row(architecture: Architecture, group: LayerGroup, layout: CacheLayout) -> int:
    """Bytes that all layers of a group keep for one token."""
    key, value = group.key_width, group.value_width
    latent = architecture.latent
    if latent is not None and layout.latent_cache == "full_heads":
        key, value = latent.heads * latent.head_key_length, latent.heads * latent.head_value_length
    elif latent is not None:
        key, value = latent.key_width, latent.value_width if layout.latent_cache == "keys_and_values" else 0
    elif not layout.flash_attention:
        value = architecture.widest_value  # values lie transposed, all layers' rows alike
    keys = _bytes("cacheTypeK", layout.cache_type_k, key)
    return group.count * (keys + _bytes("cacheTypeV", layout.cache_type_v, value))


def _indexer_row(architecture: Architecture, layout: CacheLayout) -> int:
    """Keys alone, of the same type as the cache beside them."""
    if architecture.indexer is None:
        return 0
    return architecture.indexer.layers * _bytes("cacheTypeK", layout.cache_type_k, architecture.indexer.key_length)


def _bytes(path: str, cache_type: CacheType, elements: int) -> int:
    size = row_bytes(cache_type, elements)
    if size is None:
        block = BLOCKS[cache_type].elements
        message = f"{cache_type} needs rows of whole blocks of {block} numbers, and this model's have {elements:,}."
        raise InvalidArgument(f"{message} Choose f16 for {path}.", path)
    return size


def _check(path: str, value: object, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise InvalidArgument(f"{path} must be a whole number between {least:,} and {most:,}.", path)
