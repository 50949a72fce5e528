"""How many bytes a model's weights take, from the best source there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import frozen

WeightsSource = Literal["server", "file", "parameters"]

BITS_PER_WEIGHT: Mapping[str, float] = {
    "F32": 32.0,
    "F16": 16.0,
    "BF16": 16.0,
    "Q8_0": 8.5,
    "Q6_K": 6.56,
    "Q5_1": 6.0,
    "Q5_K_M": 5.7,
    "Q5_K_S": 5.57,
    "Q5_K": 5.7,
    "Q5_0": 5.57,
    "Q4_1": 5.13,
    "Q4_K_M": 4.89,
    "Q4_K_S": 4.67,
    "Q4_K": 4.89,
    "Q4_0": 4.66,
    "IQ4_NL": 4.68,
    "IQ4_XS": 4.46,
    "MXFP4": 4.35,
    "Q3_K_L": 4.3,
    "Q3_K_M": 4.0,
    "Q3_K": 4.0,
    "IQ3_M": 3.76,
    "IQ3_S": 3.66,
    "Q3_K_S": 3.64,
    "IQ3_XS": 3.5,
    "IQ3_XXS": 3.25,
    "Q2_K": 3.16,
    "Q2_K_S": 2.97,
    "IQ2_M": 2.93,
    "IQ2_S": 2.74,
    "IQ2_XS": 2.59,
    "IQ2_XXS": 2.38,
    "IQ1_M": 2.15,
    "IQ1_S": 2.0,
}
"""Whole files of an 8B model, embeddings and scales included; smaller models take a little more a weight."""


FILE_TYPES: Mapping[int, str] = {
    **dict(enumerate(("F32", "F16", "Q4_0", "Q4_1"))),
    **dict(enumerate(("Q8_0", "Q5_0", "Q5_1", "Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M"), start=7)),
    **dict(enumerate(("Q5_K_S", "Q5_K_M", "Q6_K", "IQ2_XXS", "IQ2_XS", "Q2_K_S", "IQ3_XS", "IQ3_XXS"), start=16)),
    **dict(enumerate(("IQ1_S", "IQ4_NL", "IQ3_S", "IQ3_M", "IQ2_S", "IQ2_M", "IQ4_XS", "IQ1_M", "BF16"), start=24)),
    38: "MXFP4",
}
"""The names of ``general.file_type`` in GGUF headers: llama.cpp's ``llama_ftype``."""


@frozen
class Weights:
    bytes: int
    source: WeightsSource


def weights(
    *,
    server_bytes: int | None = None,
    file_bytes: int | None = None,
    parameter_count: int | None = None,
    quantisation: str | None = None,
) -> Weights | None:
    """The server's own figure of what it holds, else the file's size, else parameters × bits / 8; None: unknown.

    ``quantisation`` is the name of the file's type ("Q4_K_M"), in any case.
    """
    if server_bytes is not None and server_bytes > 0:
        return Weights(server_bytes, "server")
    if file_bytes is not None and file_bytes > 0:
        return Weights(file_bytes, "file")
    bits = BITS_PER_WEIGHT.get((quantisation or "").upper())
    if bits is None or parameter_count is None or parameter_count <= 0:
        return None
    return Weights(round(parameter_count * bits / 8), "parameters")
