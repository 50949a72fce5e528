"""What the engine's output is read for; the lines are llama.cpp's own."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ullage.providers.engine_log import TAIL_BYTES, EngineLog

MIB = 1 << 20
SMOLLM2 = b"""\
0.00.165.357 I load_tensors:   CPU_Mapped model buffer size =    92.10 MiB
0.00.168.538 I llama_context: n_seq_max             = 1
0.00.168.556 I llama_context:        CPU  output buffer size =     0.19 MiB
0.00.168.624 I llama_kv_cache:        CPU KV buffer size =    45.00 MiB
0.00.207.219 I llama_kv_cache: size = 45.00 MiB (2048 cells, 30 layers), K (f16): 22.50 MiB, V (q8_0): 22.50 MiB
0.00.213.402 I sched_reserve:        CPU compute buffer size =    16.64 MiB
0.00.252.450 I srv          init: listening on http://127.0.0.1:46355
"""
PARTLY_ON_A_CARD = b"""\
load_tensors:          CPU model buffer size =   100.00 MiB
load_tensors:   CPU_Mapped model buffer size =   900.00 MiB
load_tensors:        CUDA0 model buffer size =   600.00 MiB
llama_kv_cache:      CUDA0 KV buffer size =    24.00 MiB
llama_kv_cache:        CPU KV buffer size =     8.00 MiB
llama_kv_cache:      CUDA0 KV buffer size =    15.00 MiB
llama_memory_recurrent:      CUDA0 RS buffer size =     2.50 MiB
sched_reserve:      CUDA0 compute buffer size =   300.00 MiB
sched_reserve:      CUDA0 compute buffer size =   100.00 MiB
sched_reserve:  CUDA_Host compute buffer size =    10.00 MiB
"""


def _log(*parts: bytes) -> EngineLog:
    log = EngineLog()
    for part in parts:
        log.take(part)
    return log


def test_the_printed_sizes_are_the_footprint() -> None:
    footprint = _log(SMOLLM2).footprint(None)
    assert footprint is not None
    assert footprint.weights_bytes == round(92.10 * MIB)
    assert footprint.cache_bytes == 45 * MIB
    assert footprint.compute_bytes == round(16.64 * MIB)
    assert (footprint.gpu_bytes, footprint.slots, footprint.measured) == (0, 1, True)
    assert footprint.ram_bytes == pytest.approx((92.10 + 0.19 + 45 + 16.64) * MIB, abs=4)
    assert (footprint.cache_type_k, footprint.cache_type_v) == ("f16", "q8_0")


def test_card_and_ram_are_told_apart_and_every_cache_counts() -> None:
    footprint = _log(PARTLY_ON_A_CARD).footprint(None)
    assert footprint is not None
    assert footprint.cache_bytes == round((24 + 8 + 15 + 2.5) * MIB)
    assert footprint.gpu_bytes == round((600 + 24 + 15 + 2.5 + 100) * MIB)
    assert footprint.ram_bytes == (100 + 900 + 8 + 10) * MIB


def test_a_graph_reserved_again_replaces_its_buffer() -> None:
    footprint = _log(PARTLY_ON_A_CARD).footprint(None)
    assert footprint is not None
    assert footprint.compute_bytes == 100 * MIB


def test_of_several_compute_buffers_the_largest_is_told() -> None:
    footprint = _log(PARTLY_ON_A_CARD, b"sched_reserve:      CUDA1 compute buffer size =   140.00 MiB\n").footprint(
        None
    )
    assert footprint is not None
    assert footprint.compute_bytes == 140 * MIB
    assert footprint.gpu_bytes == round((600 + 24 + 15 + 2.5 + 100 + 140) * MIB)


def test_weights_are_never_more_than_their_file() -> None:
    footprint = _log(PARTLY_ON_A_CARD).footprint(1000 * MIB)
    assert footprint is not None
    assert footprint.weights_bytes == 1000 * MIB
    assert footprint.ram_bytes == (100 + 900 + 8 + 10 - 600) * MIB


def test_without_a_printed_cache_nothing_is_claimed() -> None:
    assert _log(b"load_tensors:   CPU_Mapped model buffer size =    92.10 MiB\n").footprint(None) is None


def test_a_models_name_that_looks_like_a_size_is_none() -> None:
    name = b"0.00.157.238 I print_info: general.name          = CPU KV buffer size = 999.00 MiB\n"
    footprint = _log(SMOLLM2, name).footprint(None)
    assert footprint is not None
    assert footprint.cache_bytes == 45 * MIB


def test_everything_has_come_when_the_engine_listens() -> None:
    *before, last = SMOLLM2.splitlines(keepends=True)
    log = _log(*before)
    assert not log.listening.is_set()
    log.take(last)
    assert log.listening.is_set()


def test_only_warnings_errors_and_lines_without_a_level_are_kept() -> None:
    log = _log(
        SMOLLM2,
        b"0.00.100.000 W srv: careful\n0.00.200.000 I slot launch: params:\n\ttemp = 1\n",
        b"terminate called\n0.00.300.000 E srv: bro",
    )
    log.end()
    assert log.tail == b"0.00.100.000 W srv: careful\nterminate called\n0.00.300.000 E srv: bro\n"


def test_of_endless_output_the_end_is_kept() -> None:
    log = _log(*[b"E" * 65536] * 20, b"\nthe end\n")
    assert len(log.tail) <= TAIL_BYTES
    assert log.tail.endswith(b"the end\n")


@given(st.lists(st.integers(0, len(SMOLLM2)), max_size=12))
def test_where_the_output_is_cut_does_not_matter(cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), len(SMOLLM2)]
    parts = [SMOLLM2[start:end] for start, end in pairwise(bounds)]
    assert _log(*parts).footprint(None) == _log(SMOLLM2).footprint(None)


@given(st.binary(max_size=300))
def test_any_bytes_are_taken(data: bytes) -> None:
    log = _log(data, b"\nx: CPU KV buffer size = " + data + b" MiB\n")
    log.end()
    log.footprint(1)
