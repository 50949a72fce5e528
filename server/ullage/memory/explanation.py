"""The sentence with which a size explains itself."""

from __future__ import annotations

from collections.abc import Sequence

from ullage.settings import CacheType

KIB, GIB = 2**10, 2**30

_REASONS = {
    "target": "as asked for",
    "memory": "limited by memory",
    "model": "limited by the model, which was made for no more",
    "minimum": "held at the minimum",
    "maximum": "limited by the maximum in settings",
    "provider": "limited by the server, which gives no more",
}


def explain(
    *,
    tokens: int,
    limited_by: str,
    available_bytes: int | None,
    total_bytes: int | None,
    bytes_per_token: int | None,
    cache_type: CacheType,
    fitting: int | None,
    other: tuple[CacheType, int] | None,
    notes: Sequence[str] = (),
) -> str:
    """Such as "limited by memory: 6.1 of 8.0 GB free, 72 KB a token with q8_0; f16 would give 21,504".

    ``fitting`` are the tokens that fit the memory (None: unknown), ``other`` what another cache type would give.
    ``notes`` say how far the figures are to be trusted.
    """
    facts: list[str] = []
    if available_bytes is None:
        facts.append("free memory unknown")
    elif total_bytes is None:
        facts.append(f"{gigabytes(available_bytes)} free")
    else:
        facts.append(f"{available_bytes / GIB:.1f} of {gigabytes(total_bytes)} free")
    if bytes_per_token:
        facts.append(f"{kilobytes(bytes_per_token)} a token with {cache_type}")
    sentence = f"{_REASONS[limited_by]}: {', '.join([*facts, *notes])}"
    if fitting is not None and fitting < tokens:
        return f"{sentence}; only {fitting:,} would fit"
    if other is not None:
        return f"{sentence}; {other[0]} would give {other[1]:,}"
    return sentence


def gigabytes(size: int) -> str:
    return f"{size / GIB:.1f} GB"


def kilobytes(size: int) -> str:
    return f"{size / KIB:.0f} KB" if size >= 10 * KIB else f"{size / KIB:.1f} KB"
