"""The largest context that fits the memory, and what decides the size in the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import attrs
from attrs import frozen

from ullage.errors import InsufficientMemory
from ullage.memory.architecture import Architecture
from ullage.memory.compute_buffer import ComputeBuffer, scaled, upper_bound
from ullage.memory.explanation import explain, gigabytes
from ullage.memory.kv_cache import (
    CELL_PADDING,
    CacheLayout,
    as_loaded,
    estimate,
    for_each_slot,
    longest_countable,
    why_refused,
)
from ullage.settings import CacheType

LimitedBy = Literal["target", "memory", "model", "minimum", "maximum", "provider"]


@frozen
class Memory:
    """One memory that holds a part of the model: a card, or the machine's own. All in bytes.

    ``available_bytes`` is free now (None: it can't be told, and this memory limits nothing); ``held_bytes`` is what
    this model's cache, and its compute buffer where known, already take of it. ``layer_share`` is the part of the
    model's layers that it holds, ``weights_bytes`` what of the weights is still to be loaded into it (None: unknown,
    and counted as nothing).
    """

    available_bytes: int | None
    held_bytes: int = 0
    weights_bytes: int | None = 0
    layer_share: float = 1.0
    total_bytes: int | None = None


@frozen
class SizingRequest:
    """What the size is wanted for: tokens of one conversation, for which the server has a slot. 0 as ``target`` is as
    much as fits, 0 as ``maximum`` no maximum.

    The tokens of ``layout`` are not looked at: every one of its slots gets the size. ``memories`` are those that hold a
    part of the model. ``compute`` is the measured compute buffer, scaled up beyond the size it was measured at; None
    where ``upper_bound`` has to do, with ``output_rows``. ``model_limit`` is what the model was made for and
    ``provider_limit`` what the server gives at most (None: unknown). ``weights_estimated``: they were computed from the
    number of parameters, and no better figure is known.
    """

    architecture: Architecture | None
    layout: CacheLayout
    memories: tuple[Memory, ...]
    target: int
    minimum: int
    maximum: int
    reserve_bytes: int
    auto: bool = True
    model_limit: int | None = None
    provider_limit: int | None = None
    compute: ComputeBuffer | None = None
    output_rows: int | None = None
    weights_estimated: bool = False


@frozen
class SizingReport:
    """The size, what limits it, and the figures behind it, in tokens and bytes.

    ``weights_bytes`` are still to be loaded (None: not known of every memory). ``available_bytes`` are free in all
    memories together, ``reserve_bytes`` have to stay free in every one of them. ``bytes_per_token`` is what one more
    token of each conversation takes (of a split cache in all slots), ``fixed_bytes`` are the parts of the cache beside
    full attention, see ``CacheEstimate``. ``compute_bytes`` are counted for the compute buffer in each memory at this
    size: as measured, else an upper bound.
    """

    tokens: int
    target: int
    weights_bytes: int | None
    limited_by: LimitedBy
    available_bytes: int | None
    reserve_bytes: int
    bytes_per_token: int | None
    fixed_bytes: int | None
    compute_bytes: int | None
    cache_type: CacheType
    model_limit: int | None
    reloaded: bool
    explanation: str


def size(request: SizingRequest) -> SizingReport:
    """Automatic: the target as far as memory, model, server and maximum allow, never below the minimum. Else the
    target itself within minimum, maximum, model and server, whether it fits or not: see ``require_fit``. Where as much
    as fits is wanted and memory is unknown, it is the minimum.

    What is not the person's own target or minimum is a multiple of 256, as engines allocate: bounds are rounded down. A
    bound below 256 is taken as it is, whichever it is: there is no smaller multiple.
    """
    fitting = largest_fitting(request)
    tokens, limited_by = _decide(request, fitting)
    cache = compute = None
    if request.architecture is not None:
        layout = _layout(request, tokens)
        cache = estimate(request.architecture, layout)
        compute = _compute(request, request.architecture, layout)
    known = [memory.available_bytes for memory in request.memories if memory.available_bytes is not None]
    report = SizingReport(
        tokens=tokens,
        target=request.target,
        weights_bytes=_weights_bytes(request),
        limited_by=limited_by,
        available_bytes=sum(known) if known else None,
        reserve_bytes=request.reserve_bytes,
        bytes_per_token=None if cache is None else cache.bytes_per_token * request.layout.streams,
        fixed_bytes=None if cache is None else cache.fixed_bytes,
        compute_bytes=None if compute is None else compute.bytes,
        cache_type=request.layout.cache_type_k,
        model_limit=request.model_limit,
        reloaded=False,
        explanation="",
    )
    return attrs.evolve(report, explanation=_explanation(request, report, fitting))


def largest_fitting(request: SizingRequest) -> int | None:
    """The largest multiple of 256 that fits every memory, 0 where none does; None where no memory tells, or nothing is
    known of the model. Found by halving, as the need only grows with the context."""
    if request.architecture is None or all(memory.available_bytes is None for memory in request.memories):
        return None
    countable = longest_countable(request.architecture, _layout(request, 1)) // request.layout.streams
    low, high = 0, countable // CELL_PADDING
    if shortfall(request, high * CELL_PADDING) <= 0:
        return high * CELL_PADDING
    while high - low > 1:
        middle = (low + high) // 2
        if shortfall(request, middle * CELL_PADDING) <= 0:
            low = middle
        else:
            high = middle
    return low * CELL_PADDING


def shortfall(request: SizingRequest, tokens: int) -> int:
    """Bytes that a context of ``tokens`` lacks in the memory that lacks most; at most 0 where it fits."""
    if request.architecture is None:
        return 0
    layout = _layout(request, tokens)
    cache = estimate(request.architecture, layout).total_bytes
    compute = _compute(request, request.architecture, layout)
    lacking = [
        math.ceil(cache * memory.layer_share)
        + (memory.weights_bytes or 0)
        + (compute.bytes if memory.layer_share > 0 else 0)
        + request.reserve_bytes
        - memory.available_bytes
        - memory.held_bytes
        for memory in request.memories
        if memory.available_bytes is not None
    ]
    return max(lacking, default=0)


def require_fit(request: SizingRequest, tokens: int) -> None:
    """Raises ``InsufficientMemory`` where a context of ``tokens`` does not fit; unknown memory refuses nothing."""
    lacking = shortfall(request, tokens)
    if lacking <= 0:
        return
    fitting = largest_fitting(request) or 0
    advice = f"{fitting:,} tokens fit" if fitting else "nothing fits"
    raise InsufficientMemory(
        f"A context of {tokens:,} tokens lacks {gigabytes(lacking)} of memory; {advice}. Choose a smaller size or a"
        " smaller cache type, or close what else uses the memory.",
        needed=tokens,
        limit=fitting,
    )


def _decide(request: SizingRequest, fitting: int | None) -> tuple[int, LimitedBy]:
    hard = _hard_limits(request)
    bounds = [(_whole_cells(bound), name) for bound, name in hard]
    if request.target > 0:
        bounds.append((request.target, "target"))
    elif fitting is None:
        bounds.append((request.minimum, "minimum"))
    if fitting is not None and (request.auto or not request.target):
        bounds.append((fitting, "memory"))
    tokens, limited_by = min(bounds, key=lambda bound: bound[0])
    least, held_by = _least(request, hard)
    return (least, held_by) if tokens < least else (tokens, limited_by)


def _least(request: SizingRequest, hard: Sequence[tuple[int, LimitedBy]]) -> tuple[int, LimitedBy]:
    """The minimum, as far as no hard limit is below it."""
    tightest, name = min(hard, key=lambda bound: bound[0], default=(request.minimum, "minimum"))
    if tightest >= request.minimum:
        return request.minimum, "minimum"
    return _whole_cells(tightest), "maximum" if name == "maximum" else "minimum"


def _hard_limits(request: SizingRequest) -> list[tuple[int, LimitedBy]]:
    """What no minimum can overrule."""
    bounds: Sequence[tuple[int | None, LimitedBy]] = (
        (request.model_limit, "model"),
        (request.provider_limit, "provider"),
        (request.maximum or None, "maximum"),
    )
    return [(bound, name) for bound, name in bounds if bound is not None and bound > 0]


def _whole_cells(bound: int) -> int:
    """The largest multiple of 256 that is no more, or the bound itself where there is none."""
    return bound // CELL_PADDING * CELL_PADDING or bound


def _weights_bytes(request: SizingRequest) -> int | None:
    known = [memory.weights_bytes for memory in request.memories if memory.weights_bytes is not None]
    return sum(known) if known and len(known) == len(request.memories) else None


def _layout(request: SizingRequest, tokens: int) -> CacheLayout:
    layout = for_each_slot(request.layout, tokens)
    return layout if request.architecture is None else as_loaded(request.architecture, layout)


def _compute(request: SizingRequest, architecture: Architecture, layout: CacheLayout) -> ComputeBuffer:
    if request.compute is None:
        return upper_bound(architecture, layout, request.output_rows)
    return scaled(request.compute, architecture, layout, request.output_rows)


def _explanation(request: SizingRequest, report: SizingReport, fitting: int | None) -> str:
    totals = [memory.total_bytes for memory in request.memories if memory.available_bytes is not None]
    return explain(
        tokens=report.tokens,
        limited_by=report.limited_by,
        available_bytes=report.available_bytes,
        total_bytes=sum(total for total in totals if total is not None) if totals and None not in totals else None,
        bytes_per_token=report.bytes_per_token,
        cache_type=report.cache_type,
        fitting=fitting,
        other=_with_other_type(request) if report.limited_by == "memory" else None,
        notes=_notes(request),
    )


def _notes(request: SizingRequest) -> list[str]:
    """What the figures rest on, where that is less than a rule and a measurement."""
    notes = []
    if request.architecture is not None and not request.architecture.is_known:
        name = request.architecture.name
        notes.append(f"by the general formula, as the architecture {name} is not known here")
    if any(memory.weights_bytes is None for memory in request.memories):
        notes.append("weights unknown")
    elif request.weights_estimated and any(memory.weights_bytes for memory in request.memories):
        notes.append("weights estimated from the number of parameters")
    return notes


def _with_other_type(request: SizingRequest) -> tuple[CacheType, int] | None:
    """What the size would be with f16, or with q8_0 where it is f16; None where the engine would refuse that."""
    other: CacheType = "q8_0" if request.layout.cache_type_k == "f16" else "f16"
    layout = attrs.evolve(request.layout, cache_type_k=other, cache_type_v=other)
    if request.architecture is None or why_refused(request.architecture, layout) is not None:
        return None
    changed = attrs.evolve(request, layout=layout)
    return other, _decide(changed, largest_fitting(changed))[0]
