"""The fixed state of layers that remember without a cache: Mamba, gated delta nets, short convolutions, RWKV, KDA.

Its size does not depend on the context. Source: llama.cpp's ``llama_hparams::n_embd_r`` and ``n_embd_s``, and the rule
by which each architecture marks its recurrent layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from attrs import frozen

from ullage.memory.metadata import Metadata, refused

MAX_WIDTH = 2**24
MAX_KERNEL = 1024
MAX_STATE = 2**16

PURE = frozenset({"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})
"""No layer has a cache."""

BOTH_KINDS = frozenset({"falcon-h1"})
"""Every layer has a cache and a state."""

FULL_EVERY_FOURTH = frozenset({"qwen3next", "qwen35", "qwen35moe"})
"""All but each n-th layer are recurrent; n is 4 where the file does not say."""

WITHOUT_GROUPS = frozenset({"mamba", "jamba"})
"""The first Mamba's convolution runs over its inner width alone, whatever groups the file names."""

IDLE_WITH_FEED_FORWARD = frozenset({"nemotron_h", "nemotron_h_moe"})
"""A layer without heads that has a feed-forward part has neither cache nor state."""


@frozen
class RecurrentState:
    """``elements`` 32-bit numbers that each of ``layers`` layers keeps for each conversation."""

    layers: int
    elements: int


def state_elements(metadata: Metadata, embedding: int | None, heads: int) -> int | None:
    """Numbers that one recurrent layer keeps for one conversation; None where the file describes no such layer."""
    if (size := metadata.whole("wkv.head_size", 1, MAX_STATE)) is not None:
        shifts = metadata.whole("token_shift_count", 0, MAX_KERNEL)
        return _known(metadata, embedding) * ((2 if shifts is None else shifts) + size)
    if (reach := metadata.whole("shortconv.l_cache", 1, MAX_KERNEL)) is not None:
        return _known(metadata, embedding) * (reach - 1)
    kernel = metadata.whole("ssm.conv_kernel", 0, MAX_KERNEL)
    if (size := metadata.whole("kda.head_dim", 1, MAX_STATE)) is not None:
        return 3 * (kernel - 1 if kernel else 3) * heads * size + heads * size * size
    if kernel is None and metadata.whole("ssm.inner_size", 1, MAX_WIDTH) is None:
        return None
    inner = metadata.required_whole("ssm.inner_size", 1, MAX_WIDTH)
    state = metadata.required_whole("ssm.state_size", 1, MAX_STATE)
    groups = metadata.whole("ssm.group_count", 0, MAX_STATE) or 0
    if metadata.architecture in WITHOUT_GROUPS:
        groups = 0
    kernel = metadata.required_whole("ssm.conv_kernel", 0, MAX_KERNEL)
    return max(kernel - 1, 0) * (inner + 2 * groups * state) + state * inner


def recurrent_layers(
    metadata: Metadata, blocks: int, kv_heads: Sequence[int], lengths: tuple[int, ...]
) -> tuple[bool, ...]:
    """Whether each layer keeps a state, in a model that has such layers."""
    if metadata.architecture in PURE | BOTH_KINDS:
        return (True,) * blocks
    marked = metadata.flags("attention.recurrent_layers", lengths)
    if marked is not None:
        return marked[:blocks] + (False,) * (blocks - len(marked))
    interval = metadata.whole("full_attention_interval", 1, MAX_KERNEL)
    if interval is None and metadata.architecture in FULL_EVERY_FOURTH:
        interval = 4
    if interval is not None:
        return all_but_each(interval, blocks)
    feed_forward = _feed_forward(metadata, blocks, lengths)
    return tuple(not heads and not width for heads, width in zip(kv_heads, feed_forward, strict=True))


@lru_cache(64)
def all_but_each(interval: int, blocks: int) -> tuple[bool, ...]:
    return tuple((layer + 1) % interval != 0 for layer in range(blocks))


def _feed_forward(metadata: Metadata, blocks: int, lengths: tuple[int, ...]) -> tuple[int, ...]:
    if metadata.architecture not in IDLE_WITH_FEED_FORWARD:
        return (0,) * blocks
    widths = metadata.per_layer("feed_forward_length", 0, MAX_WIDTH, lengths)
    if not isinstance(widths, tuple):
        raise refused(metadata.key("feed_forward_length"), "must be a list with one entry for each layer")
    return widths[:blocks] + (0,) * (blocks - len(widths))


def _known(metadata: Metadata, embedding: int | None) -> int:
    return metadata.required_whole("embedding_length", 1, MAX_WIDTH) if embedding is None else embedding
