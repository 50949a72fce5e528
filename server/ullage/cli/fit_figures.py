"""How large a context fits: the figures of one model, and which context sizes are worth a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import get_args

from attrs import evolve, frozen

from ullage.cli.framing import Json
from ullage.settings import CacheType

USUAL_TYPES: tuple[CacheType, ...] = ("f16", "q8_0", "q4_0")
ALL_TYPES: tuple[CacheType, ...] = get_args(CacheType)

CELLS = 256
"""llama.cpp allocates caches in multiples of so many tokens."""

USUAL_SIZES = tuple(2048 * 2**doubling for doubling in range(7))


@frozen
class Cell:
    """What a context of ``tokens`` takes in bytes: weights still to be loaded, cache, and, where its type has no
    ``compute_bytes``, an upper bound of the compute buffer. ``fits`` None: it can't be told."""

    tokens: int
    total_bytes: int | None
    fits: bool | None


@frozen
class TypeFit:
    """One cache type. ``best`` is the largest context that fits, in tokens; None where none does, or where it can't be
    told. ``explanation`` says in a sentence what limits it. ``compute_bytes`` is an upper bound of
    the compute buffer at that size, where the cells leave it out; None: each holds its own."""

    cache_type: CacheType
    best: int | None
    limited_by: str | None
    bytes_per_token: int | None
    fixed_bytes: int | None
    explanation: str
    cells: tuple[Cell, ...] = ()
    compute_bytes: int | None = None

    @property
    def may_fit(self) -> bool:
        """Whether some context fits, or it can't be told though the cache can be sized."""
        untold = self.bytes_per_token is not None and all(cell.fits is None for cell in self.cells)
        return self.best is not None or untold


@frozen
class ModelFit:
    """One model. ``weights_bytes`` is what is still to be loaded, ``reserve_bytes`` the buffer that stays free,
    ``limit`` the tokens that the model was made for. ``reason`` says why there are no types, where there are none."""

    name: str
    provider: str | None = None
    file: str | None = None
    weights_bytes: int | None = None
    limit: int | None = None
    reserve_bytes: int | None = None
    types: tuple[TypeFit, ...] = ()
    reason: str | None = None


def refused(cache_type: CacheType, reason: str) -> TypeFit:
    """A cache type that this model can't have; ``reason`` is a sentence."""
    return TypeFit(cache_type, None, None, None, None, reason)


def with_cells(
    types: Iterable[TypeFit], limit: int | None, cell: Callable[[TypeFit, int], Cell]
) -> tuple[TypeFit, ...]:
    """The same types, each with a cell for every size, so that all have the same rows."""
    kept = tuple(types)
    sizes = sizes_of(limit, (each.best for each in kept))
    return tuple(evolve(each, cells=tuple(cell(each, size) for size in sizes)) for each in kept)


def sizes_of(limit: int | None, bests: Iterable[int | None]) -> tuple[int, ...]:
    """The context sizes of a table, ascending: doublings up to the model's limit, and the best ones. A model made for
    less than the smallest of these has its limit instead."""
    usual = {size for size in USUAL_SIZES if limit is None or size <= limit}
    found = usual | {best for best in bests if best is not None}
    return tuple(sorted(found or {limit or USUAL_SIZES[0]}))


def to_json(fit: ModelFit) -> Json:
    """The model as `ullage fit --json` writes it."""
    return {
        "model": fit.name,
        "provider": fit.provider,
        "file": fit.file,
        "weightsBytes": fit.weights_bytes,
        "modelLimit": fit.limit,
        "reserveBytes": fit.reserve_bytes,
        "cacheTypes": [
            {
                "cacheType": each.cache_type,
                "bestTokens": each.best,
                "limitedBy": each.limited_by,
                "bytesPerToken": each.bytes_per_token,
                "fixedBytes": each.fixed_bytes,
                "computeBytes": each.compute_bytes,
                "explanation": each.explanation,
                "sizes": [
                    {"tokens": cell.tokens, "totalBytes": cell.total_bytes, "fits": cell.fits} for cell in each.cells
                ],
            }
            for each in fit.types
        ],
        "reason": fit.reason,
    }
