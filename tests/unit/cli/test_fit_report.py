"""What a table makes of the server's sizing reports."""

from __future__ import annotations

from typing import Any

import pytest

from ullage.cli.client import Client, ServerError
from ullage.cli.fit_figures import ModelFit
from ullage.cli.fit_report import fit_of_model, type_fit
from ullage.cli.framing import Json

MODEL = {"name": "tiny", "provider": "ollama", "contextLength": 32_768}


class Answering(Client):
    """A client whose server reports what a test says, by cache type."""

    def __init__(self, reports: dict[str, Json]) -> None:
        self.reports = reports

    async def request(self, method: str, params: Json | None = None) -> Any:
        assert method == "context/sizing"
        assert params is not None
        assert params["asMuchAsFits"] is True
        if params["cacheType"] not in self.reports:
            raise ServerError(-32602, "No whole blocks.", {})
        return self.reports[params["cacheType"]]


def report(**changes: Any) -> Json:
    return {
        "tokens": 8192,
        "weightsBytes": 1_000_000,
        "limitedBy": "memory",
        "availableBytes": 2_000_000,
        "reserveBytes": 100_000,
        "bytesPerToken": 100,
        "fixedBytes": 50_000,
        "computeBytes": 30_000,
        "modelLimit": 32_768,
        "explanation": "limited by memory",
        **changes,
    }


async def fitted(**changes: Any) -> ModelFit:
    return await fit_of_model(Answering({"f16": report(**changes)}), MODEL, ["f16"])


async def cells(**changes: Any) -> dict[int, tuple[int | None, bool | None]]:
    fit = await fitted(**changes)
    return {cell.tokens: (cell.total_bytes, cell.fits) for cell in fit.types[0].cells}


async def test_a_cell_is_weights_and_cache() -> None:
    """The compute buffer is told of one size, and differs from size to size."""
    assert (await cells())[2048] == (1_000_000 + 50_000 + 2048 * 100, True)
    assert (await fitted()).types[0].compute_bytes == 30_000


async def test_what_is_beyond_the_servers_best_does_not_fit() -> None:
    fits = {tokens: fit for tokens, (_, fit) in (await cells()).items()}
    assert fits == {2048: True, 4096: True, 8192: True, 16_384: False, 32_768: False}


async def test_the_servers_word_goes_before_the_sum() -> None:
    """It knows what the model's cache holds already."""
    assert (await cells(availableBytes=1_100_000))[8192][1] is True


async def test_beyond_the_persons_maximum_only_a_sum_that_is_too_much_tells() -> None:
    fits = await cells(limitedBy="maximum", tokens=4096, availableBytes=2_000_000)
    assert [fits[size][1] for size in (4096, 8192, 16_384)] == [True, None, False]


async def test_beyond_the_maximum_of_a_loaded_model_nothing_is_told() -> None:
    """What it holds already is not in the report."""
    fits = await cells(limitedBy="maximum", tokens=4096, weightsBytes=0, availableBytes=200_000)
    assert [fits[size][1] for size in (4096, 8192, 16_384)] == [True, None, None]


@pytest.mark.parametrize(("limited_by", "tokens"), [("minimum", 256), ("memory", 0)])
async def test_where_not_even_the_smallest_fits_there_is_no_best(limited_by: str, tokens: int) -> None:
    fit = await fitted(limitedBy=limited_by, tokens=tokens)
    assert fit.types[0].best is None
    assert {cell.fits for cell in fit.types[0].cells} == {False}


@pytest.mark.parametrize("unknown", ["availableBytes", "bytesPerToken"])
async def test_unknown_memory_or_cache_leaves_everything_open(unknown: str) -> None:
    fit = await fitted(limitedBy="model", **{unknown: None})
    assert fit.types[0].best is None
    assert {cell.fits for cell in fit.types[0].cells} == {None}


@pytest.mark.parametrize("unknown", ["weightsBytes", "fixedBytes"])
async def test_an_unknown_part_leaves_the_sum_unknown(unknown: str) -> None:
    assert (await cells(**{unknown: None}))[2048] == (None, True)


def test_the_explanation_is_the_servers_own() -> None:
    assert type_fit("f16", report(explanation="as the cask allows")).explanation == "as the cask allows"


async def test_one_refused_cache_type_leaves_the_others() -> None:
    fit = await fit_of_model(Answering({"f16": report()}), MODEL, ["q8_0", "f16"])
    refused, usual = fit.types
    assert (refused.explanation, refused.best, usual.best) == ("No whole blocks.", None, 8192)
    assert {cell.fits for cell in refused.cells} == {None}


async def test_a_model_that_is_refused_altogether_has_the_reason() -> None:
    fit = await fit_of_model(Answering({}), MODEL, ["f16", "q8_0"])
    assert (fit.types, fit.reason) == ((), "No whole blocks.")
