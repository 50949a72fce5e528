"""Counts of messages, kept so that a turn costs the counting of what is new."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from attrs import Factory, define, field

from ullage.conversation.messages import SentMessage

Key: TypeAlias = tuple[str, str, int, bool]
Keyed: TypeAlias = tuple[tuple[str, ...], SentMessage]

CAPACITY = 65_536


@define(eq=False)
class CountCache:
    """Least recently used counts of sent messages, by tokenizer, the ids of the messages merged into it, and whether it
    opens the conversation.

    Of the ids the last and their number are kept, and of the message its hash: ids alone would hit after an edit or a
    change of markers, and the text itself would be kept alive by the cache long after it left the window.
    """

    capacity: int = CAPACITY
    hits: int = field(default=0, init=False)
    misses: int = field(default=0, init=False)
    _entries: OrderedDict[Key, tuple[int, int]] = field(default=Factory(OrderedDict), init=False)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, tokenizer: str, ids: tuple[str, ...], message: SentMessage, *, leading: bool) -> int | None:
        key = _key(tokenizer, ids, leading=leading)
        entry = self._entries.get(key)
        if entry is None or entry[0] != hash(message):
            self.misses += 1
            return None
        self.hits += 1
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, tokenizer: str, ids: tuple[str, ...], message: SentMessage, tokens: int, *, leading: bool) -> None:
        key = _key(tokenizer, ids, leading=leading)
        self._entries[key] = (hash(message), tokens)
        self._entries.move_to_end(key)
        while len(self._entries) > self.capacity:
            self._entries.popitem(last=False)

    async def count(
        self,
        tokenizer: str,
        keyed: Sequence[Keyed],
        leading: bool,
        count: Callable[[Sequence[SentMessage]], Awaitable[Sequence[int]]],
    ) -> list[int]:
        """Tokens of each message; ``count`` is called once, for those that are missing, and only if any is.

        ``leading`` goes for every message handed in, so the one that opens the conversation comes alone.
        """
        found = [self.get(tokenizer, ids, message, leading=leading) for ids, message in keyed]
        missing = [position for position, tokens in enumerate(found) if tokens is None]
        if missing:
            counted = await count([keyed[position][1] for position in missing])
            for position, tokens in zip(missing, counted, strict=True):
                ids, message = keyed[position]
                self.put(tokenizer, ids, message, tokens, leading=leading)
                found[position] = tokens
        return [tokens for tokens in found if tokens is not None]


def _key(tokenizer: str, ids: tuple[str, ...], *, leading: bool) -> Key:
    return tokenizer, ids[-1] if ids else "", len(ids), leading
