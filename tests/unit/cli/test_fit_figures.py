"""Which context sizes get a row, and the form of the JSON."""

from __future__ import annotations

import pytest

from ullage.cli.fit_figures import ALL_TYPES, Cell, ModelFit, TypeFit, sizes_of, to_json, with_cells
from ullage.cli.json_forms import FIT_JSON


def type_fit(best: int | None = 21_504) -> TypeFit:
    return TypeFit("q8_0", best, "memory", 12_240, 1_000, "limited by memory", (Cell(2048, 5, fits=True),))


@pytest.mark.parametrize(
    ("limit", "bests", "sizes"),
    [
        (None, [], (2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072)),
        (8192, [], (2048, 4096, 8192)),
        (40_960, [21_504, 40_960], (2048, 4096, 8192, 16_384, 21_504, 32_768, 40_960)),
        (8192, [None, 8192], (2048, 4096, 8192)),
        (262_144, [262_144], (2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072, 262_144)),
        (4096, [512], (512, 2048, 4096)),
        (1024, [], (1024,)),
        (1024, [768], (768,)),
    ],
)
def test_sizes_double_up_to_the_limit_and_hold_the_best(
    limit: int | None, bests: list[int | None], sizes: tuple[int, ...]
) -> None:
    assert sizes_of(limit, bests) == sizes


def test_every_cache_type_gets_the_same_rows() -> None:
    types = with_cells([type_fit(21_504), type_fit(30_720)], 32_768, lambda _, tokens: Cell(tokens, None, None))
    first, second = ([cell.tokens for cell in each.cells] for each in types)
    assert first == second == [2048, 4096, 8192, 16_384, 21_504, 30_720, 32_768]


def test_the_json_has_every_figure() -> None:
    fit = ModelFit("tiny", "ollama", None, 100, 32_768, 512, types=(type_fit(),))
    assert to_json(fit) == {
        "model": "tiny",
        "provider": "ollama",
        "file": None,
        "weightsBytes": 100,
        "modelLimit": 32_768,
        "reserveBytes": 512,
        "cacheTypes": [
            {
                "cacheType": "q8_0",
                "bestTokens": 21_504,
                "limitedBy": "memory",
                "bytesPerToken": 12_240,
                "fixedBytes": 1_000,
                "computeBytes": None,
                "explanation": "limited by memory",
                "sizes": [{"tokens": 2048, "totalBytes": 5, "fits": True}],
            }
        ],
        "reason": None,
    }


def test_the_help_names_every_field_of_the_json() -> None:
    document = to_json(ModelFit("tiny", types=(type_fit(),)))
    [of_type] = document["cacheTypes"]
    fields = {*document, *of_type, *of_type["sizes"][0]}
    assert {field for field in fields if field not in FIT_JSON} == set()


def test_all_types_are_those_of_the_settings() -> None:
    assert set(ALL_TYPES) == {"f16", "q8_0", "q4_0", "q5_0", "q5_1", "q4_1", "bf16", "f32", "iq4_nl"}


@pytest.mark.parametrize(
    ("best", "per_token", "fits", "may_fit"),
    [(256, 100, True, True), (None, 100, False, False), (None, 100, None, True), (None, None, None, False)],
)
def test_what_can_not_be_told_may_fit_and_what_can_not_be_sized_does_not(
    best: int | None, per_token: int | None, fits: bool | None, may_fit: bool
) -> None:
    assert TypeFit("f16", best, None, per_token, 0, "", (Cell(256, None, fits),)).may_fit is may_fit
