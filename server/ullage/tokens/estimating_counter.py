"""Counts for a model whose template is not known: texts, a documented overhead, and a learned factor."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import accumulate, pairwise

import attrs
from attrs import frozen

from ullage.conversation.messages import SentMessage, ToolDefinition
from ullage.conversation.usage import CountSource
from ullage.tokens import overhead
from ullage.tokens.calibration import Calibration
from ullage.tokens.special_text import COMMON_MARKERS
from ullage.tokens.text_counters import RemoteTokenizer, TextCounter


@frozen
class EstimatingCounter:
    """``counts`` counts the texts; ``name`` identifies it. ``scales_texts``: the factor goes for plain texts too,
    because they are counted by another model's vocabulary. With a ``remote`` that counts whole prompts those are exact,
    and then nothing is added up from pieces."""

    name: str
    source: CountSource
    counts: TextCounter
    calibration: Calibration = Calibration()
    scales_texts: bool = False
    markers: Collection[str] = COMMON_MARKERS
    accepts_system: bool = True
    remote: RemoteTokenizer | None = None
    model: str = ""

    @property
    def tokenizer(self) -> str:
        return f"{self.name}:{self.calibration.factor:g}"

    @property
    def additive(self) -> bool:
        return self.remote is None

    @property
    def additive_with_tools(self) -> bool:
        return self.additive

    @property
    def frame(self) -> int:
        return self.calibration.apply(overhead.FRAME)

    async def texts(self, texts: Sequence[str]) -> list[int]:
        counts = await self.counts.count(texts)
        return [self.calibration.apply(tokens) for tokens in counts] if self.scales_texts else counts

    async def pieces(self, messages: Sequence[SentMessage], *, leading: bool) -> list[int]:  # noqa: ARG002  # all alike
        texts = [overhead.message_texts(message) for message in messages]
        counts = await self.counts.count([text for parts in texts for text in parts])
        bounds = pairwise(accumulate(map(len, texts), initial=0))
        return [
            self.calibration.apply(sum(counts[start:end]) + overhead.message_overhead(message))
            for message, (start, end) in zip(messages, bounds, strict=True)
        ]

    async def prompt(self, messages: Sequence[SentMessage], tools: Sequence[ToolDefinition] = ()) -> int:
        if self.remote is not None:
            tokens = await self.remote.count_prompt(self.model, messages, tools)
            if tokens is not None:
                return tokens
        definitions = sum(await self.counts.count(overhead.tool_texts(tools))) + overhead.tools_overhead(tools)
        pieces = await self.pieces(messages, leading=True)
        return sum(pieces) + self.frame + self.calibration.apply(definitions)

    def calibrated(self, calibration: Calibration) -> EstimatingCounter:
        return attrs.evolve(self, calibration=calibration)
