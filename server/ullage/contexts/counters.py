"""Which counter a model gets in this process, and what counts while no model is known."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from attrs import define, field, frozen

from ullage.conversation.messages import SentMessage, ToolDefinition
from ullage.errors import UllageError
from ullage.providers.base import Provider
from ullage.settings import Settings
from ullage.tokens.calibration import Calibration
from ullage.tokens.choice import choose_counter, fallback_counter
from ullage.tokens.counter import PromptCounter
from ullage.tokens.estimating_counter import EstimatingCounter
from ullage.tokens.text_counters import CharacterTexts

logger = logging.getLogger(__name__)

T = TypeVar("T")


@frozen
class CounterChoice:
    """``provisional``: the server failed while its counter was chosen, so that a better one may be had of it later."""

    counter: PromptCounter
    provisional: bool


@define(eq=False)
class Counters:
    settings: Callable[[], Settings]
    _fallback: PromptCounter | None = field(default=None, init=False)

    def fallback(self) -> PromptCounter:
        """What needs no model: characters, until something better was loaded. Never waits."""
        return self._fallback or EstimatingCounter("characters", "estimate", CharacterTexts())

    async def load_fallback(self) -> None:
        """Load the vocabulary that stands in for a model's own; half a second on a thread, once."""
        if self._fallback is None:
            self._fallback = await fallback_counter()

    async def choose(
        self, provider: Provider, model: str, calibration: Calibration, *, verified: bool = False
    ) -> CounterChoice:
        """The most exact counter for a model. Where the file is at hand nothing is asked of its server, unless
        ``verified`` wants the two to agree first."""
        file = template = None
        witness = _Witness(provider)
        try:
            file = await witness.noting(provider.model_file(model))
            if not provider.renders_with_own_template:
                template = await witness.noting(provider.chat_template(model))
        except UllageError as error:
            logger.info("%s did not describe its model: %s", provider.name, error.kind)
        counter = await choose_counter(
            witness,
            model,
            model_file=file,
            chat_template=template,
            own_template=provider.renders_with_own_template,
            calibration=calibration,
            multiplier=self.settings().tokens.multiplier(model),
            verified=verified,
        )
        return CounterChoice(counter, witness.failed)


@define(eq=False)
class _Witness:
    """A server's tokenizer, and whether it ever failed."""

    server: Provider
    failed: bool = False

    async def count_texts(self, model: str, texts: Sequence[str], *, parse_special: bool = False) -> list[int] | None:
        return await self.noting(self.server.count_texts(model, texts, parse_special=parse_special))

    async def count_prompt(
        self, model: str, messages: Sequence[SentMessage], tools: Sequence[ToolDefinition]
    ) -> int | None:
        return await self.noting(self.server.count_prompt(model, messages, tools))

    async def noting(self, answer: Awaitable[T]) -> T:
        try:
            return await answer
        except UllageError:
            self.failed = True
            raise
