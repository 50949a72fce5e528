"""How many tokens texts are, by whatever is there to count them with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import frozen

from ullage.conversation.messages import SentMessage, ToolDefinition
from ullage.errors import ProviderError
from ullage.tokens.byte_pairs import BytePairEncoder
from ullage.tokens.vocabulary import Vocabulary

INLINE_CHARACTERS = 1 << 16
"""What is longer is counted in a thread: at tiktoken's 10 MB/s this much holds the event loop up for some 6 ms."""


class RemoteTokenizer(Protocol):
    """What a model server may offer. Each method answers None where the server can't tell."""

    async def count_texts(self, model: str, texts: Sequence[str], *, parse_special: bool = False) -> list[int] | None:
        """Tokens of each text; ``parse_special`` reads special-token text as the tokens that it names."""

    async def count_prompt(
        self, model: str, messages: Sequence[SentMessage], tools: Sequence[ToolDefinition]
    ) -> int | None:
        """Tokens of the whole prompt as the server's template renders it."""


class TextCounter(Protocol):
    async def count(self, texts: Sequence[str], *, rendered: bool = False) -> list[int]:
        """Tokens of each text. ``rendered``: special-token text stands for the tokens, as in a rendered template."""


@frozen
class VocabularyTexts:
    vocabulary: Vocabulary

    async def count(self, texts: Sequence[str], *, rendered: bool = False) -> list[int]:
        count = self.vocabulary.count_rendered if rendered else self.vocabulary.count
        return await _each(count, texts, self.vocabulary.inline_characters)


@frozen
class RemoteTexts:
    remote: RemoteTokenizer
    model: str

    async def count(self, texts: Sequence[str], *, rendered: bool = False) -> list[int]:
        if not texts:
            return []
        counts = await self.remote.count_texts(self.model, texts, parse_special=rendered)
        if counts is None or len(counts) != len(texts):
            raise ProviderError("The model server stopped counting tokens. Restart it, or choose the model again.")
        return counts


@frozen
class EncoderTexts:
    """By a vocabulary that is not the model's own: what is special there means nothing here."""

    encoder: BytePairEncoder

    async def count(self, texts: Sequence[str], *, rendered: bool = False) -> list[int]:  # noqa: ARG002  # see above
        return await _each(self.encoder.count, texts, INLINE_CHARACTERS)


@frozen
class CharacterTexts:
    """A token for every four characters, or part of four."""

    async def count(self, texts: Sequence[str], *, rendered: bool = False) -> list[int]:  # noqa: ARG002  # no specials
        return [-(-len(text) // 4) for text in texts]


async def _each(count: Callable[[str], int], texts: Sequence[str], inline_characters: int) -> list[int]:
    if sum(map(len, texts)) > inline_characters:
        return await asyncio.to_thread(lambda: [count(text) for text in texts])
    return [count(text) for text in texts]
