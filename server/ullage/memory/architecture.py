"""What of a model's architecture decides how much memory its context takes, read from its metadata.

The keys are those of a GGUF header or of Ollama's ``model_info``; the rules are llama.cpp's own where it loads them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import compress
from typing import Literal

from attrs import frozen

from ullage.memory.known_architectures import KNOWN
from ullage.memory.metadata import Metadata, read_metadata, refused, whole_at
from ullage.memory.recurrent import BOTH_KINDS, PURE, RecurrentState, recurrent_layers, state_elements
from ullage.memory.sliding import sliding_layers
from ullage.memory.weights import FILE_TYPES

MAX_BLOCKS = 1024
MAX_HEADS = 2**16
MAX_HEAD_LENGTH = 2**16
MAX_ROW = 2**20
MAX_WIDTH = 2**24
MAX_CONTEXT = 2**31 - 1
MAX_EXPERTS = 2**16
MAX_PARAMETERS = 10**15
MAX_FILE_TYPE = 2**16

LatentCache = Literal["keys", "keys_and_values", "full_heads"]

LATENT = frozenset({"deepseek2", "deepseek2-ocr", "deepseek32", "glm-dsa", "kimi-linear", "mistral4"})
"""Multi-head latent attention (MLA), whose heads share one compressed row."""

SPARSE = frozenset({"deepseek32", "glm-dsa"})
"""DeepSeek sparse attention (DSA), whose indexer has a cache of its own."""

CACHED_FROM_START: Mapping[str, int] = {"gemma3n": 20}
"""Architectures of which only so many layers own a cache, in no key of the file."""

WITHOUT_CACHE = frozenset(
    {"bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3", "neo-bert", "modern-bert", "eurobert"}
    | {"gemma-embedding", "dream", "llada", "llada-moe", "rnd1", "wavtokenizer-dec"}
)

NOT_COMPUTABLE = frozenset({"deepseek4", "gemma4-assistant", "minimax-01", "minimax-m3", "t5", "t5encoder", "clip"})
"""Caches of a kind of their own, for which a number would be a guess."""


@frozen
class LayerGroup:
    """``count`` layers that cache alike, each ``kv_heads`` keys and values of so many numbers for each token."""

    count: int
    kv_heads: int
    key_length: int
    value_length: int
    sliding: bool

    @property
    def key_width(self) -> int:
        return self.kv_heads * self.key_length

    @property
    def value_width(self) -> int:
        return self.kv_heads * self.value_length


@frozen
class LatentAttention:
    """One compressed row of ``key_width`` numbers stands for all heads; its first ``value_width`` are the values.

    ``absorbed``: the file is converted so that llama.cpp can keep the compressed row; with an older file it keeps
    ``heads`` full keys and values, as it does with any other model.
    """

    key_width: int
    value_width: int
    heads: int
    head_key_length: int
    head_value_length: int
    absorbed: bool


@frozen
class Indexer:
    """The keys of sparse attention's indexer: ``key_length`` numbers for each token in each of ``layers`` layers, which
    ``heads`` queries are held against."""

    layers: int
    key_length: int
    heads: int


@frozen
class Architecture:
    """Lengths and widths are numbers of elements, windows and contexts are tokens; None: the metadata do not tell.

    ``layers`` are those with a cache, gathered; a model that forgets (Mamba) has none. ``widest_value`` is the widest
    row of values in any layer. ``next_token_layers`` are part of ``block_count`` and own no cache.

    ``is_known``: the rules here cover its name. Another is assumed to be plain, as most new ones are. ``quantisation``
    is the name of the file's type ("Q4_K_M").
    """

    name: str
    is_known: bool
    block_count: int
    layers: tuple[LayerGroup, ...]
    widest_value: int
    sliding_window: int
    recurrent: RecurrentState | None
    latent: LatentAttention | None
    indexer: Indexer | None
    next_token_layers: int
    head_count: int
    query_width: int
    context_length: int | None
    embedding_length: int | None
    feed_forward_length: int | None
    experts_used: int
    vocabulary_size: int | None
    parameter_count: int | None
    quantisation: str | None


def architecture_of(metadata: Mapping[str, object]) -> Architecture:
    """Raises ``InvalidArgument``, its path the key, for what is missing, contradictory or absurd. Takes neither time
    nor memory in proportion to a number in the metadata: at most 1,024 layers are believed.

    New models appear faster than this list of names: one that is not known is computed as full attention in every
    layer, unless its file says otherwise; ``is_known`` tells."""
    keys = read_metadata(metadata)
    if keys.architecture in NOT_COMPUTABLE:
        raise refused("general.architecture", f"is {keys.architecture}, whose memory this version can't compute")
    blocks = keys.required_whole("block_count", 1, MAX_BLOCKS)
    next_token = keys.whole("nextn_predict_layers", 0, MAX_BLOCKS) or 0
    if next_token >= blocks:
        raise refused(keys.key("nextn_predict_layers"), f"must be less than the {blocks} layers of the model")
    embedding = keys.whole("embedding_length", 1, MAX_WIDTH)
    heads, kv_heads = _heads(keys, blocks, next_token)
    caching = _Caching(keys, blocks, next_token, embedding, heads, kv_heads, state_elements(keys, embedding, heads[0]))
    layers, widest, window = caching.layers()
    latent = caching.latent() if layers and keys.architecture in LATENT else None
    return Architecture(
        name=keys.architecture,
        is_known=keys.architecture in KNOWN,
        block_count=blocks,
        layers=layers,
        widest_value=widest,
        sliding_window=window,
        recurrent=caching.recurrent(),
        latent=latent,
        indexer=_indexer(keys, blocks - next_token),
        next_token_layers=next_token,
        head_count=max(heads),
        query_width=max(heads) * max((group.key_length for group in layers), default=0),
        context_length=keys.whole("context_length", 1, MAX_CONTEXT),
        embedding_length=embedding,
        feed_forward_length=_feed_forward_length(keys, blocks, next_token),
        experts_used=keys.whole("expert_used_count", 0, MAX_EXPERTS) or 0,
        vocabulary_size=_vocabulary_size(keys),
        parameter_count=whole_at(metadata, "general.parameter_count", 1, MAX_PARAMETERS),
        quantisation=_quantisation(metadata),
    )


@frozen
class _Caching:
    """The figures from which it follows what each layer keeps."""

    keys: Metadata
    blocks: int
    next_token: int
    embedding: int | None
    heads: tuple[int, ...]
    kv_heads: tuple[int, ...]
    state: int | None

    @property
    def lengths(self) -> tuple[int, ...]:
        return _lengths(self.blocks, self.next_token)

    def layers(self) -> tuple[tuple[LayerGroup, ...], int, int]:
        """The layers with a cache, the widest row of values in any layer, and the sliding window."""
        if self.keys.architecture in PURE | WITHOUT_CACHE:
            return (), 0, 0
        if not any(self.kv_heads):
            self._require_state()
            return (), 0, 0
        key, value = self._head_length("key_length"), self._head_length("value_length")
        sliding = sliding_layers(self.keys, self.blocks, self.lengths)
        key_sliding = self.keys.whole("attention.key_length_swa", 1, MAX_HEAD_LENGTH) or key
        value_sliding = self.keys.whole("attention.value_length_swa", 1, MAX_HEAD_LENGTH) or value
        every = tuple(zip(self.kv_heads, sliding.layers, strict=True))
        alike = Counter(compress(every, self._caches()))
        groups = tuple(
            LayerGroup(count, heads, key_sliding if slides else key, value_sliding if slides else value, slides)
            for (heads, slides), count in alike.items()
        )
        self._require_sane(groups)
        widest = max(heads * (value_sliding if slides else value) for heads, slides in set(every))
        return groups, widest, sliding.window if any(group.sliding for group in groups) else 0

    def recurrent(self) -> RecurrentState | None:
        if self.state is None:
            return None
        layers = recurrent_layers(self.keys, self.blocks, self.kv_heads, self.lengths)
        return RecurrentState(sum(layers[: self.blocks - self.next_token]), self.state)

    def latent(self) -> LatentAttention:
        heads, key, value = self.heads[0], self._head_length("key_length"), self._head_length("value_length")
        rank = self.keys.required_whole("attention.kv_lora_rank", 1, MAX_WIDTH)
        full_key = self.keys.whole("attention.key_length_mla", 1, MAX_HEAD_LENGTH)
        full_value = self.keys.whole("attention.value_length_mla", 1, MAX_HEAD_LENGTH)
        if full_key is None or full_value is None:
            rope = self.keys.required_whole("rope.dimension_count", 1, MAX_HEAD_LENGTH)
            absorbed = max(self.kv_heads) == 1 and key == rank + rope
            return LatentAttention(rank + rope, rank, heads, key, value, absorbed)
        return LatentAttention(key * max(self.kv_heads), value * max(self.kv_heads), heads, full_key, full_value, True)

    def _require_state(self) -> None:
        """Where no layer has heads, something else has to remember."""
        if self.state is None:
            name = "head_count_kv" if any(self.heads) else "head_count"
            raise refused(self.keys.key(f"attention.{name}"), "is 0, and no layer keeps a state instead")

    def _require_sane(self, groups: tuple[LayerGroup, ...]) -> None:
        """Each number may be sane by itself and their product not."""
        for name, widest in (
            ("key_length", max((group.key_width for group in groups), default=0)),
            ("value_length", max((group.value_width for group in groups), default=0)),
        ):
            if widest > MAX_ROW:
                reason = f"makes rows of {widest:,} numbers with so many heads; {MAX_ROW:,} are the most"
                raise refused(self.keys.key(f"attention.{name}"), reason)

    def _caches(self) -> list[bool]:
        """Whether each layer owns a cache: not the trailing ones that share another's, nor those that only predict."""
        shared = self.keys.whole("attention.shared_kv_layers", 0, MAX_BLOCKS) or 0
        if shared > self.blocks:
            raise refused(self.keys.key("attention.shared_kv_layers"), f"must be at most the {self.blocks} layers")
        owners = CACHED_FROM_START.get(self.keys.architecture, self.blocks - shared)
        owners = min(owners, self.blocks - self.next_token)
        caching = [True] * owners + [False] * (self.blocks - owners)
        if self.state is None:
            return caching
        kept = [caches and heads > 0 for caches, heads in zip(caching, self.kv_heads, strict=True)]
        if self.keys.architecture in BOTH_KINDS:
            return kept
        recurrent = recurrent_layers(self.keys, self.blocks, self.kv_heads, self.lengths)
        return [caches and not forgets for caches, forgets in zip(kept, recurrent, strict=True)]

    def _head_length(self, name: str) -> int:
        """The file's own, else the width of the model shared out among the heads."""
        length = self.keys.whole(f"attention.{name}", 1, MAX_HEAD_LENGTH)
        if length is not None:
            return length
        if self.embedding is None:
            raise refused(self.keys.key(f"attention.{name}"), "is missing, and so is embedding_length")
        if not self.heads[0] or self.embedding < self.heads[0]:
            raise refused(self.keys.key("attention.head_count"), f"does not go with a width of {self.embedding:,}")
        return self.embedding // self.heads[0]


