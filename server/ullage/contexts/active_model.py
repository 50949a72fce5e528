"""One model on one server, as far as this process knows it."""

from __future__ import annotations

import asyncio

from attrs import Factory, define, frozen

from ullage.conversation.usage import EXACT
from ullage.providers.base import ModelInfo, Provider
from ullage.tokens.calibration import Calibration
from ullage.tokens.counter import PromptCounter


@frozen
class SizeChoice:
    """What the person has decided for a server and model: a size in tokens, or that memory decides."""

    auto: bool
    tokens: int | None


@define(eq=False)
class ActiveModel:
    """One model on one server, as far as this process knows it.

    ``window`` is what the server says it has allocated, None where it does not; ``planned`` the size that we ask for
    where requests carry it. Both in tokens. ``provisional``: the counter was chosen while its server failed.
    ``resizing`` is held while its size changes, ``answers`` how many it is giving to this process now.
    """

    provider: Provider
    info: ModelInfo
    counter: PromptCounter
    calibration: Calibration = Calibration()
    planned: int | None = None
    multiplier: float = 1.0
    choice: SizeChoice | None = None
    given: int | None = None
    provisional: bool = False
    chosen_again_at: float = float("-inf")
    window: int | None = None
    asked_at: float = float("-inf")
    asking: asyncio.Task[None] | None = None
    resizing: asyncio.Lock = Factory(asyncio.Lock)
    answers: int = 0

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def key(self) -> str:
        return f"{self.provider.name}/{self.name}"

    @property
    def exact(self) -> bool:
        return self.counter.source in EXACT

    @property
    def limit(self) -> int | None:
        """The window in tokens by the server's last answer, or the size that our own requests are going to bring."""
        return self.planned if self.window is None else self.window

    @property
    def can_resize(self) -> bool:
        """Whether its size follows from our requests alone: its server allocates what they ask for, or we start the
        engine. Other servers may be resized when a person asks for it."""
        return self.provider.sizes_by_request or self.provider.planned_window(self.name) is not None

    @property
    def request_size(self) -> int | None:
        """What a request has to carry, where the server sizes its window by requests."""
        return self.limit if self.provider.sizes_by_request else None
