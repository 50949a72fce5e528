"""Reading a model's architecture out of metadata that nobody vouches for."""

from __future__ import annotations

import math
from typing import Any

import pytest

from support.architectures import metadata_of, plain
from ullage.errors import InvalidArgument
from ullage.memory.architecture import CACHED_FROM_START, LATENT, SPARSE, WITHOUT_CACHE, architecture_of
from ullage.memory.known_architectures import KNOWN
from ullage.memory.kv_cache import CacheLayout, estimate
from ullage.memory.recurrent import (
    BOTH_KINDS,
    FULL_EVERY_FOURTH,
    IDLE_WITH_FEED_FORWARD,
    PURE,
    WITHOUT_GROUPS,
    RecurrentState,
)
from ullage.memory.sliding import MARKED_IN_FILE, PATTERNS

MAMBA = metadata_of(
    "mamba",
    block_count=24,
    embedding_length=768,
    attention__head_count=0,
    ssm__conv_kernel=4,
    ssm__inner_size=1536,
    ssm__state_size=16,
)


def test_a_plain_model_has_one_group_of_layers() -> None:
    architecture = architecture_of(plain())
    (group,) = architecture.layers
    assert (group.count, group.key_width, group.value_width, group.sliding) == (32, 1024, 1024, False)
    assert (architecture.context_length, architecture.vocabulary_size) == (131_072, 128_256)


def test_a_mamba_model_without_heads_is_right() -> None:
    architecture = architecture_of(MAMBA)
    assert architecture.layers == ()
    assert architecture.recurrent == RecurrentState(24, 3 * 1536 + 16 * 1536)


def test_whole_floats_are_read_as_json_writers_put_them() -> None:
    assert architecture_of(plain(block_count=32.0)) == architecture_of(plain())


def test_missing_kv_heads_are_as_many_as_heads() -> None:
    assert architecture_of(plain(attention__head_count_kv=None)).layers[0].kv_heads == 32


def test_layers_that_only_predict_own_no_cache() -> None:
    architecture = architecture_of(plain(nextn_predict_layers=1))
    assert [group.count for group in architecture.layers] == [31]


def test_a_list_may_leave_out_layers_that_only_predict() -> None:
    architecture = architecture_of(plain(block_count=4, nextn_predict_layers=1, attention__head_count_kv=[8, 8, 8]))
    assert [(group.count, group.kv_heads) for group in architecture.layers] == [(3, 8)]


def test_trailing_layers_that_share_a_cache_own_none() -> None:
    assert [group.count for group in architecture_of(plain(attention__shared_kv_layers=12)).layers] == [20]


def test_falcon_h1_has_both_kinds_in_every_layer() -> None:
    keys = {key.replace("llama", "falcon-h1"): value for key, value in plain().items()}
    keys |= {"general.architecture": "falcon-h1", "falcon-h1.ssm.conv_kernel": 4, "falcon-h1.ssm.inner_size": 1536}
    keys |= {"falcon-h1.ssm.state_size": 128, "falcon-h1.ssm.group_count": 1}
    architecture = architecture_of(keys)
    assert architecture.layers[0].count == 32
    assert architecture.recurrent is not None
    assert architecture.recurrent.layers == 32


def test_a_window_that_the_engine_disables_is_no_window() -> None:
    keys = {key.replace("llama", "phi3"): value for key, value in plain(attention__sliding_window=2048).items()}
    assert architecture_of(keys | {"general.architecture": "phi3"}).sliding_window == 0


