"""A second turn costs the evaluation of what is new: the engine itself says how much it reused."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.engine import embedded, needs_engine
from support.measuring import told
from support.ullage_server import opened, ullage

pytestmark = [pytest.mark.bench, *needs_engine]

LEAST = 0.95
QUESTION = "Explain what this does, in one sentence: " + "for n in range(10): print(n * n)\n" * 12


async def test_a_second_turn_reuses_the_previous_prompt(tmp_path: Path) -> None:
    async with ullage(tmp_path, embedded(4096)) as client:
        context_id = await opened(client)
        shares, previous = [], 0
        for turn in range(6):
            params = {
                "contextId": context_id,
                "text": f"{turn}. {QUESTION}",
                "options": {"maxTokens": 24, "seed": turn},
            }
            timing = (await client.request("context/chat", params, timeout=90))["timing"]
            if previous:
                shares.append(timing["reusedTokens"] / previous)
            previous = timing["promptTokens"]
    told("reused share of the previous prompt, at least", min(shares), LEAST, turns=len(shares))
    assert min(shares) >= LEAST
