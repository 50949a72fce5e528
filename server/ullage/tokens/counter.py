"""What counts the prompts of one model, whatever it counts with."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import attrs
from attrs import frozen

from ullage.conversation.messages import SentMessage, ToolDefinition
from ullage.conversation.usage import CountSource
from ullage.tokens.calibration import Calibration


class PromptCounter(Protocol):
    """Counts for one model. Immutable: what was learnt since comes as another counter, from ``calibrated``."""

    @property
    def tokenizer(self) -> str:
        """The identity under which counts may be kept: equal identities count everything alike."""

    @property
    def source(self) -> CountSource:
        """The claim made for a whole prompt."""

    @property
    def additive(self) -> bool:
        """Whether a prompt without tool definitions is the sum of its pieces and ``frame``."""

    @property
    def additive_with_tools(self) -> bool:
        """Whether that holds too where tool calls and results are among the messages: a server puts them into a
        template that knows no tools in a way of its own."""

    @property
    def frame(self) -> int:
        """Tokens that the template puts around all messages: the generation prompt, and the BOS token if no piece
        holds it."""

    @property
    def accepts_system(self) -> bool:
        """Whether the model's template takes a leading system message."""

    @property
    def markers(self) -> Collection[str]:
        """Texts to disarm in contents."""

    async def texts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of plain texts: special-token text is text."""

    async def pieces(self, messages: Sequence[SentMessage], *, leading: bool) -> list[int]:
        """Tokens of each message with its share of the template; ``leading``: the first one opens the conversation."""

    async def prompt(self, messages: Sequence[SentMessage], tools: Sequence[ToolDefinition] = ()) -> int:
        """Tokens of the whole prompt, tool definitions included."""

    def calibrated(self, calibration: Calibration) -> PromptCounter:
        """The same with another learned factor; a counter that needs none is its own answer."""


@frozen
class ScaledCounter:
    """Another counter's figures times the person's own multiplier for the model."""

    inner: PromptCounter
    multiplier: float
    source: CountSource = attrs.field(default="estimate", init=False)

    @property
    def tokenizer(self) -> str:
        return f"{self.inner.tokenizer}*{self.multiplier:g}"

    @property
    def additive(self) -> bool:
        return self.inner.additive

    @property
    def additive_with_tools(self) -> bool:
        return self.inner.additive_with_tools

    @property
    def frame(self) -> int:
        return self._scaled(self.inner.frame)

    @property
    def accepts_system(self) -> bool:
        return self.inner.accepts_system

    @property
    def markers(self) -> Collection[str]:
        return self.inner.markers

    async def texts(self, texts: Sequence[str]) -> list[int]:
        return [self._scaled(tokens) for tokens in await self.inner.texts(texts)]

    async def pieces(self, messages: Sequence[SentMessage], *, leading: bool) -> list[int]:
        return [self._scaled(tokens) for tokens in await self.inner.pieces(messages, leading=leading)]

    async def prompt(self, messages: Sequence[SentMessage], tools: Sequence[ToolDefinition] = ()) -> int:
        return self._scaled(await self.inner.prompt(messages, tools))

    def calibrated(self, calibration: Calibration) -> PromptCounter:
        return scaled(self.inner.calibrated(calibration), self.multiplier)

    def _scaled(self, tokens: int) -> int:
        return round(tokens * self.multiplier)


def scaled(counter: PromptCounter, multiplier: float) -> PromptCounter:
    """``counter`` with the person's multiplier; 1 changes nothing, and neither does it cost the claim to exactness."""
    return counter if multiplier == 1 else ScaledCounter(counter, multiplier)