def test_latent_attention_needs_its_rank() -> None:
    keys = {key.replace("llama", "deepseek2"): value for key, value in plain().items()}
    with pytest.raises(InvalidArgument) as refused:
        architecture_of(keys | {"general.architecture": "deepseek2"})
    assert refused.value.path == 'metadata["deepseek2.attention.kv_lora_rank"]'


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("block_count", None),
        ("block_count", 0),
        ("block_count", -1),
        ("block_count", 10**12),
        ("block_count", "32"),
        ("block_count", True),
        ("block_count", math.nan),
        ("block_count", math.inf),
        ("block_count", 32.5),
        ("block_count", [32]),
        ("attention.head_count", None),
        ("attention.head_count", 10**12),
        ("attention.head_count", [32] * 31),
        ("attention.head_count", 4),
        ("attention.head_count_kv", [8] * 33),
        ("attention.head_count_kv", ["8"] * 32),
        ("attention.head_count_kv", 64),
        ("attention.head_count_kv", {"all": 8}),
        ("attention.key_length", 0),
        ("attention.value_length", -128),
        ("attention.sliding_window", -1),
        ("attention.shared_kv_layers", 33),
        ("embedding_length", 0),
        ("embedding_length", 16),
        ("nextn_predict_layers", 32),
        ("context_length", 0),
        ("vocab_size", -5),
    ],
)
def test_a_senseless_value_is_refused_by_its_key(key: str, value: Any) -> None:
    metadata = plain()
    metadata[f"llama.{key}"] = value
    if value is None:
        del metadata[f"llama.{key}"]
    with pytest.raises(InvalidArgument) as refused:
        architecture_of(metadata)
    named = {"llama.attention.head_count": "head_count", "llama.embedding_length": ""}.get(f"llama.{key}", key)
    assert refused.value.path.startswith('metadata["llama.')
    assert named in refused.value.path
    assert refused.value.path[len('metadata["') : -len('"]')] in refused.value.message


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"attention__head_count": 0, "attention__head_count_kv": None}, "head_count"),
        ({"attention__head_count": 0, "attention__head_count_kv": 0}, "head_count"),
        ({"attention__head_count_kv": 0}, "head_count_kv"),
        ({"attention__head_count_kv": [0] * 32}, "head_count_kv"),
    ],
)
def test_a_model_without_heads_that_keeps_no_state_is_refused(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        architecture_of(plain(**changes))
    assert refused.value.path == f'metadata["llama.attention.{key}"]'


def test_single_layers_may_go_without_attention() -> None:
    assert [group.count for group in architecture_of(plain(attention__head_count_kv=[8, 0] * 16)).layers] == [16, 16]


@pytest.mark.parametrize("name", ["key_length", "value_length"])
def test_rows_that_are_absurd_in_product_only_are_refused(name: str) -> None:
    heads = {"attention__head_count": 2**16, "attention__head_count_kv": 2**16, "embedding_length": 2**16}
    with pytest.raises(InvalidArgument) as refused:
        architecture_of(plain(**heads, **{f"attention__{name}": 2**16}))
    assert refused.value.path == f'metadata["llama.attention.{name}"]'


@pytest.mark.parametrize(("file_type", "name"), [(None, None), (0, "F32"), (15, "Q4_K_M"), (999, None)])
def test_the_type_of_the_weights_is_read_where_it_is_told(file_type: int | None, name: str | None) -> None:
    told = {} if file_type is None else {"general.file_type": file_type}
    assert architecture_of(plain() | told).quantisation == name


@pytest.mark.parametrize(("name", "is_known"), [("llama", True), ("banana", False)])
def test_an_architecture_of_an_unknown_name_is_assumed_to_be_plain(name: str, is_known: bool) -> None:
    keys = {key.replace("llama", name): value for key, value in plain().items()}
    architecture = architecture_of(keys | {"general.architecture": name})
    assert (architecture.is_known, architecture.layers) == (is_known, architecture_of(plain()).layers)


def test_every_architecture_that_has_a_rule_is_known() -> None:
    ruled = PURE | BOTH_KINDS | FULL_EVERY_FOURTH | WITHOUT_GROUPS | IDLE_WITH_FEED_FORWARD | MARKED_IN_FILE
    ruled |= WITHOUT_CACHE | LATENT | SPARSE | PATTERNS.keys() | CACHED_FROM_START.keys()
    assert ruled <= KNOWN


def test_a_missing_architecture_is_refused() -> None:
    with pytest.raises(InvalidArgument) as refused:
        architecture_of({})
    assert refused.value.path == 'metadata["general.architecture"]'


@pytest.mark.parametrize("name", [7, "", "x" * 1000, "a\nb"])
def test_an_architecture_without_a_proper_name_is_refused(name: object) -> None:
    with pytest.raises(InvalidArgument):
        architecture_of(plain() | {"general.architecture": name})


def test_a_cache_of_an_unknown_kind_is_refused_instead_of_guessed() -> None:
    with pytest.raises(InvalidArgument, match="deepseek4"):
        architecture_of({"general.architecture": "deepseek4", "deepseek4.block_count": 61})


def test_a_window_is_demanded_where_the_engine_demands_it() -> None:
    keys = {key.replace("llama", "gpt-oss"): value for key, value in plain().items()}
    with pytest.raises(InvalidArgument) as refused:
        architecture_of(keys | {"general.architecture": "gpt-oss"})
    assert refused.value.path == 'metadata["gpt-oss.attention.sliding_window"]'


def test_a_model_that_encodes_only_has_no_cache() -> None:
    keys = {key.replace("llama", "bert"): value for key, value in plain().items()}
    architecture = architecture_of(keys | {"general.architecture": "bert"})
    assert estimate(architecture, CacheLayout(512)).total_bytes == 0