def _heads(keys: Metadata, blocks: int, next_token: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Query heads and KV heads of every layer; a model without attention has none."""
    lengths = _lengths(blocks, next_token)
    heads = keys.per_layer("attention.head_count", 0, MAX_HEADS, lengths)
    kv_heads = keys.per_layer("attention.head_count_kv", 0, MAX_HEADS, lengths)
    if heads is None:
        heads = 0 if keys.architecture in PURE else None
    if heads is None:
        raise refused(keys.key("attention.head_count"), "is missing")
    every = _every(heads, blocks)
    every_kv = every if kv_heads is None else _every(kv_heads, blocks)
    if any(kv > query for kv, query in set(zip(every_kv, every, strict=True))):
        raise refused(keys.key("attention.head_count_kv"), "is more than there are heads")
    return every, every_kv


def _every(value: int | tuple[int, ...], blocks: int) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,) * blocks
    return value + (0,) * (blocks - len(value))


def _lengths(blocks: int, next_token: int) -> tuple[int, ...]:
    """A list may leave out the layers that only predict."""
    return (blocks, blocks - next_token) if next_token else (blocks,)


def _indexer(keys: Metadata, layers: int) -> Indexer | None:
    if keys.architecture not in SPARSE:
        return None
    length = keys.required_whole("attention.indexer.key_length", 1, MAX_HEAD_LENGTH)
    return Indexer(layers, length, keys.whole("attention.indexer.head_count", 1, MAX_HEADS) or 1)


def _feed_forward_length(keys: Metadata, blocks: int, next_token: int) -> int | None:
    """The widest layer's, or that of the experts which work at once."""
    lengths = _lengths(blocks, next_token)
    dense = keys.per_layer("feed_forward_length", 0, MAX_WIDTH, lengths)
    dense = max(dense) if isinstance(dense, tuple) else dense
    expert = keys.whole("expert_feed_forward_length", 0, MAX_WIDTH)
    used = keys.whole("expert_used_count", 0, MAX_EXPERTS) or 0
    widths = [width for width in (dense, expert * used if expert else None) if width is not None]
    return max(widths, default=None)


def _quantisation(metadata: Mapping[str, object]) -> str | None:
    file_type = whole_at(metadata, "general.file_type", 0, MAX_FILE_TYPE)
    return None if file_type is None else FILE_TYPES.get(file_type)


def _vocabulary_size(keys: Metadata) -> int | None:
    size = keys.whole("vocab_size", 1, MAX_WIDTH)
    tokens = keys.values.get("tokenizer.ggml.tokens")
    return len(tokens) if size is None and isinstance(tokens, list | tuple) else size
