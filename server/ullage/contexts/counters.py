"""Which counter a model gets in this process, and what counts while no model is known."""

from __future__ import annotations

import logging
from collections.abc import Callable

from attrs import define, field

from ullage.errors import UllageError
from ullage.providers.base import Provider
from ullage.settings import Settings
from ullage.tokens.calibration import Calibration
from ullage.tokens.choice import choose_counter, fallback_counter
from ullage.tokens.counter import PromptCounter
from ullage.tokens.estimating_counter import EstimatingCounter
from ullage.tokens.text_counters import CharacterTexts

logger = logging.getLogger(__name__)


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
    ) -> PromptCounter:
        """The most exact counter for a model. Where the file is at hand nothing is asked of its server, unless
        ``verified`` wants the two to agree first."""
        file = template = None
        try:
            file = await provider.model_file(model)
            template = None if provider.renders_with_own_template else await provider.chat_template(model)
        except UllageError as error:
            logger.info("%s did not describe its model: %s", provider.name, error.kind)
        return await choose_counter(
            provider,
            model,
            model_file=file,
            chat_template=template,
            own_template=provider.renders_with_own_template,
            calibration=calibration,
            multiplier=self.settings().tokens.multiplier(model),
            verified=verified,
        )
