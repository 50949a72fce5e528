from __future__ import annotations

from collections.abc import Sequence

from ullage.conversation.messages import SentMessage
from ullage.tokens.cache import CountCache

ONE, TWO = SentMessage("user", "one"), SentMessage("user", "two, longer")


async def lengths(messages: Sequence[SentMessage]) -> list[int]:
    return [len(message.content) for message in messages]


async def refuse(messages: Sequence[SentMessage]) -> list[int]:
    raise AssertionError("counted again")


async def test_what_was_counted_is_not_counted_again() -> None:
    cache = CountCache()
    keyed = [(("a",), ONE), (("b",), TWO)]
    assert await cache.count("t", keyed, False, lengths) == [3, 11]
    assert await cache.count("t", keyed, False, refuse) == [3, 11]
    assert (cache.hits, cache.misses) == (2, 2)


async def test_only_what_is_missing_is_counted() -> None:
    cache, asked = CountCache(), []

    async def note(messages: Sequence[SentMessage]) -> list[int]:
        asked.append(list(messages))
        return await lengths(messages)

    await cache.count("t", [(("a",), ONE)], False, note)
    await cache.count("t", [(("a",), ONE), (("b",), TWO)], False, note)
    assert asked == [[ONE], [TWO]]


def test_another_tokenizer_place_or_text_is_no_hit() -> None:
    cache = CountCache()
    cache.put("t", ("a",), ONE, 3, leading=False)
    assert cache.get("u", ("a",), ONE, leading=False) is None
    assert cache.get("t", ("a",), ONE, leading=True) is None
    assert cache.get("t", ("a",), TWO, leading=False) is None
    assert cache.get("t", ("a",), ONE, leading=False) == 3


def test_the_least_recently_used_goes_first() -> None:
    cache = CountCache(capacity=2)
    cache.put("t", ("a",), ONE, 1, leading=False)
    cache.put("t", ("b",), ONE, 2, leading=False)
    assert cache.get("t", ("a",), ONE, leading=False) == 1
    cache.put("t", ("c",), ONE, 3, leading=False)
    assert cache.get("t", ("b",), ONE, leading=False) is None
    assert len(cache) == 2
