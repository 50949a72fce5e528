"""Model files: what is read of their headers, and how they are sized."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from support.gguf_writer import header_bytes, write_gguf
from ullage.cli.client import Client
from ullage.cli.fit_file import Room, fit_of_file, largest
from ullage.cli.framing import Json
from ullage.errors import InvalidArgument
from ullage.memory.architecture import architecture_of
from ullage.memory.compute_buffer import upper_bound
from ullage.memory.kv_cache import CacheLayout
from ullage.memory.readings import DeviceReading
from ullage.tokens.gguf import GgufError
from ullage.tokens.model_file import ModelFile, read_model_file

METADATA: dict[str, Any] = {
    "general.architecture": "llama",
    "general.name": "Not of interest",
    "llama.block_count": 30,
    "llama.context_length": 8192,
    "llama.embedding_length": 576,
    "llama.feed_forward_length": 1536,
    "llama.attention.head_count": 9,
    "llama.attention.head_count_kv": 3,
    "llama.labels": ["a", "b"],
    "tokenizer.ggml.tokens": ["<unk>", "a"],
}
READ = {key: value for key, value in METADATA.items() if key not in ("general.name", "llama.labels")}
READ.pop("tokenizer.ggml.tokens")
READ["llama.vocab_size"] = 2
KV_PER_TOKEN, WEIGHTS = 1_000, 5_000_000


class Estimating(Client):
    """A client whose server multiplies."""

    def __init__(self) -> None:
        self.asked: list[Json] = []

    async def request(self, method: str, params: Json | None = None) -> Any:
        assert method == "context/estimateMemory"
        assert params is not None
        self.asked.append(params)
        return {"totalBytes": KV_PER_TOKEN * params["contextTokens"] + 500, "bytesPerToken": KV_PER_TOKEN}


def file(limit: int | None = 8192) -> ModelFile:
    return ModelFile("tiny", "tiny.gguf", READ, WEIGHTS, limit)


def needed(tokens: int) -> int:
    """Bytes of everything but the buffer."""
    compute = upper_bound(architecture_of(READ), CacheLayout(tokens)).bytes
    return WEIGHTS + tokens * KV_PER_TOKEN + 500 + compute


def written(folder: Path, name: str = "tiny.gguf", changes: dict[str, Any] | None = None) -> Path:
    return write_gguf(folder / name, METADATA | (changes or {}))


def test_the_architectures_keys_are_read_and_nothing_else(tmp_path: Path) -> None:
    changes = {"llama.attention.head_count_kv": [3] * 30}
    assert read_model_file(written(tmp_path, changes=changes)).metadata == READ | changes


def test_the_vocabularys_own_key_goes_before_the_number_of_tokens(tmp_path: Path) -> None:
    changes = {"llama.vocab_size": 7}
    assert read_model_file(written(tmp_path, changes=changes)).metadata["llama.vocab_size"] == 7


def test_the_weights_are_as_large_as_the_file(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert read_model_file(path).weights_bytes == path.stat().st_size


def test_the_weights_of_a_split_model_are_those_of_all_parts(tmp_path: Path) -> None:
    first = written(tmp_path, "big-00001-of-00002.gguf")
    (tmp_path / "big-00002-of-00002.gguf").write_bytes(b"x" * 1000)
    assert read_model_file(first).weights_bytes == first.stat().st_size + 1000


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    first = written(tmp_path, "big-00001-of-00002.gguf")
    with pytest.raises(GgufError, match=r"big-00002-of-00002\.gguf is missing: download every part"):
        read_model_file(first)


def test_more_parts_than_any_model_has_are_not_counted(tmp_path: Path) -> None:
    with pytest.raises(GgufError, match="99,999 parts"):
        read_model_file(written(tmp_path, "big-00001-of-99999.gguf"))


def test_a_file_without_an_architecture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "later.gguf"
    path.write_bytes(header_bytes({"split.no": 1}))
    with pytest.raises(GgufError, match="names no architecture"):
        read_model_file(path)


def test_a_list_longer_than_any_model_is_refused_by_its_key(tmp_path: Path) -> None:
    path = written(tmp_path, changes={"llama.attention.head_count_kv": [1] * 65_537})
    with pytest.raises(GgufError, match=r"llama\.attention\.head_count_kv has 65,537 entries"):
        read_model_file(path)


async def test_a_cell_is_weights_the_servers_estimate_and_the_compute_buffer() -> None:
    fit = await fit_of_file(Estimating(), file(), ["f16"], Room(10**9, 0))
    assert fit.types[0].cells[0].total_bytes == needed(2048)


async def test_the_best_fills_what_the_buffer_leaves() -> None:
    reserve = 10_000_000
    available = needed(5_000) + reserve
    [each] = (await fit_of_file(Estimating(), file(), ["f16"], Room(available, reserve))).types
    assert each.best is not None
    assert needed(each.best) + reserve <= available < needed(each.best + 256) + reserve
    assert (each.best % 256, each.limited_by) == (0, "memory")


async def test_several_cards_each_hold_their_part_and_a_buffer() -> None:
    """Of 30 layers the first card gets 16; what fits both cards as one is too much for it."""
    reserve, free = 10_000_000, needed(5_000)
    room = Room(2 * free, reserve, devices=tuple(DeviceReading("card", free, 0, free) for _ in range(2)))
    [each] = (await fit_of_file(Estimating(), file(2**20), ["f16"], room)).types
    share = 16 / 30

    def on_the_first(tokens: int) -> float:
        compute = needed(tokens) - WEIGHTS - KV_PER_TOKEN * tokens - 500
        return (WEIGHTS + KV_PER_TOKEN * tokens + 500) * share + compute + reserve

    assert each.best is not None
    assert on_the_first(each.best) <= free < on_the_first(each.best + 256)


async def test_a_cache_type_that_no_engine_would_load_leaves_the_others() -> None:
    odd = READ | {"llama.embedding_length": 9 * 80}
    fit = await fit_of_file(Estimating(), evolve(file(), metadata=odd), ["f16", "q8_0"], Room(10**9, 0))
    usual, blocks = fit.types
    assert (usual.best, blocks.best) == (8192, None)
    assert "no whole blocks" in blocks.explanation
    assert {cell.fits for cell in blocks.cells} == {None}


async def test_metadata_that_make_no_sense_are_refused_by_their_key() -> None:
    hostile = evolve(file(), metadata=READ | {"llama.block_count": 0})
    with pytest.raises(InvalidArgument, match=r"llama\.block_count"):
        await fit_of_file(Estimating(), hostile, ["f16"], Room(10**9, 0))


async def test_an_unknown_architecture_is_said_to_be_computed_by_the_general_formula() -> None:
    unknown = {key.replace("llama", "banana"): value for key, value in READ.items()}
    metadata = unknown | {"general.architecture": "banana"}
    told = (await fit_of_file(Estimating(), evolve(file(), metadata=metadata), ["f16"], Room(10**9, 0))).types
    assert "banana is not known here: the figures are by the general formula." in told[0].explanation
    known = (await fit_of_file(Estimating(), file(), ["f16"], Room(10**9, 0))).types
    assert "general formula" not in known[0].explanation


async def test_what_fits_whole_is_limited_by_the_model() -> None:
    [each] = (await fit_of_file(Estimating(), file(), ["f16"], Room(10**12, 0))).types
    assert (each.best, each.limited_by) == (8192, "model")
    assert each.explanation.startswith("limited by the model, which was made for 8,192 tokens")


async def test_the_persons_maximum_goes_before_the_model() -> None:
    [each] = (await fit_of_file(Estimating(), file(), ["f16"], Room(10**12, 0, maximum=1000))).types
    assert (each.best, each.limited_by) == (768, "maximum")
    assert each.explanation.startswith("limited by context.maxSize in the settings, 1,000 tokens")


async def test_a_maximum_beyond_the_model_limits_nothing() -> None:
    [each] = (await fit_of_file(Estimating(), file(), ["f16"], Room(10**12, 0, maximum=9000))).types
    assert (each.best, each.limited_by) == (8192, "model")


@pytest.mark.parametrize(("limit", "best"), [(1000, 768), (256, 256), (200, 200)])
async def test_a_limit_counts_in_whole_cells_and_below_those_itself(limit: int, best: int) -> None:
    [each] = (await fit_of_file(Estimating(), file(limit), ["f16"], Room(10**12, 0))).types
    assert (each.best, each.limited_by) == (best, "model")


async def test_a_file_for_a_few_tokens_that_does_not_fit_has_no_best() -> None:
    [each] = (await fit_of_file(Estimating(), file(200), ["f16"], Room(WEIGHTS, 0))).types
    assert (each.best, each.limited_by) == (None, "memory")


async def test_a_file_too_large_for_the_memory_has_no_best() -> None:
    [each] = (await fit_of_file(Estimating(), file(), ["f16"], Room(WEIGHTS, 0))).types
    assert (each.best, each.limited_by) == (None, "memory")
    assert "Choose a smaller model" in each.explanation
    assert {cell.fits for cell in each.cells} == {False}


async def test_unknown_memory_leaves_the_sums_and_no_verdict() -> None:
    [each] = (await fit_of_file(Estimating(), file(), ["f16"], Room(None, 0))).types
    assert (each.best, each.limited_by) == (None, None)
    assert {cell.fits for cell in each.cells} == {None}


async def test_the_fixed_part_is_told_from_the_slope() -> None:
    [each] = (await fit_of_file(Estimating(), file(), ["f16"], Room(10**9, 0))).types
    assert (each.bytes_per_token, each.fixed_bytes) == (KV_PER_TOKEN, 500)


async def test_both_halves_of_the_cache_have_the_type_asked_for() -> None:
    client = Estimating()
    await fit_of_file(client, file(), ["q4_0"], Room(10**9, 0))
    assert {(params["cacheTypeK"], params["cacheTypeV"]) for params in client.asked} == {("q4_0", "q4_0")}


async def test_few_estimates_are_asked_for_a_long_context() -> None:
    client = Estimating()
    await fit_of_file(client, file(2**20), ["f16"], Room(10**9, 0))
    assert len(client.asked) < 30


@given(limit=st.integers(0, 300_000), most=st.integers(0, 300_000))
async def test_the_largest_is_the_bound_itself_or_a_multiple_of_256(limit: int, most: int) -> None:
    async def holds(tokens: int) -> bool:
        return tokens <= limit

    assert await largest(holds, most) == (most if most <= limit else limit // 256 * 256)
