"""What holds for every model, every memory and every wish."""

from __future__ import annotations

import math
import time
import typing
from bisect import bisect_right
from fractions import Fraction
from functools import partial
from itertools import accumulate
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.architectures import metadata_of, observations
from ullage.errors import InvalidArgument
from ullage.hardware.probe import device, unreadable
from ullage.memory.architecture import MAX_BLOCKS, Architecture, architecture_of
from ullage.memory.autosize import Allocated, new_size, within
from ullage.memory.cache_types import BLOCKS, row_bytes
from ullage.memory.compute_buffer import measured, upper_bound
from ullage.memory.guard import CacheMemory, can_allocate, safe_limit
from ullage.memory.kv_cache import MAX_CONTEXT, CacheLayout, as_loaded, estimate, for_each_slot
from ullage.memory.placement import PlacedModel, placed, shared_out
from ullage.memory.readings import DeviceReading
from ullage.memory.sizing import Memory, SizingRequest, largest_fitting, shortfall, size
from ullage.settings import CacheType

GIB = 2**30
BITS = {"f32": 32.0, "f16": 16.0, "bf16": 16.0, "q8_0": 8.5, "q5_1": 6.0, "q5_0": 5.5, "q4_1": 5.0, "q4_0": 4.5}
KINDS: tuple[CacheType, ...] = typing.get_args(CacheType)

cache_types = st.sampled_from(KINDS)
unblocked = st.sampled_from([kind for kind in KINDS if BLOCKS[kind].elements == 1])
bytes_of_memory = st.integers(0, 256 * GIB)


@st.composite
def plain_models(draw: st.DrawFn) -> Architecture:
    """Full attention in every layer, alike."""
    heads = draw(st.sampled_from([4, 8, 32]))
    keys = metadata_of(
        "llama",
        block_count=draw(st.integers(1, 128)),
        embedding_length=heads * 64,
        attention__head_count=heads,
        attention__head_count_kv=draw(st.sampled_from([1, 2, 4])),
        attention__key_length=draw(st.sampled_from([32, 64, 128, 256])),
        attention__value_length=draw(st.sampled_from([32, 64, 128])),
        vocab_size=draw(st.integers(1000, 300_000)),
    )
    return architecture_of(keys)


observed_models = st.sampled_from([architecture_of(row["metadata"]) for row in observations()])
models = plain_models() | observed_models


@st.composite
def layouts(draw: st.DrawFn) -> CacheLayout:
    kind = draw(unblocked)
    return CacheLayout(
        draw(st.integers(1, 2**22)),
        slots=draw(st.integers(1, 8)),
        cache_type_k=kind,
        cache_type_v=kind,
        micro_batch=draw(st.sampled_from((128, 512, 2048))),
        flash_attention=draw(st.booleans()),
        unified=draw(st.booleans()),
        full_sliding_window=draw(st.booleans()),
    )


@st.composite
def requests(draw: st.DrawFn) -> SizingRequest:
    memory = st.builds(
        Memory,
        available_bytes=st.none() | bytes_of_memory,
        held_bytes=st.integers(0, 16 * GIB),
        weights_bytes=st.none() | st.integers(0, 64 * GIB),
        layer_share=st.sampled_from((0.0, 0.25, 0.5, 1.0)),
    )
    minimum = draw(st.integers(1, 2**17) | st.integers(1, 300))
    return SizingRequest(
        architecture=draw(st.none() | models),
        layout=draw(layouts()),
        memories=tuple(draw(st.lists(memory, max_size=3))),
        target=draw(st.integers(0, 2**20)),
        minimum=minimum,
        maximum=draw(st.just(0) | st.integers(minimum, 2**21) | st.integers(minimum, minimum + 300)),
        reserve_bytes=draw(st.integers(0, 4 * GIB)),
        auto=draw(st.booleans()),
        compute=draw(st.none() | st.builds(measured, st.integers(0, 4 * GIB), st.none() | layouts())),
    )


