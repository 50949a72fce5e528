"""Counting a window: the same figures however long it is, and never so long in one go that others wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from support.conversations import message
from ullage.contexts.counting import MOST_AT_ONCE, WindowCounter
from ullage.conversation.messages import Message
from ullage.conversation.sending import Conversation
from ullage.tokens.cache import CountCache
from ullage.tokens.estimating_counter import EstimatingCounter
from ullage.tokens.text_counters import CharacterTexts

SLICES = 5


def window(messages: int) -> list[Message]:
    return [message(number, ("user", "assistant")[number % 2]) for number in range(messages)]


def counter() -> WindowCounter:
    return WindowCounter(EstimatingCounter("characters", "estimate", CharacterTexts()), CountCache())


async def anew(counting: WindowCounter, messages: Sequence[Message]) -> int:
    return (await counting.count(Conversation(messages), 0)).tokens


async def one_by_one(counting: WindowCounter, messages: Sequence[Message]) -> int:
    return sum(await counting.alone(messages)) + counting.counter.frame


Counting = Callable[[WindowCounter, Sequence[Message]], Awaitable[int]]


@pytest.mark.parametrize("counting", [anew, one_by_one])
async def test_others_have_their_turn_while_a_long_window_is_counted(counting: Counting) -> None:
    task = asyncio.ensure_future(counting(counter(), window(SLICES * MOST_AT_ONCE)))
    turns = 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= SLICES


@pytest.mark.parametrize("messages", [0, 1, MOST_AT_ONCE, MOST_AT_ONCE + 1, MOST_AT_ONCE + 2, 3 * MOST_AT_ONCE])
async def test_a_window_costs_what_its_messages_cost_however_long_it_is(messages: int) -> None:
    said = window(messages)
    assert await anew(counter(), said) == await one_by_one(counter(), said)
