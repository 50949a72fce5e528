"""kill -9 at random moments of whatever changes a window: the state is the one before or the one after."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

from support.killed_changes import CHANGES, Conversation, Killed, assert_sound, drafts
from support.killed_erasures import Import, Secret
from support.summarising_stub import SummarisingStub
from support.ullage_server import ullage, using

KILLS = int(os.environ.get("ULLAGE_KILLS", "14"))
"""In the ordinary run; set it to 300 for the full campaign."""

ERASURES = max(KILLS // 10, 3)

KILLS_OF_ONE = 10
"""After which a fresh conversation is begun, so that windows stay of one size."""

SETTINGS = {"compression": {"enabled": False, "preserveRecent": 256}, "snapshots": {"autoCreate": False}}
"""Nothing is changed but by request."""

ENOUGH = 100
"""Kills, from which on some must have come in time and some too late, or the campaign proves nothing."""


@pytest.mark.timeout(7200)
async def test_a_kill_leaves_the_state_before_or_after(tmp_path: Path) -> None:
    chance = random.Random(29)
    outcomes: Counter[tuple[str, str]] = Counter()
    conversations: list[Conversation] = []
    killed: Killed | None = None
    most_drafts = 0
    async with SummarisingStub(n_ctx=2048) as server:
        for number in range(KILLS + 1):
            async with ullage(tmp_path, using(server.url, **SETTINGS)) as client:
                if killed is not None:
                    outcome = await conversations[-1].check(client, tmp_path / "storage", killed)
                    outcomes[killed.change, outcome] += 1
                    most_drafts = max(most_drafts, len(drafts(tmp_path / "storage")))
                if number == KILLS:
                    for conversation in conversations:
                        await conversation.keep(client)
                    break
                if number % KILLS_OF_ONE == 0:
                    conversations.append(await Conversation.begun(client, f"project{number}"))
                change = CHANGES[number % len(CHANGES)]
                await conversations[-1].prepare(client, change, chance)
                killed = await conversations[-1].killed(client, change, chance)
    sys.stderr.write(f"\n{told(outcomes)}; at most {most_drafts} drafts\n")
    assert drafts(tmp_path / "storage") == []
    assert_proves_something(outcomes, KILLS)


@pytest.mark.timeout(3600)
async def test_a_kill_leaves_a_message_untouched_or_nowhere(tmp_path: Path) -> None:
    """What the killed process did not get done the next one does, also where that one is killed, too."""
    chance = random.Random(30)
    storage = tmp_path / "storage"
    outcomes: Counter[tuple[str, str]] = Counter()
    async with SummarisingStub(n_ctx=2048) as server:
        options = using(server.url, **SETTINGS)
        for number in range(ERASURES):
            async with ullage(tmp_path, options) as client:
                conversation = await Conversation.begun(client, f"secret{number}")
                secret = await Secret.told(client, conversation, server, f"PLANTED{number:04}")
                await secret.killed(client, chance)
            for _ in range(chance.randrange(3)):
                async with ullage(tmp_path, options) as client:
                    await asyncio.sleep(chance.uniform(0, 0.2))
            async with ullage(tmp_path, options) as client:
                outcomes["forget", await secret.check(client, storage)] += 1
                assert_sound(storage)
                assert drafts(storage) == []
    sys.stderr.write(f"\n{told(outcomes)}\n")
    assert_proves_something(outcomes, ERASURES)


@pytest.mark.timeout(3600)
async def test_a_kill_leaves_all_of_an_import_or_nothing(tmp_path: Path) -> None:
    chance = random.Random(31)
    outcomes: Counter[tuple[str, str]] = Counter()
    async with SummarisingStub(n_ctx=2048) as server:
        options = using(server.url, **SETTINGS)
        for number in range(ERASURES):
            async with ullage(tmp_path, options) as client:
                source = await Conversation.begun(client, f"source{number}")
                imported = await Import.of(client, source, await Conversation.begun(client, f"target{number}"))
                await imported.killed(client, chance)
            async with ullage(tmp_path, options) as client:
                outcomes["import", await imported.check(client)] += 1
                assert_sound(tmp_path / "storage")
    sys.stderr.write(f"\n{told(outcomes)}\n")
    assert_proves_something(outcomes, ERASURES)


def assert_proves_something(outcomes: Counter[tuple[str, str]], kills: int) -> None:
    of = Counter(outcome for (_, outcome), count in outcomes.items() for _ in range(count))
    assert sum(of.values()) == kills
    assert kills < ENOUGH or min(of["acknowledged"], of["untouched"]) > kills // 20


def told(outcomes: Counter[tuple[str, str]]) -> str:
    def of(change: str) -> str:
        return ", ".join(f"{outcomes[change, each]} {each}" for each in ("acknowledged", "done", "untouched"))

    changes = dict.fromkeys(change for change, _ in outcomes)
    return f"{sum(outcomes.values())} kills: " + "; ".join(f"{change}: {of(change)}" for change in changes)
