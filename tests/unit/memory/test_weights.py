"""The best source of the weights' size wins."""

from __future__ import annotations

import pytest

from ullage.memory.weights import BITS_PER_WEIGHT, FILE_TYPES, Weights, weights


def test_the_servers_own_figure_comes_first() -> None:
    found = weights(server_bytes=5, file_bytes=6, parameter_count=8, quantisation="Q8_0")
    assert found == Weights(5, "server")


def test_the_files_size_comes_before_a_calculation() -> None:
    assert weights(file_bytes=6, parameter_count=8, quantisation="Q8_0") == Weights(6, "file")


def test_parameters_times_bits_come_last() -> None:
    found = weights(parameter_count=8_030_261_248, quantisation="q4_k_m")
    assert found is not None
    assert found.source == "parameters"
    assert found.bytes == pytest.approx(4.92e9, rel=0.01)  # the published file of Llama 3.1 8B in Q4_K_M


@pytest.mark.parametrize(("parameters", "name"), [(None, "Q4_0"), (0, "Q4_0"), (10**9, None), (10**9, "Q99")])
def test_what_can_not_be_told_is_unknown(parameters: int | None, name: str | None) -> None:
    assert weights(file_bytes=0, parameter_count=parameters, quantisation=name) is None


@pytest.mark.parametrize(
    ("file_type", "name"),
    [(0, "F32"), (1, "F16"), (3, "Q4_1"), (7, "Q8_0"), (15, "Q4_K_M"), (18, "Q6_K"), (30, "IQ4_XS"), (32, "BF16")],
)
def test_a_file_type_of_a_header_has_a_name(file_type: int, name: str) -> None:
    assert FILE_TYPES[file_type] == name


def test_the_bits_of_every_file_type_are_known() -> None:
    assert set(FILE_TYPES.values()) <= set(BITS_PER_WEIGHT)


def test_fewer_bits_in_the_name_are_fewer_bits() -> None:
    families = [["Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K"], ["IQ4_XS", "IQ3_M", "IQ2_M", "IQ1_M"]]
    for family in families:
        bits = [BITS_PER_WEIGHT[name] for name in family]
        assert bits == sorted(bits, reverse=True)
