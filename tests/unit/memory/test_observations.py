"""Caches that engines printed for real models, equal to the two decimals that they print."""

from __future__ import annotations

from typing import Any

import pytest

from support.architectures import observations
from ullage.memory.architecture import LatentCache, architecture_of
from ullage.memory.kv_cache import CacheEstimate, CacheLayout, estimate

MIB = 2**20
LATENT: dict[str | None, LatentCache] = {None: "keys", "none": "full_heads", "k_and_v": "keys_and_values"}

OUT_OF_SCOPE = {
    "pad_ctx": "builds before 2025 padded to 32 cells without flash attention; nobody is offered such a build today",
}


def estimated(row: dict[str, Any]) -> CacheEstimate:
    variant = row.get("variant", {})
    layout = CacheLayout(
        row["n_ctx"],
        slots=row["n_parallel"],
        cache_type_k=row["cache_type_k"],
        cache_type_v=row["cache_type_v"],
        micro_batch=row["n_ubatch"],
        flash_attention=row.get("flash_attn", True),
        unified=row["kv_unified"],
        full_sliding_window=row.get("flags", {}).get("swa_full", False) or "no_swa" in variant,
        latent_cache=LATENT[variant.get("mla")],
    )
    return estimate(architecture_of(row["metadata"]), layout)


def name_of(row: dict[str, Any]) -> str:
    return f"{row['model']} {row['n_ctx']} x{row['n_parallel']} {row['cache_type_k']}"


ROWS = observations()
IN_SCOPE = [row for row in ROWS if not OUT_OF_SCOPE.keys() & row.get("variant", {}).keys()]


@pytest.mark.parametrize("row", IN_SCOPE, ids=name_of)
def test_what_was_printed_is_what_is_estimated(row: dict[str, Any]) -> None:
    cache = estimated(row)
    assert round((cache.kv_bytes + cache.sliding_window_bytes) / MIB, 2) == row["kv_mib"]
    assert round(cache.recurrent_bytes / MIB, 2) == row.get("rs_mib", 0)


@pytest.mark.parametrize("row", [row for row in ROWS if "kv_parts" in row], ids=name_of)
def test_full_and_sliding_layers_are_told_apart(row: dict[str, Any]) -> None:
    cache = estimated(row)
    parts = {part["part"]: part["mib"] for part in row["kv_parts"]}
    assert round(cache.kv_bytes / MIB, 2) == parts["base"]
    assert round(cache.sliding_window_bytes / MIB, 2) == parts["swa"]


def test_all_but_one_of_the_seventy_rows_can_be_asked_for() -> None:
    left_out = [row for row in ROWS if row not in IN_SCOPE]
    assert len(ROWS) == 70
    assert [row["variant"] for row in left_out] == [{"pad_ctx": 32}]
    assert not any(row["formula_matches"] for row in left_out)
