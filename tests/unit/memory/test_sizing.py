"""The size of a context: what limits it, and how it says so."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from support.architectures import observations, plain
from ullage.errors import InsufficientMemory
from ullage.memory.architecture import architecture_of
from ullage.memory.compute_buffer import measured, upper_bound
from ullage.memory.kv_cache import CacheLayout, estimate
from ullage.memory.sizing import Memory, SizingRequest, largest_fitting, require_fit, shortfall, size

GIB, MIB = 2**30, 2**20
PLAIN = architecture_of(plain())
A_TOKEN = 128 * 1024


def request(**changes: Any) -> SizingRequest:
    """16,384 tokens wanted; room for 16,384 and a little in 2.6 GB less the buffer of 512 MB."""
    wanted = SizingRequest(
        architecture=PLAIN,
        layout=CacheLayout(1),
        memories=(Memory(available_bytes=2560 * MIB + 5 * A_TOKEN, total_bytes=8 * GIB),),
        target=16_384,
        minimum=2048,
        maximum=0,
        reserve_bytes=512 * MIB,
        compute=measured(0),
    )
    return attrs.evolve(wanted, **changes)


def test_the_target_is_given_where_it_fits() -> None:
    report = size(request())
    assert (report.tokens, report.limited_by, report.target) == (16_384, "target", 16_384)
    assert report.bytes_per_token == A_TOKEN
    assert report.explanation.startswith("as asked for: 2.5 of 8.0 GB free, 128 KB a token with f16")


def test_memory_limits_to_a_multiple_of_256() -> None:
    report = size(request(target=0))
    assert (report.tokens, report.limited_by) == (16_384, "memory")
    assert largest_fitting(request(memories=(Memory(512 * MIB + 700 * A_TOKEN),))) == 512


def test_the_explanation_names_the_figures_and_what_another_type_would_give() -> None:
    report = size(request(target=0))
    assert report.explanation == (
        "limited by memory: 2.5 of 8.0 GB free, 128 KB a token with f16; q8_0 would give 30,720"
    )


@pytest.mark.parametrize(
    ("changes", "tokens", "limited_by"),
    [
        ({"target": 10_000}, 10_000, "target"),
        ({"target": 0, "maximum": 9000}, 8960, "maximum"),
        ({"target": 0, "model_limit": 8192}, 8192, "model"),
        ({"target": 0, "provider_limit": 4096}, 4096, "provider"),
        ({"memories": (Memory(600 * MIB),)}, 2048, "minimum"),
        ({"target": 100}, 2048, "minimum"),
        ({"target": 0, "model_limit": 1024}, 1024, "model"),
        ({"memories": (Memory(600 * MIB),), "model_limit": 1024}, 1024, "minimum"),
        ({"memories": (Memory(600 * MIB),), "auto": False}, 16_384, "target"),
        ({"memories": (Memory(None),)}, 16_384, "target"),
        ({"memories": (), "target": 0}, 2048, "minimum"),
        ({"architecture": None}, 16_384, "target"),
        ({"target": 0, "maximum": 1000}, 768, "maximum"),
        ({"target": 0, "minimum": 1, "maximum": 255}, 255, "maximum"),
        ({"target": 0, "minimum": 1, "maximum": 2, "model_limit": 3}, 2, "maximum"),
        ({"target": 0, "minimum": 1, "maximum": 3, "model_limit": 2}, 2, "model"),
        ({"target": 0, "minimum": 1, "maximum": 300, "provider_limit": 299}, 256, "provider"),
        ({"target": 9000, "auto": False, "maximum": 8999}, 8960, "maximum"),
        ({"target": 0, "minimum": 1000, "maximum": 1010}, 1000, "minimum"),
        ({"target": 100, "maximum": 1024}, 1024, "maximum"),
        ({"memories": (Memory(None),), "maximum": 1025}, 1024, "maximum"),
        ({"target": 0, "memories": (Memory(600 * MIB),), "maximum": 1024}, 1024, "maximum"),
        ({"target": 0, "memories": (Memory(None),), "model_limit": 131_072}, 2048, "minimum"),
        ({"target": 0, "architecture": None, "model_limit": 131_072}, 2048, "minimum"),
        ({"target": 0, "model_limit": 8000}, 7936, "model"),
        ({"target": 0, "provider_limit": 4097}, 4096, "provider"),
    ],
)
def test_what_limits(changes: dict[str, Any], tokens: int, limited_by: str) -> None:
    report = size(request(**changes))
    assert (report.tokens, report.limited_by) == (tokens, limited_by)


def test_a_minimum_that_does_not_fit_says_so() -> None:
    report = size(request(memories=(Memory(600 * MIB),)))
    assert "only 512 would fit" in report.explanation


def test_what_this_models_cache_holds_already_counts_as_free() -> None:
    memory = Memory(available_bytes=560 * MIB + 5 * A_TOKEN, held_bytes=2000 * MIB)
    assert size(request(target=0, memories=(memory,))).tokens == 16_384


def test_weights_that_are_still_to_be_loaded_come_first() -> None:
    memory = Memory(available_bytes=4560 * MIB + 5 * A_TOKEN, weights_bytes=2000 * MIB)
    report = size(request(target=0, memories=(memory,)))
    assert (report.tokens, report.weights_bytes) == (16_384, 2000 * MIB)


def test_the_compute_buffer_comes_off_first() -> None:
    assert size(request(target=0, compute=measured(256 * A_TOKEN))).tokens == 16_384 - 256
    assert 0 < size(request(target=0, minimum=1, compute=None)).tokens < 16_384


def test_a_measured_compute_buffer_grows_beyond_the_size_it_was_measured_at() -> None:
    at = CacheLayout(8192)
    wanted = request(compute=measured(300 * MIB, at), output_rows=1, memories=(Memory(64 * GIB),))
    ratio = upper_bound(PLAIN, CacheLayout(131_072), 1).bytes / upper_bound(PLAIN, at, 1).bytes
    assert ratio > 1
    assert size(attrs.evolve(wanted, target=131_072)).compute_bytes == pytest.approx(300 * MIB * ratio, abs=1)
    assert size(attrs.evolve(wanted, target=4096)).compute_bytes == 300 * MIB


def test_unknown_weights_are_said_and_not_taken_for_none() -> None:
    memories = Memory(2560 * MIB, weights_bytes=MIB), Memory(None, weights_bytes=None)
    report = size(request(memories=memories))
    assert report.weights_bytes is None
    assert "128 KB a token with f16, weights unknown" in report.explanation
    assert "unknown" not in size(request()).explanation


def test_an_estimate_of_the_weights_is_said_to_be_one_while_they_are_still_to_be_loaded() -> None:
    note = "weights estimated from the number of parameters"
    resting, loaded = Memory(2560 * MIB, weights_bytes=MIB), Memory(2560 * MIB, weights_bytes=0)
    assert note in size(request(memories=(resting,), weights_estimated=True)).explanation
    assert note not in size(request(memories=(loaded,), weights_estimated=True)).explanation
    assert note not in size(request(memories=(resting,))).explanation


def test_an_unknown_architecture_is_said_to_be_computed_by_the_general_formula() -> None:
    unknown = attrs.evolve(PLAIN, name="banana", is_known=False)
    report = size(request(target=0, architecture=unknown))
    assert report.explanation == (
        "limited by memory: 2.5 of 8.0 GB free, 128 KB a token with f16, by the general formula, as the architecture"
        " banana is not known here; q8_0 would give 30,720"
    )


@pytest.mark.parametrize(("unified", "streams"), [(False, 4), (True, 1)])
def test_the_size_is_that_of_every_slot(unified: bool, streams: int) -> None:
    layout = CacheLayout(1, slots=4, unified=unified)
    report = size(request(target=0, minimum=256, layout=layout))
    assert (report.tokens, report.bytes_per_token) == (16_384 // streams, A_TOKEN * streams)


def test_a_context_that_no_engine_could_count_for_every_slot_does_not_fit() -> None:
    assert shortfall(request(layout=CacheLayout(1, slots=4)), 2**30) > 0


def test_fewer_rows_of_logits_leave_more_for_the_context() -> None:
    every, one = request(target=0, compute=None), request(target=0, compute=None, output_rows=1)
    assert size(one).tokens > size(every).tokens


def test_a_model_split_between_memories_has_to_fit_each() -> None:
    card = Memory(available_bytes=512 * MIB + 24 * MIB, layer_share=0.25)
    ram = Memory(available_bytes=512 * MIB + 768 * MIB, layer_share=0.75)
    assert largest_fitting(request(memories=(card, ram))) == 24 * MIB * 4 // A_TOKEN // 256 * 256
    assert largest_fitting(request(memories=(card, attrs.evolve(ram, available_bytes=600 * MIB)))) == 768


def test_a_card_without_layers_needs_no_cache() -> None:
    ram = Memory(available_bytes=2560 * MIB, layer_share=1.0)
    assert largest_fitting(request(memories=(ram, Memory(513 * MIB, layer_share=0.0)))) == 16_384


def test_nothing_fits_in_nothing() -> None:
    assert largest_fitting(request(memories=(Memory(0),))) == 0


def test_fixed_parts_of_the_cache_do_not_grow() -> None:
    row = next(row for row in observations() if row["model"] == "Gemma 3 270M")
    gemma = architecture_of(row["metadata"])
    report = size(request(architecture=gemma, target=8192))
    assert report.fixed_bytes == 15 * MIB
    assert report.bytes_per_token == 3 * 2 * 256 * 2


def test_the_report_tells_the_compute_buffer_that_it_counted() -> None:
    buffer = measured(300 * MIB)
    assert size(request(compute=buffer)).compute_bytes == buffer.bytes
    bounded = request(compute=None, target=8192)
    assert bounded.architecture is not None
    bound = upper_bound(bounded.architecture, attrs.evolve(bounded.layout, context_tokens=8192))
    assert size(bounded).compute_bytes == bound.bytes
    assert size(request(architecture=None)).compute_bytes is None


def test_an_older_file_of_latent_attention_is_sized_by_what_the_engine_keeps() -> None:
    row = next(row for row in observations() if row["model"] == "DeepSeek-Coder-V2-Lite 16B")
    report = size(request(architecture=architecture_of(row["metadata"])))
    assert report.bytes_per_token == 27 * 16 * (192 + 128) * 2


def test_a_size_that_does_not_fit_is_refused_with_what_would() -> None:
    small = request(memories=(Memory(1024 * MIB),))
    with pytest.raises(InsufficientMemory) as refused:
        require_fit(small, 16_384)
    assert refused.value.data == {"needed": 16_384, "limit": 4096}
    assert "4,096 tokens fit" in refused.value.message


def test_a_size_that_fits_or_memory_that_is_unknown_refuses_nothing() -> None:
    require_fit(request(), 16_384)
    require_fit(request(memories=(Memory(None),)), 2**30)


def test_what_fits_really_fits_and_the_next_does_not() -> None:
    wanted = request(compute=None)
    fitting = largest_fitting(wanted)
    assert fitting is not None
    assert shortfall(wanted, fitting) <= 0 < shortfall(wanted, fitting + 256)


def test_a_model_without_a_cache_fits_any_context() -> None:
    mamba = {key.replace("llama", "mamba"): value for key, value in plain().items()}
    mamba |= {"general.architecture": "mamba", "mamba.ssm.conv_kernel": 4, "mamba.ssm.inner_size": 1536}
    architecture = architecture_of(mamba | {"mamba.ssm.state_size": 16})
    report = size(request(architecture=architecture, target=0, model_limit=2**20))
    assert (report.tokens, report.limited_by, report.bytes_per_token) == (2**20, "model", 0)


def test_the_search_takes_no_more_steps_for_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(*arguments: Any) -> Any:
        asked.append(arguments)
        return estimate(*arguments)

    monkeypatch.setattr("ullage.memory.sizing.estimate", counted)
    largest_fitting(request(memories=(Memory(200 * 1024 * GIB),)))
    assert 0 < len(asked) < 40
