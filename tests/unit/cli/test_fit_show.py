"""The tables of `ullage fit`."""

from __future__ import annotations

import io

import pytest
from attrs import evolve
from rich.console import Console

from ullage.cli.fit_figures import Cell, ModelFit, TypeFit
from ullage.cli.fit_show import limits_text, memory_line, model_row, show_model, show_models, size_rows, sums_text
from ullage.cli.framing import Json
from ullage.cli.terminal import Terminal
from ullage.settings import CacheType

GIB = 2**30


def type_fit(cache_type: CacheType = "f16", best: int | None = 4096, limited_by: str = "memory") -> TypeFit:
    cells = tuple(Cell(tokens, tokens * 2**20, best is not None and tokens <= best) for tokens in (2048, 4096, 8192))
    return TypeFit(cache_type, best, limited_by, 2**20, 0, f"limited by {limited_by}", cells)


def model(*types: TypeFit) -> ModelFit:
    return ModelFit("tiny", "ollama", None, 3 * GIB, 8192, GIB // 2, types=types or (type_fit(),))


def memory(available: int | None = 6 * GIB) -> Json:
    return {"kind": "nvidia", "total": 8 * GIB, "used": 2 * GIB, "available": available, "devices": []}


def drawn(*, terminal: bool, width: int = 100, fit: ModelFit | None = None) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=width, color_system="standard" if terminal else None)
    show_model(Terminal(console, console), fit or model(), memory())
    return out.getvalue()


def test_a_row_marks_what_fits_what_spills_and_the_best() -> None:
    rows = [tuple(str(cell) for cell in row) for row in size_rows([type_fit()])]
    assert rows == [("2,048", "2.0 GB"), ("4,096", "4.0 GB *"), ("8,192", "8.0 GB !")]


def test_what_fits_is_green_and_what_spills_is_red() -> None:
    assert [row[1].style for row in size_rows([type_fit()])] == ["green", "bold green", "red"]


def test_what_can_not_be_told_is_marked_as_that() -> None:
    untold = TypeFit("f16", None, None, None, None, "", (Cell(2048, None, None),))
    assert str(size_rows([untold])[0][1]) == "unknown ?"


def test_a_plain_table_says_it_without_colours() -> None:
    text = drawn(terminal=False)
    assert "\x1b" not in text
    assert "context  f16\n2,048    2.0 GB\n4,096    4.0 GB *\n8,192    8.0 GB !\n" in text
    assert "* the largest that fits; ! does not fit." in text


def test_a_terminal_gets_colours_beside_the_marks() -> None:
    text = drawn(terminal=True)
    assert "\x1b[32m2.0 GB" in text
    assert "\x1b[31m8.0 GB !" in text


def test_the_explanations_and_the_memory_stand_below() -> None:
    assert drawn(terminal=False).endswith(
        "f16: limited by memory\nMemory (nvidia): 6.0 GB of 8.0 GB available; 512.0 MB of it stay free as a buffer.\n"
    )


def test_what_the_sums_hold_is_said() -> None:
    assert "an upper bound of the compute buffer" in drawn(terminal=False)


def test_a_compute_buffer_that_the_sums_leave_out_is_told_apart() -> None:
    types = [evolve(type_fit(), compute_bytes=30 * 2**20), evolve(type_fit("q8_0", None), compute_bytes=2**20)]
    assert sums_text(types) == (
        "Sums are weights still to be loaded and the cache. The compute buffer comes on top: "
        "at the largest size that fits at most 30.0 MB (f16)."
    )
    assert sums_text(types[1:]) == (
        "Sums are weights still to be loaded and the cache. The compute buffer comes on top."
    )


def test_the_headline_says_what_the_model_is() -> None:
    assert drawn(terminal=False).startswith("tiny · ollama · 3.0 GB of weights to be loaded · made for 8,192 tokens\n")


@pytest.mark.parametrize(("terminal", "tables"), [(True, 2), (False, 1)])
def test_a_narrow_terminal_gets_several_tables(terminal: bool, tables: int) -> None:
    cache_types: list[CacheType] = ["f16", "q8_0", "q4_0", "q5_0", "q5_1", "q4_1"]
    fit = model(*(type_fit(cache_type) for cache_type in cache_types))
    assert drawn(terminal=terminal, width=60, fit=fit).count("context") == tables


def test_a_model_is_a_line_of_the_list() -> None:
    fit = model(type_fit("f16"), type_fit("q8_0", 8192, "model"), type_fit("q4_0", None))
    assert [str(cell) for cell in model_row(fit, 3)] == [
        "tiny",
        "ollama",
        "3.0 GB",
        "8,192",
        "4,096",
        "8,192",
        "none",
        "memory (f16, q4_0), model (q8_0)",
    ]


def test_a_model_that_can_not_be_sized_is_listed_with_the_reason() -> None:
    out = io.StringIO()
    terminal = Terminal(Console(file=out, force_terminal=False, width=200), Console(file=out))
    show_models(terminal, [model(), ModelFit("odd", "llamacpp", reason="Nothing tells how large it is.")], memory())
    text = out.getvalue()
    assert "odd    llamacpp  unknown  unknown  unknown  unknown\n" in text
    assert "odd: Nothing tells how large it is.\n" in text


def test_one_limit_for_all_types_is_named_once() -> None:
    assert limits_text([type_fit("f16"), type_fit("q8_0")]) == "memory"


@pytest.mark.parametrize(
    ("reading", "reserve", "line"),
    [
        (memory(), None, "Memory (nvidia): 6.0 GB of 8.0 GB available."),
        (memory(None), 512, "Memory (nvidia): what is available can't be told. `ullage doctor` says more."),
        (memory() | {"total": None}, 0, "Memory (nvidia): 6.0 GB available."),
    ],
)
def test_the_memory_line_tells_what_is_known(reading: Json, reserve: int | None, line: str) -> None:
    assert memory_line(reading, reserve) == line
