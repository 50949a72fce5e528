from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from ullage.providers.turnstile import Turnstile


async def _use(turnstile: Turnstile, log: list[str], name: str, until: Awaitable[object]) -> None:
    async with turnstile.passing():
        log.append(f"{name} in")
        await until
        log.append(f"{name} out")


async def _change(turnstile: Turnstile, log: list[str], until: Awaitable[object]) -> None:
    async with turnstile.alone():
        log.append("change begins")
        await until
        log.append("change ends")


async def _settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_many_pass_at_a_time() -> None:
    turnstile, log, event = Turnstile(), list[str](), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for name in "ab":
            group.create_task(_use(turnstile, log, name, event.wait()))
        await _settled()
        assert log == ["a in", "b in"]
        event.set()


async def test_a_change_waits_for_those_inside_and_holds_back_those_who_come() -> None:
    turnstile, log = Turnstile(), list[str]()
    first, change = asyncio.Event(), asyncio.Event()
    change.set()
    async with asyncio.TaskGroup() as group:
        group.create_task(_use(turnstile, log, "early", first.wait()))
        await _settled()
        group.create_task(_change(turnstile, log, change.wait()))
        await _settled()
        group.create_task(_use(turnstile, log, "late", asyncio.sleep(0)))
        await _settled()
        assert log == ["early in"]
        first.set()
    assert log == ["early in", "early out", "change begins", "change ends", "late in", "late out"]


async def test_one_change_follows_another() -> None:
    turnstile, log = Turnstile(), list[str]()
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(_change(turnstile, log, asyncio.sleep(0)))
    assert log == ["change begins", "change ends"] * 2


@pytest.mark.parametrize("fails", [True, False], ids=["failed", "cancelled"])
async def test_who_fails_or_is_cancelled_leaves_the_way_free(fails: bool) -> None:
    turnstile, log = Turnstile(), list[str]()
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    inside = asyncio.create_task(_use(turnstile, log, "a", never))
    await _settled()
    change = asyncio.create_task(_change(turnstile, log, never))
    await _settled()
    if fails:
        never.set_exception(RuntimeError())
    else:
        change.cancel()
        inside.cancel()
    await asyncio.gather(inside, change, return_exceptions=True)
    await asyncio.wait_for(_use(turnstile, log, "b", asyncio.sleep(0)), 1)
    await asyncio.wait_for(_change(turnstile, log, asyncio.sleep(0)), 1)