@settings(max_examples=200, deadline=None)
@given(architecture=plain_models(), kind=cache_types, available=bytes_of_memory, reserve=st.integers(0, 2 * GIB))
def test_property_07_plain_models_get_what_memory_less_buffer_holds_of_their_tokens(
    architecture: Architecture, kind: CacheType, available: int, reserve: int
) -> None:
    layout = CacheLayout(1, cache_type_k=kind, cache_type_v=kind)
    memories = (Memory(available),)
    request = SizingRequest(architecture, layout, memories, 0, 1, 0, reserve, compute=measured(0))
    per_token = estimate(architecture, layout).bytes_per_token
    fitting = min(max(available - reserve, 0) // per_token, MAX_CONTEXT)  # no context is longer, however small a token
    assert largest_fitting(request) == fitting // 256 * 256


@settings(max_examples=200, deadline=None)
@given(kind=cache_types, blocks=st.integers(0, 2**20), rest=st.integers(1, 31))
def test_property_08_bytes_of_a_cache_type_are_those_of_its_blocks(kind: CacheType, blocks: int, rest: int) -> None:
    bits = BITS.get(kind, 4.5)
    assert row_bytes(kind, blocks * 32) == blocks * 32 * bits / 8
    assert (row_bytes(kind, blocks * 32 + rest) is None) == (BLOCKS[kind].elements > 1)


@settings(max_examples=200, deadline=None)
@given(
    architecture=models,
    kind=cache_types,
    tokens=st.integers(1, 2**20),
    slots=st.integers(1, 8),
)
def test_property_08_caches_of_the_same_model_are_as_their_types(
    architecture: Architecture, kind: CacheType, tokens: int, slots: int
) -> None:
    wide = estimate(architecture, CacheLayout(tokens, slots=slots, cache_type_k="f32", cache_type_v="f32"))
    try:
        narrow = estimate(architecture, CacheLayout(tokens, slots=slots, cache_type_k=kind, cache_type_v=kind))
    except InvalidArgument:
        return
    ratio = BITS.get(kind, 4.5) / 32
    assert narrow.kv_bytes == wide.kv_bytes * ratio
    assert narrow.sliding_window_bytes == wide.sliding_window_bytes * ratio
    assert narrow.recurrent_bytes == wide.recurrent_bytes


@settings(max_examples=200, deadline=None)
@given(architecture=models, layout=layouts(), more=st.integers(0, 2**20))
def test_more_context_never_takes_less(architecture: Architecture, layout: CacheLayout, more: int) -> None:
    longer = attrs.evolve(layout, context_tokens=layout.context_tokens + more)
    cache, larger = estimate(architecture, layout), estimate(architecture, longer)
    assert larger.total_bytes >= cache.total_bytes
    assert upper_bound(architecture, longer).bytes >= upper_bound(architecture, layout).bytes
    parts = cache.kv_bytes, cache.sliding_window_bytes, cache.recurrent_bytes, cache.indexer_bytes
    assert cache.total_bytes == sum(parts)


@settings(max_examples=200, deadline=None)
@given(architecture=models, layout=layouts())
def test_the_slope_is_what_long_contexts_grow_by(architecture: Architecture, layout: CacheLayout) -> None:
    step = 256 * layout.slots
    long = attrs.evolve(layout, context_tokens=2**21 // step * step)
    longer = attrs.evolve(layout, context_tokens=long.context_tokens + step)
    grown = estimate(architecture, longer).total_bytes - estimate(architecture, long).total_bytes
    assert grown == step * estimate(architecture, layout).bytes_per_token


cache_memories = st.builds(
    CacheMemory,
    free_bytes=st.none() | bytes_of_memory,
    held_bytes=st.integers(0, 64 * GIB),
    buffer_bytes=st.integers(0, 4 * GIB),
    bytes_per_token=st.integers(0, 2**22),
    fixed_bytes=st.integers(0, GIB),
)
counts = st.integers(0, 2**22)
windows = st.none() | st.integers(1, 2**22)


@settings(max_examples=300, deadline=None)
@given(more=counts, in_use=counts, window=windows, reserved=counts, memory=st.none() | cache_memories)
def test_property_24_allocation_is_allowed_only_under_the_soft_limit(
    more: int, in_use: int, window: int | None, reserved: int, memory: CacheMemory | None
) -> None:
    answer = can_allocate(more, in_use, window, reserved, memory)
    limit = safe_limit(window, reserved, memory)
    assert answer.safe_limit == limit
    assert answer.allowed == (limit is None or in_use + more <= limit)
    assert (answer.reason is None) == answer.allowed


@settings(max_examples=300, deadline=None)
@given(window=windows, reserved=counts, memory=cache_memories)
def test_property_26_the_buffer_is_in_every_limit(window: int | None, reserved: int, memory: CacheMemory) -> None:
    limit = safe_limit(window, reserved, memory)
    if limit and memory.free_bytes is not None:
        taken = limit * memory.bytes_per_token + memory.fixed_bytes - memory.held_bytes
        assert memory.free_bytes - taken >= memory.buffer_bytes or memory.bytes_per_token == 0


@settings(max_examples=200, deadline=None)
@given(request=requests())
def test_property_30_the_target_is_given_wherever_nothing_forbids_it(request: SizingRequest) -> None:
    report = size(request)
    assert report.tokens <= max(request.target, request.minimum) or request.target == 0
    whole_cells = request.maximum // 256 * 256 or request.maximum
    maximum = max(whole_cells, request.minimum) if request.maximum else 0
    bounded = within(request.target, request.minimum, maximum)
    fitting = largest_fitting(request)
    if request.target and (fitting is None or fitting >= bounded or not request.auto):
        assert report.tokens == bounded
    assert report.explanation


@settings(max_examples=200, deadline=None)
@given(request=requests())
def test_property_31_the_minimum_always_holds(request: SizingRequest) -> None:
    assert size(request).tokens >= request.minimum


@settings(max_examples=200, deadline=None)
@given(request=requests(), limit=st.integers(1, 2**17))
def test_property_32_the_maximum_always_holds(request: SizingRequest, limit: int) -> None:
    assert not request.maximum or size(request).tokens <= request.maximum
    for bounded in (
        attrs.evolve(request, maximum=limit),
        attrs.evolve(request, model_limit=limit),
        attrs.evolve(request, provider_limit=limit),
    ):
        assert size(bounded).tokens <= limit  # even where the minimum is larger


@settings(max_examples=200, deadline=None)
@given(request=requests(), limit=st.integers(1, 2**17) | st.integers(1, 255))
def test_sizes_that_nobody_wrote_down_are_whole_cells(request: SizingRequest, limit: int) -> None:
    """But for a bound of less than one cell, the tightest that there is: it is taken as it is."""
    for bounded in (
        attrs.evolve(request, model_limit=limit),
        attrs.evolve(request, provider_limit=limit),
        attrs.evolve(request, maximum=limit, minimum=2**17),
    ):
        tokens = size(bounded).tokens
        tightest = min(bound for bound in (bounded.maximum, bounded.model_limit, bounded.provider_limit) if bound)
        assert tokens % 256 == 0 or tokens in (bounded.target, bounded.minimum) or tokens == tightest < 256


@settings(max_examples=200, deadline=None)
@given(request=requests(), more=st.integers(0, 64 * GIB))
def test_property_33_auto_size_follows_memory(request: SizingRequest, more: int) -> None:
    automatic = attrs.evolve(request, auto=True)
    richer = tuple(
        memory
        if memory.available_bytes is None
        else attrs.evolve(memory, available_bytes=memory.available_bytes + more)
        for memory in request.memories
    )
    before, after = size(automatic).tokens, size(attrs.evolve(automatic, memories=richer)).tokens
    assert after >= before


@settings(max_examples=300, deadline=None)
@given(
    present=st.integers(1, 2**20),
    best=st.integers(0, 2**20),
    minimum=st.integers(1, 2**17),
    maximum=st.just(0) | st.integers(2**17, 2**21),
    short=st.booleans(),
)
def test_property_33_a_rested_size_ends_near_the_best(
    present: int, best: int, minimum: int, maximum: int, short: bool
) -> None:
    changed = new_size(Allocated(present, 3600.0, memory_short=short), best, minimum, maximum)
    wanted, given_now = within(best, minimum, maximum), present if changed is None else changed
    assert changed is None or minimum <= changed <= (maximum or changed)
    if short and wanted < present:  # what is missing may be more than can be told
        assert max(minimum, present - max(present - wanted, 1024, present * 0.125) - 256) <= given_now <= wanted
        return
    assert given_now == wanted or abs(given_now - wanted) < max(1024, present * 0.125)
    assert new_size(Allocated(given_now, 3600.0), wanted, minimum, maximum) in (None, given_now)


@settings(max_examples=200, deadline=None)
@given(layers=st.integers(1, MAX_BLOCKS), free=st.lists(bytes_of_memory, min_size=1, max_size=8))
def test_each_layer_is_on_the_first_card_by_which_as_much_memory_has_come(layers: int, free: list[int]) -> None:
    """As the engine goes through its layers, and the output behind them."""
    parts = [Fraction(before, max(sum(free), 1)) for before in accumulate(free)]
    cards = [bisect_right(parts, Fraction(layer, layers + 1)) for layer in range(layers)] if any(free) else []
    assert shared_out(layers, free) == tuple(cards.count(card) for card in range(len(free)))


@st.composite
def machines(draw: st.DrawFn) -> list[DeviceReading]:
    """Up to six cards, alike or not, of which any may be full or lost."""
    cards = []
    for number in range(draw(st.integers(1, 6))):
        total = draw(st.sampled_from((8, 12, 24, 80))) * GIB
        cards.append(draw(st.just(unreadable(str(number))) | st.integers(0, total).map(partial(device, "", total))))
    return cards


@settings(max_examples=300, deadline=None)
@given(
    architecture=models,
    layout=layouts(),
    cards=machines(),
    weights=st.integers(0, 64 * GIB),
    reserve=st.integers(0, 4 * GIB),
    compute=st.integers(0, 4 * GIB),
)
def test_property_34_the_largest_context_fits_every_card_with_a_buffer_in_each(
    architecture: Architecture,
    layout: CacheLayout,
    cards: list[DeviceReading],
    weights: int,
    reserve: int,
    compute: int,
) -> None:
    layers = architecture.block_count
    memories = placed(PlacedModel(layers, weights_bytes=weights), cards, None, reserve + compute)
    request = SizingRequest(architecture, layout, memories, 0, 256, 0, reserve, compute=measured(compute))
    fitting = largest_fitting(request)
    answering = [card for card in cards if card.available is not None]
    assert (fitting is None) == (not answering)
    if fitting is None:
        assert size(request).available_bytes is None
        return
    assert sum(memory.layer_share for memory in memories) == pytest.approx(1)

    def taken(tokens: int, share: float) -> int:
        cache = estimate(architecture, as_loaded(architecture, for_each_slot(layout, tokens))).total_bytes
        return math.ceil(cache * share) + round(weights * share) + compute + reserve

    limits = [(memory.layer_share, memory.available_bytes or 0) for memory in memories]
    assert fitting == 0 or all(taken(fitting, share) <= available for share, available in limits)
    if fitting < MAX_CONTEXT // (2 * layout.streams):
        assert any(taken(fitting + 256, share) > available for share, available in limits)


@settings(max_examples=200, deadline=None)
@given(
    architecture=plain_models(),
    slots=st.integers(1, 16),
    unified=st.booleans(),
    tokens=st.integers(1, 2**20),
)
def test_every_slot_gets_the_size(architecture: Architecture, slots: int, unified: bool, tokens: int) -> None:
    """As the engine lays it out: a split cache of so many cells for each, a unified one for all."""
    layout = for_each_slot(CacheLayout(1, slots=slots, unified=unified), tokens)
    one = estimate(architecture, CacheLayout(tokens)).total_bytes
    assert layout.cells >= tokens
    assert layout.cells - tokens < 512
    if tokens % 256 == 0:
        assert estimate(architecture, layout).total_bytes == one * (1 if unified else slots)


@settings(max_examples=200, deadline=None)
@given(request=requests())
def test_property_34_the_buffer_stays_free(request: SizingRequest) -> None:
    fitting = largest_fitting(request)
    if not fitting:
        return
    assert request.architecture is not None
    assert shortfall(request, fitting) <= 0
    without_buffer = attrs.evolve(request, reserve_bytes=0)
    slack = -shortfall(without_buffer, fitting)
    assert slack >= request.reserve_bytes or all(memory.available_bytes is None for memory in request.memories)


KEYS = [key for row in observations() for key in row["metadata"]]
scalars: Any = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-2, 300)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([10**12, 2**63, -1, 0])
)
values: Any = scalars | st.lists(scalars, max_size=70) | st.dictionaries(st.text(max_size=3), scalars, max_size=2)


@settings(max_examples=500, deadline=None)
@given(row=st.sampled_from(observations()), hostile=st.dictionaries(st.sampled_from(sorted(set(KEYS))), values))
def test_hostile_metadata_give_an_error_with_a_key_or_a_finite_number(
    row: dict[str, Any], hostile: dict[str, Any]
) -> None:
    began = time.perf_counter()
    try:
        architecture = architecture_of(row["metadata"] | hostile)
        cache = estimate(architecture, CacheLayout(4096))
    except InvalidArgument as error:
        assert error.path.startswith(('metadata["', "cacheType", "contextTokens"))
    else:
        assert 0 <= cache.total_bytes < 2**53
        assert sum(group.count for group in architecture.layers) <= MAX_BLOCKS
    assert time.perf_counter() - began < 0.5


@settings(max_examples=200, deadline=None)
@given(metadata=st.dictionaries(st.sampled_from(sorted(set(KEYS))) | st.text(max_size=20), values, max_size=12))
def test_any_metadata_at_all_give_an_error_or_an_architecture(metadata: dict[str, Any]) -> None:
    try:
        architecture_of(metadata)
    except InvalidArgument as error:
        assert error.path.startswith('metadata["')
