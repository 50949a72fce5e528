"""The bound on compute buffers against buffers that engines printed for real models."""

from __future__ import annotations

from typing import Any

import pytest

from support.architectures import metadata_of, observations, plain
from ullage.memory.architecture import Architecture, architecture_of
from ullage.memory.compute_buffer import measured, upper_bound
from ullage.memory.kv_cache import CacheLayout

MIB = 2**20
VOCABULARIES = {"gpt-oss": 201_088, "gemma2": 256_000, "gemma4": 262_144, "qwen35": 248_320}
FEED_FORWARD = {"gpt-oss": 2880, "gemma2": 9216, "gemma4": 10_240, "llama": 14_336}


def model(name: str, **changes: Any) -> Architecture:
    metadata = next(row for row in observations() if row["model"].startswith(name))["metadata"] | changes
    kind = metadata["general.architecture"]
    extra = {f"{kind}.vocab_size": VOCABULARIES.get(kind, 32_768)}
    return architecture_of(metadata | extra | {f"{kind}.feed_forward_length": FEED_FORWARD.get(kind)})


QWEN_27B = architecture_of(
    metadata_of(
        "qwen35",
        block_count=64,
        embedding_length=5120,
        feed_forward_length=17_408,
        vocab_size=248_320,
        attention__head_count=24,
        attention__head_count_kv=4,
        attention__key_length=256,
        attention__value_length=256,
        full_attention_interval=4,
        ssm__conv_kernel=4,
        ssm__inner_size=6144,
        ssm__state_size=128,
        ssm__group_count=16,
    )
)

# What people saw, in MiB: tests/data/memory_observations.json says where.
PRINTED = [
    ("Mistral at 2k", model("Mistral"), CacheLayout(2048, flash_attention=False), 164.0),
    ("Mistral at 32k", model("Mistral"), CacheLayout(32_768, flash_attention=False), 2144.0),
    ("gpt-oss", model("gpt-oss"), CacheLayout(131_072), 456.98),
    ("gpt-oss, large batch", model("gpt-oss"), CacheLayout(131_072, micro_batch=2048), 1672.0),
    (
        "Llama 3.1 in ten slots",
        model("Llama 3.1"),
        CacheLayout(81_920, slots=10, unified=True, flash_attention=False),
        5312.0,
    ),
    ("Gemma 4", model("Gemma 4"), CacheLayout(65_536, cache_type_k="q8_0", cache_type_v="q8_0"), 186.3),
    (
        "Gemma 2 in two slots",
        model("Gemma 2 2B"),
        CacheLayout(16_384, slots=2, micro_batch=256, flash_attention=False),
        252.25,
    ),
    *(
        (f"Qwen in {n} slots", QWEN_27B, CacheLayout(4096, slots=n), size)
        for n, size in [(1, 36), (2, 492), (4, 1388), (8, 3220)]
    ),
]


@pytest.mark.parametrize(
    ("architecture", "layout", "printed"), [row[1:] for row in PRINTED], ids=[row[0] for row in PRINTED]
)
def test_no_printed_buffer_is_above_the_bound(architecture: Architecture, layout: CacheLayout, printed: float) -> None:
    assert upper_bound(architecture, layout).bytes >= printed * MIB


@pytest.mark.parametrize("name", ["Mistral at 32k", "gpt-oss, large batch", "Llama 3.1 in ten slots"])
def test_where_the_buffer_is_large_the_bound_is_no_more_than_half_above_it(name: str) -> None:
    _, architecture, layout, printed = next(row for row in PRINTED if row[0] == name)
    assert upper_bound(architecture, layout).bytes <= 1.5 * printed * MIB


def test_the_bound_says_what_it_stands_on() -> None:
    basis = upper_bound(architecture_of(plain()), CacheLayout(8192)).basis
    assert "upper bound" in basis
    assert "8,192 tokens with flash attention" in basis


def test_a_measured_buffer_is_taken_as_it_is() -> None:
    assert measured(17 * MIB).bytes == 17 * MIB
    assert "measured" in measured(17 * MIB).basis


def test_the_bound_grows_with_the_context() -> None:
    architecture = architecture_of(plain())
    bounds = [upper_bound(architecture, CacheLayout(tokens)).bytes for tokens in (256, 4096, 65_536, 2**20)]
    assert bounds == sorted(bounds)


def test_an_unknown_vocabulary_is_taken_as_a_large_one() -> None:
    unknown, known = architecture_of(plain(vocab_size=None)), architecture_of(plain())
    assert upper_bound(unknown, CacheLayout(8192)).bytes > upper_bound(known, CacheLayout(8192)).bytes
