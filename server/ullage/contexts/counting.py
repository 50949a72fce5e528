"""What a window costs, worked out once and carried on as it grows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

import attrs
from attrs import define, frozen

from ullage.conversation.messages import Message, SentMessage, ToolDefinition, speaks_of_tools
from ullage.conversation.sending import Conversation, Dialect, SentGroup, Tail, as_sent, compose, extend, tail_of
from ullage.conversation.usage import CountSource
from ullage.tokens.cache import CountCache
from ullage.tokens.counter import PromptCounter
from ullage.tokens.special_text import disarm

Groups: TypeAlias = tuple[SentGroup, ...]

ROUGH_FROM = 8192
"""Characters of a run of messages of one role, from which on an append does not count the whole run again: that would
make appending cost more with every message."""

MOST_OVERHEAD = 64
"""Tokens: more than any template puts around one message that calls no tool."""

MOST_AT_ONCE = 128
"""Messages that are worked on in one go: some ten milliseconds, after which others have their turn."""


@frozen(eq=False)
class CountedForm:
    """What a form costs, template included, and the end of it, to be carried on. ``upto`` is how many messages of the
    window it covers; ``last`` is the share of the last group, None where the whole is not the sum of shares.

    ``is_rough``: a long run of messages of one role was counted message by message, though it is sent as one.
    """

    tail: Tail
    tokens: int
    last: int | None
    upto: int
    epoch: int
    tokenizer: str
    source: CountSource
    is_rough: bool = False


@define
class WindowCounter:
    """Counts forms for one model; pieces that were counted before come out of the cache."""

    counter: PromptCounter
    cache: CountCache

    @property
    def source(self) -> CountSource:
        return self.counter.source

    @property
    def dialect(self) -> Dialect:
        markers = self.counter.markers
        return Dialect(self.counter.accepts_system, lambda text: disarm(text, markers))

    def form(self, conversation: Conversation) -> Groups:
        return compose(conversation, self.dialect)

    async def count(
        self, conversation: Conversation, epoch: int = 0, known: CountedForm | None = None, *, exactly: bool = True
    ) -> CountedForm:
        """Count a window; where ``known`` counts the beginning of the same one, only what came after it. Unless it is
        to be counted ``exactly``, a long run of one role may be estimated, which the source of the count then says."""
        messages = conversation.messages
        if known is None or not self._continues(known, messages, epoch) or (exactly and known.is_rough):
            return await self._count_anew(conversation, epoch)
        form: CountedForm | None = known
        while form is not None and form.upto < len(messages):
            form = await self._count_extended(form, messages[form.upto], exactly=exactly)
        return form or await self._count_anew(conversation, epoch)

    def at_most(self, conversation: Conversation, epoch: int, known: CountedForm) -> tuple[Groups, int] | None:
        """The form, and the most tokens that it can be, without counting: no token is shorter than a byte. None where
        ``known`` does not count the beginning of the same window."""
        messages = conversation.messages
        if not self._continues(known, messages, epoch):
            return None
        tail: Tail | None = known.tail
        for message in messages[known.upto :]:
            tail = extend(tail, message, self.dialect) if tail is not None else None
        if tail is None:
            return None
        contents = (self.dialect.disarm(message.content) for message in messages[known.upto :])
        most = known.tokens + sum(len(text.encode()) + MOST_OVERHEAD for text in contents)
        return self.form(conversation), most

    async def each_adds(self, messages: Sequence[Message]) -> list[int]:
        """What each message adds to the prompt of all. They sum up to it: what the template puts around all is the
        first one's, and a merged group is shared out in the order in which it was said."""
        groups = self.form(Conversation(messages))
        total = await self.prompt(groups)
        own = dict(zip((m.id for m in messages), await self.alone(messages), strict=True))
        if self._adds_up(groups):
            for group, tokens in zip(groups, await self._pieces(groups), strict=True):
                if group.ids:
                    own[group.ids[-1]] = tokens - sum(own[id_] for id_ in group.ids[:-1])
        shares = [own[m.id] for m in messages]
        shares[0] += total - sum(shares)
        return shares

    async def prompt(self, groups: Groups, tools: Sequence[ToolDefinition] = ()) -> int:
        """Tokens of the whole prompt."""
        if tools or not self._adds_up(groups):
            return await self.counter.prompt([group.message for group in groups], tools)
        return sum(await self._pieces(groups)) + self.counter.frame

    async def alone(self, messages: Sequence[Message]) -> list[int]:
        """What each message costs by itself, its share of the template included."""
        dialect = self.dialect
        counts: list[int] = []
        for message in messages:
            if counts and len(counts) % MOST_AT_ONCE == 0:
                await asyncio.sleep(0)
            group = SentGroup((message.id,), as_sent(message, dialect))
            counts += await self._count_pieces([group], leading=message.role == "system")
        return counts

    def _adds_up(self, groups: Groups) -> bool:
        if self.counter.additive_with_tools:
            return True
        return self.counter.additive and not any(speaks_of_tools(group.message) for group in groups)

    def _continues(self, known: CountedForm, messages: Sequence[Message], epoch: int) -> bool:
        same = (known.epoch, known.tokenizer) == (epoch, self.counter.tokenizer)
        return same and known.upto <= len(messages)

    async def _count_anew(self, conversation: Conversation, epoch: int) -> CountedForm:
        is_long = len(conversation.messages) > MOST_AT_ONCE
        groups = await asyncio.to_thread(self.form, conversation) if is_long else self.form(conversation)
        if self._adds_up(groups):
            pieces = await self._pieces(groups)
            total, last = sum(pieces) + self.counter.frame, pieces[-1] if pieces else 0
        else:
            total, last = await self.prompt(groups), None
        return CountedForm(
            tail_of(groups), total, last, len(conversation.messages), epoch, self.counter.tokenizer, self.source
        )

    async def _count_extended(self, form: CountedForm, message: Message, *, exactly: bool) -> CountedForm | None:
        tail = extend(form.tail, message, self.dialect) if form.last is not None else None
        if tail is None or form.last is None:
            return None
        merged = tail.count == form.tail.count
        if merged and not exactly and len(tail.groups[-1].message.content) > ROUGH_FROM:
            [added] = await self.alone([message])
            return attrs.evolve(
                form,
                tail=tail,
                tokens=form.tokens + added,
                last=form.last + added,
                upto=form.upto + 1,
                source="estimate",
                is_rough=True,
            )
        [last] = await self._count_pieces(tail.groups[-1:], leading=tail.count == 1)
        total = form.tokens + last - (form.last if merged else 0)
        return attrs.evolve(form, tail=tail, tokens=total, last=last, upto=form.upto + 1)

    async def _pieces(self, groups: Groups) -> list[int]:
        if not groups:
            return []
        counts = await self._count_pieces(groups[:1], leading=True)
        for start in range(1, len(groups), MOST_AT_ONCE):
            if start > 1:
                await asyncio.sleep(0)
            counts += await self._count_pieces(groups[start : start + MOST_AT_ONCE], leading=False)
        return counts

    async def _count_pieces(self, groups: Sequence[SentGroup], *, leading: bool) -> list[int]:
        async def count(missing: Sequence[SentMessage]) -> list[int]:
            return await self.counter.pieces(missing, leading=leading)

        keyed = [(group.ids, group.message) for group in groups]
        return await self.cache.count(self.counter.tokenizer, keyed, leading, count)
