"""Which memory holds how much of a model: each card some of its layers, main memory the rest.

Source: llama.cpp's ``load_tensors``, as it shares layers out where nobody tells it how.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol

from attrs import frozen

from ullage.memory.readings import DeviceReading
from ullage.memory.sizing import Memory


class MainMemory(Protocol):
    """Main memory in bytes, container limits respected; see `ullage.hardware.system`."""

    @property
    def total(self) -> int | None: ...

    @property
    def available(self) -> int | None: ...


@frozen
class PlacedModel:
    """What is to be placed. ``card_share`` is the part of the ``layers`` (None: nobody tells how many) that lies on
    cards; what rests is in main memory.

    In bytes: ``weights_bytes`` are still to be loaded (None: unknown). The others are of a model that is loaded:
    ``cache_bytes``, ``compute_bytes`` in each of its memories, and ``on_cards_bytes``, everything that cards hold.
    """

    layers: int | None
    card_share: float = 1.0
    weights_bytes: int | None = 0
    cache_bytes: int = 0
    compute_bytes: int = 0
    on_cards_bytes: int = 0

    @property
    def layer_bytes(self) -> int:
        """The weights of one layer, as far as they are known."""
        return (self.weights_bytes or 0) // self.layers if self.layers else 0


def placed(
    model: PlacedModel, devices: Sequence[DeviceReading], ram: MainMemory | None, least_bytes: int = 0
) -> tuple[Memory, ...]:
    """The memories that hold a part of the model. A device that was lost holds none; where all were, the memory of
    their part is unknown.

    A card that has no room for one layer's weights beside ``least_bytes`` (what has to stay free, and a compute buffer)
    is left out where another has: engines load nothing there. Each memory has a compute buffer of its own.
    """
    cards = [card for card in devices if card.total is not None]
    shares = _shares(model, cards, least_bytes)
    parts = [(share, card.available, card.total) for share, card in zip(shares, cards, strict=True)]
    if not cards:
        parts.append((model.card_share, None, None))
    if ram is not None:
        parts.append((1 - model.card_share, ram.available, ram.total))
    return tuple(
        Memory(
            available_bytes=available,
            held_bytes=round(model.cache_bytes * share) + model.compute_bytes,
            weights_bytes=None if model.weights_bytes is None else round(model.weights_bytes * share),
            layer_share=share,
            total_bytes=total,
        )
        for share, available, total in parts
        if share > 0
    )


def shared_out(layers: int, free: Sequence[int]) -> tuple[int, ...]:
    """Whole layers on each card, in proportion to what is free there and in the order of the cards. The output counts
    as one layer more behind the last."""
    whole = sum(free)
    if whole <= 0:
        return (0,) * len(free)
    ends = [min(-(-(layers + 1) * before // whole), layers) for before in accumulate(free)]
    return tuple(end - start for start, end in zip([0, *ends], ends, strict=False))


def _shares(model: PlacedModel, cards: Sequence[DeviceReading], least_bytes: int) -> list[float]:
    """The part of the model on each card: whole layers, where their number is known."""
    free = _free_without(model, cards)
    usable = [size if size > least_bytes + model.layer_bytes else 0 for size in free]
    if any(usable):
        free = usable
    elif not any(free):
        free = [1] * len(cards)
    counts = free if model.layers is None else shared_out(model.layers, free)
    return [model.card_share * count / sum(counts) for count in counts]


def _free_without(model: PlacedModel, cards: Sequence[DeviceReading]) -> list[int]:
    """What each card would have free if the model were not there. On which of them a loaded model lies is told by
    nobody: it is taken to be spread as the cards are large. A card that tells only how large it is counts as free."""
    whole = sum(card.total or 0 for card in cards)
    free = []
    for card in cards:
        total = card.total or 0
        own = min(model.on_cards_bytes * total // max(whole, 1), total if card.used is None else card.used)
        free.append(total if card.available is None else max(card.available + own, 0))
    return free
