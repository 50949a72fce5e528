"""Which card holds how many layers, and what that makes of its memory."""

from __future__ import annotations

import pytest
from attrs import frozen

from ullage.hardware.probe import device, unreadable
from ullage.memory.placement import PlacedModel, placed, shared_out
from ullage.memory.readings import DeviceReading
from ullage.memory.sizing import Memory

GIB = 2**30


@frozen
class Ram:
    total: int | None = 64 * GIB
    available: int | None = 32 * GIB


def card(gigabytes_free: float, gigabytes: float = 24) -> DeviceReading:
    return device("card", round(gigabytes * GIB), round(gigabytes_free * GIB))


def shares(model: PlacedModel, *cards: DeviceReading, least_bytes: int = 0) -> list[float]:
    return [memory.layer_share for memory in placed(model, cards, None, least_bytes)]


@pytest.mark.parametrize(
    ("layers", "free", "expected"),
    [
        (32, (10, 10), (17, 15)),  # of 33 with the output, which the last card has
        (31, (10, 10), (16, 15)),
        (32, (24, 8), (25, 7)),
        (32, (8, 24), (9, 23)),
        (4, (1, 1, 1), (2, 2, 0)),
        (80, (48, 24, 24), (41, 20, 19)),
        (32, (100, 1), (32, 0)),
        (32, (0, 7), (0, 32)),
        (1, (5,), (1,)),
        (32, (0, 0), (0, 0)),
    ],
)
def test_layers_are_shared_out_whole_by_what_is_free(
    layers: int, free: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert shared_out(layers, free) == expected


def test_each_card_has_its_part_of_weights_and_cache_and_a_compute_buffer_of_its_own() -> None:
    model = PlacedModel(31, weights_bytes=31_000, cache_bytes=62_000, compute_bytes=600)
    first, second = placed(model, [card(12), card(12)], None)
    assert first == Memory(12 * GIB, 32_600, 16_000, 16 / 31, 24 * GIB)
    assert second == Memory(12 * GIB, 30_600, 15_000, 15 / 31, 24 * GIB)


def test_what_is_not_on_cards_is_in_main_memory() -> None:
    *cards, ram = placed(PlacedModel(31, card_share=0.5, weights_bytes=62_000), [card(12), card(12)], Ram())
    assert [memory.layer_share for memory in cards] == [8 / 31, 7.5 / 31]
    assert (ram.layer_share, ram.weights_bytes, ram.total_bytes) == (0.5, 31_000, 64 * GIB)


def test_main_memory_that_holds_nothing_is_left_out() -> None:
    assert len(placed(PlacedModel(31), [card(12)], Ram())) == 1
    assert len(placed(PlacedModel(31, card_share=0.0), [card(12)], Ram())) == 1


def test_unknown_weights_are_unknown_on_every_card() -> None:
    model = PlacedModel(31, weights_bytes=None)
    assert [memory.weights_bytes for memory in placed(model, [card(12), card(12)], None)] == [None, None]


def test_a_card_too_small_to_hold_anything_is_left_out() -> None:
    assert shares(PlacedModel(32), card(20), card(0.9), least_bytes=GIB) == [1.0]
    assert shares(PlacedModel(32), card(20), card(1.1), least_bytes=GIB) == [1.0]
    assert shares(PlacedModel(32), card(20), card(2), least_bytes=GIB) == [30 / 32, 2 / 32]


def test_a_card_that_has_no_room_for_a_layer_is_left_out() -> None:
    assert shares(PlacedModel(32, weights_bytes=31 * GIB), card(20), card(2), least_bytes=GIB) == [30 / 32, 2 / 32]
    assert shares(PlacedModel(32, weights_bytes=33 * GIB), card(20), card(2), least_bytes=GIB) == [1.0]


def test_where_all_cards_are_too_small_each_still_gets_its_part() -> None:
    assert shares(PlacedModel(31), card(0.5), card(0.5), least_bytes=GIB) == [16 / 31, 15 / 31]
    assert shares(PlacedModel(31), card(0), card(0), least_bytes=GIB) == [16 / 31, 15 / 31]


def test_a_memory_that_is_overdrawn_still_holds_what_is_in_it() -> None:
    [memory] = placed(PlacedModel(32), [DeviceReading("limited", GIB, 2 * GIB, -GIB)], None)
    assert (memory.available_bytes, memory.layer_share) == (-GIB, 1.0)


def test_a_lost_card_holds_nothing() -> None:
    [memory] = placed(PlacedModel(32), [unreadable("lost"), card(12)], None)
    assert (memory.available_bytes, memory.layer_share) == (12 * GIB, 1.0)


def test_without_any_card_left_nothing_is_known_of_their_memory() -> None:
    lost = [unreadable("lost"), unreadable("lost")]
    assert placed(PlacedModel(32), lost, None) == (Memory(None, layer_share=1.0),)
    on_card, ram = placed(PlacedModel(32, card_share=0.75), lost, Ram())
    assert (on_card.available_bytes, on_card.layer_share, ram.layer_share) == (None, 0.75, 0.25)


def test_a_card_that_tells_only_how_large_it_is_limits_nothing() -> None:
    known, unknown = placed(PlacedModel(31), [card(12, 12), device("card", 12 * GIB, None)], None)
    assert (known.available_bytes, unknown.available_bytes) == (12 * GIB, None)
    assert (known.layer_share, unknown.layer_share) == (16 / 31, 15 / 31)


def test_what_a_loaded_model_takes_is_no_reason_to_place_it_elsewhere() -> None:
    loaded = PlacedModel(31, on_cards_bytes=40 * GIB)
    assert shares(loaded, card(4), card(3), least_bytes=GIB) == [17 / 31, 14 / 31]


def test_a_card_that_is_full_of_the_model_is_still_one_that_holds_it() -> None:
    loaded = PlacedModel(31, on_cards_bytes=40 * GIB)
    first, second = placed(loaded, [card(0), card(4)], None, GIB)
    assert (first.available_bytes, second.available_bytes) == (0, 4 * GIB)


def test_no_more_of_a_loaded_model_lies_on_a_card_than_is_used_of_it() -> None:
    loaded = PlacedModel(31, on_cards_bytes=20 * GIB)
    assert shares(loaded, card(24), card(4)) == [21 / 31, 10 / 31]


def test_layers_that_nobody_tells_are_shared_out_in_proportion() -> None:
    assert shares(PlacedModel(None), card(12), card(4)) == [0.75, 0.25]
