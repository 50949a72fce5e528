"""The rules of the cache, one by one; the engine itself is asked in ``e2e/test_engine_memory.py``."""

from __future__ import annotations

from typing import Any

import pytest

from support.architectures import metadata_of, observations, plain
from ullage.errors import InvalidArgument
from ullage.memory.architecture import Architecture, architecture_of
from ullage.memory.kv_cache import CacheLayout, as_loaded, estimate, longest_countable, why_refused

PLAIN = architecture_of(plain())


def observed(model: str, **wanted: Any) -> Architecture:
    rows = (row for row in observations() if row["model"] == model and wanted.items() <= row.items())
    return architecture_of(next(rows)["metadata"])


def test_a_token_costs_keys_and_values_of_every_layer() -> None:
    cache = estimate(PLAIN, CacheLayout(8192))
    assert cache.bytes_per_token == 32 * 2 * 1024 * 2
    assert cache.total_bytes == cache.kv_bytes == 8192 * cache.bytes_per_token
    assert cache.fixed_bytes == 0


def test_keys_and_values_may_have_different_types() -> None:
    cache = estimate(PLAIN, CacheLayout(256, cache_type_k="q8_0", cache_type_v="f16"))
    assert cache.bytes_per_token == 32 * (1024 * 34 // 32 + 1024 * 2)


def test_cells_are_padded_to_256() -> None:
    assert estimate(PLAIN, CacheLayout(1)) == estimate(PLAIN, CacheLayout(256))
    assert estimate(PLAIN, CacheLayout(257)) == estimate(PLAIN, CacheLayout(512))


def test_a_split_cache_pads_every_slot_and_may_exceed_what_was_asked() -> None:
    assert CacheLayout(1024, slots=3).cells * CacheLayout(1024, slots=3).streams == 1536
    assert CacheLayout(1024, slots=3, unified=True).cells == 1024


def test_sliding_layers_keep_the_window_and_one_batch() -> None:
    gemma = observed("Gemma 3 270M", n_ctx=8192, n_parallel=1)
    cache = estimate(gemma, CacheLayout(8192))
    assert cache.sliding_window_bytes == 15 * 1024 * 2 * 256 * 2
    assert estimate(gemma, CacheLayout(65_536)).sliding_window_bytes == cache.sliding_window_bytes
    assert estimate(gemma, CacheLayout(512)).sliding_window_bytes == cache.sliding_window_bytes // 2


def test_sliding_layers_grow_with_the_context_when_kept_in_full() -> None:
    gemma = observed("Gemma 3 270M", n_ctx=8192, n_parallel=1)
    cache = estimate(gemma, CacheLayout(8192, full_sliding_window=True))
    assert cache.bytes_per_token == 18 * 2 * 256 * 2
    assert cache.kv_bytes + cache.sliding_window_bytes == 8192 * cache.bytes_per_token


def test_recurrent_state_is_whole_for_every_slot_and_copy() -> None:
    qwen = observed("Qwen3.5-0.8B", n_ctx=4096)
    one = estimate(qwen, CacheLayout(4096)).recurrent_bytes
    assert estimate(qwen, CacheLayout(65_536)).recurrent_bytes == one
    assert estimate(qwen, CacheLayout(4096, slots=2, rollback_copies=3)).recurrent_bytes == one * 2 * 4


def test_without_flash_attention_every_value_is_as_wide_as_the_widest() -> None:
    varied = architecture_of(plain(block_count=2, attention__head_count_kv=[8, 2]))
    assert estimate(varied, CacheLayout(256)).bytes_per_token == (1024 + 256) * 2 * 2
    assert estimate(varied, CacheLayout(256, flash_attention=False)).bytes_per_token == (1024 + 256 + 2 * 1024) * 2


def test_an_indexer_caches_keys_of_the_same_type_as_the_rest() -> None:
    keys = metadata_of(
        "deepseek32",
        block_count=4,
        embedding_length=1024,
        attention__head_count=16,
        attention__head_count_kv=1,
        attention__key_length=576,
        attention__value_length=512,
        attention__key_length_mla=192,
        attention__value_length_mla=128,
        attention__kv_lora_rank=512,
        attention__indexer__key_length=128,
    )
    cache = estimate(architecture_of(keys), CacheLayout(1024, cache_type_k="q8_0", cache_type_v="q8_0"))
    assert cache.indexer_bytes == 1024 * 4 * 128 * 34 // 32
    assert cache.total_bytes == cache.kv_bytes + cache.indexer_bytes == 1024 * cache.bytes_per_token


def test_an_older_file_of_latent_attention_is_loaded_with_full_heads() -> None:
    older = observed("DeepSeek V3 0324", n_ctx=512)
    layout = as_loaded(older, CacheLayout(512))
    assert layout.latent_cache == "full_heads"
    assert estimate(older, layout).bytes_per_token == 61 * 128 * (192 + 128) * 2
    newer = observed("DeepSeek V3 0324", n_ctx=16384)
    assert as_loaded(newer, CacheLayout(512)) == CacheLayout(512)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("contextTokens", {"context_tokens": 0}),
        ("contextTokens", {"context_tokens": -1}),
        ("contextTokens", {"context_tokens": 10**12}),
        ("contextTokens", {"context_tokens": float("nan")}),
        ("contextTokens", {"context_tokens": True}),
        ("slots", {"slots": 0}),
        ("microBatch", {"micro_batch": 0}),
        ("rollbackCopies", {"rollback_copies": -1}),
        ("cacheTypeK", {"cache_type_k": "q9"}),
        ("cacheTypeV", {"cache_type_v": "q8"}),
    ],
)
def test_a_senseless_layout_is_refused_by_its_field(path: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        CacheLayout(**({"context_tokens": 4096} | fields))
    assert refused.value.path == path


def test_rows_that_are_no_whole_blocks_are_refused() -> None:
    odd = architecture_of(plain(attention__key_length=20, attention__head_count_kv=1))
    with pytest.raises(InvalidArgument) as refused:
        estimate(odd, CacheLayout(256, cache_type_k="q8_0"))
    assert refused.value.path == "cacheTypeK"


def test_the_engine_refuses_quantised_values_without_flash_attention() -> None:
    layout = CacheLayout(256, cache_type_v="q8_0", flash_attention=False)
    assert "flash attention" in str(why_refused(PLAIN, layout))
    assert why_refused(PLAIN, CacheLayout(256, cache_type_v="q8_0")) is None


def test_the_engine_refuses_heads_that_are_no_whole_blocks() -> None:
    orca = observed("orca-mini-3B")
    assert "100" in str(why_refused(orca, CacheLayout(256, cache_type_k="q8_0", cache_type_v="q8_0")))
    assert why_refused(orca, CacheLayout(256)) is None


def test_more_than_json_can_count_is_refused() -> None:
    heads = {"attention__head_count": 4096, "attention__head_count_kv": 4096, "attention__key_length": 256}
    wide = architecture_of(plain(**heads, attention__value_length=256))
    longest = longest_countable(wide, CacheLayout(1, slots=4))
    assert 0 < estimate(wide, CacheLayout(longest, slots=4)).total_bytes <= 2**53 - 1
    with pytest.raises(InvalidArgument) as refused:
        estimate(wide, CacheLayout(2**31 - 1, slots=4))
    assert refused.value.path == "contextTokens"
