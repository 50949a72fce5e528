"""A model that a server offers, sized by what `context/sizing` reports of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ullage.cli.client import Client, ServerError
from ullage.cli.fit_figures import Cell, ModelFit, TypeFit, refused, with_cells
from ullage.cli.framing import Json
from ullage.settings import CacheType

FULL = ("memory", "minimum")
"""What limits a context where the next larger one does not fit. "minimum": not even the smallest one does."""


async def fit_of_model(client: Client, model: Json, cache_types: Sequence[CacheType]) -> ModelFit:
    """Raises ServerGone. Where every cache type is refused, that is the ``reason``."""
    name, provider = model["name"], model["provider"]
    answers = await asyncio.gather(*(_report(client, name, cache_type) for cache_type in cache_types))
    reports = [answer for answer in answers if not isinstance(answer, str)]
    if not reports:
        return ModelFit(name, provider, limit=model["contextLength"], reason=str(answers[0]))
    first = reports[0]
    limit = first["modelLimit"] or model["contextLength"]
    types = [type_fit(cache_type, answer) for cache_type, answer in zip(cache_types, answers, strict=True)]
    return ModelFit(
        name=name,
        provider=provider,
        weights_bytes=first["weightsBytes"],
        limit=limit,
        reserve_bytes=first["reserveBytes"],
        types=with_cells(types, limit, lambda each, tokens: _cell(each, tokens, first)),
    )


def type_fit(cache_type: CacheType, report: Json | str) -> TypeFit:
    """``report`` is the sentence of a refusal where there is none."""
    if isinstance(report, str):
        return refused(cache_type, report)
    unknown = report["availableBytes"] is None or report["bytesPerToken"] is None
    return TypeFit(
        cache_type=cache_type,
        best=None if unknown or report["limitedBy"] == "minimum" else report["tokens"] or None,
        limited_by=report["limitedBy"],
        bytes_per_token=report["bytesPerToken"],
        fixed_bytes=report["fixedBytes"],
        explanation=report["explanation"],
        compute_bytes=report["computeBytes"],
    )


async def _report(client: Client, name: str, cache_type: CacheType) -> Json | str:
    try:
        params = {"model": name, "cacheType": cache_type, "asMuchAsFits": True}
        report: Json = await client.request("context/sizing", params)
    except ServerError as refusal:
        return refusal.message
    return report


def _cell(each: TypeFit, tokens: int, report: Json) -> Cell:
    """``report`` is any of the model's: weights, available bytes and reserve are the same for every cache type."""
    per_token = each.bytes_per_token
    parts = (report["weightsBytes"], each.fixed_bytes)
    total = None if per_token is None or None in parts else sum(parts) + per_token * tokens
    return Cell(tokens, total, _fits(each, tokens, total, report))


def _fits(each: TypeFit, tokens: int, total: int | None, report: Json) -> bool | None:
    """The server's word as far as it goes. Of a size beyond another limit than memory it is certain only that it does
    not fit where its sum is too much already; a loaded model holds a part of that sum."""
    available: int | None = report["availableBytes"]
    if available is None or each.bytes_per_token is None:
        return None
    if each.best is not None and tokens <= each.best:
        return True
    if each.limited_by in FULL:
        return False
    is_loaded = not report["weightsBytes"]
    lacks = not is_loaded and total is not None and total + report["reserveBytes"] > available
    return False if lacks else None
