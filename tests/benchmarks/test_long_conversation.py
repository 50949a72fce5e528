"""Sixty turns through a small window: the prompt tokens that the real engine evaluates, against a rolling window's."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from support.engine import needs_engine, smollm2
from support.measuring import told
from support.planted import RULES, SYSTEM, TURNS, planted, question
from support.token_engine import Engine, running_engine
from support.ullage_server import ullage, using
from ullage.settings import Strategy

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600), *needs_engine]

LIMIT = 2048
ANSWER = 40
MOST: dict[Strategy, float] = {"truncate": 1 / 6, "hybrid": 1 / 3}


def sampling(number: int) -> dict[str, Any]:
    return {"temperature": 0.7, "seed": number}


def rolling() -> int:
    """The newest turns that fit with system prompt and rules, the oldest dropped every turn. Nobody is in between."""
    system = {"role": "system", "content": "\n\n".join((SYSTEM, *RULES))}
    turns: list[list[dict[str, str]]] = []
    with engine() as server:
        for number in range(TURNS):
            turns.append([{"role": "user", "content": question(number)}])
            while len(server.tokenize(server.prompt(sent(system, turns)), parse_special=True)) + ANSWER > LIMIT:
                turns.pop(0)
            body = {"messages": sent(system, turns), "max_tokens": ANSWER, **sampling(number)}
            answer = server.post("/v1/chat/completions", body)["choices"][0]["message"]["content"]
            turns[-1].append({"role": "assistant", "content": answer})
        return server.evaluated()


def sent(system: dict[str, str], turns: list[list[dict[str, str]]]) -> list[dict[str, str]]:
    return [system, *(message for turn in turns for message in turn)]


async def compressing(home: Path, strategy: Strategy) -> tuple[int, int]:
    """The tokens, and how often room was made. Nobody pauses between two turns, so that summaries give way as often as
    they can; what they evaluated for nothing counts too."""
    made = 0
    with engine() as server:
        async with ullage(home, using(server.url, compression={"strategy": strategy})) as client:
            context_id = await planted(client)
            for number in range(TURNS):
                options = {"maxTokens": ANSWER, **sampling(number)}
                params = {"contextId": context_id, "text": question(number), "options": options}
                await client.request("context/chat", params, timeout=300)
            events = [each["params"]["kind"] for each in client.notifications if each["method"] == "context/event"]
            made = events.count("compressed") + events.count("trimmed")
        return server.evaluated(), made


def engine() -> AbstractContextManager[Engine]:
    model = smollm2()
    assert model is not None
    return running_engine(model, context_size=LIMIT)


async def test_a_long_conversation_is_evaluated_for_a_fraction_of_a_rolling_windows_cost(tmp_path: Path) -> None:
    every_turn = rolling()
    ratios = {}
    for strategy, most in MOST.items():
        evaluated, made = await compressing(tmp_path / strategy, strategy)
        assert made >= 2
        ratios[strategy] = evaluated / every_turn
        told(f"{strategy}, {TURNS} turns", ratios[strategy], most, tokens=evaluated, rolling=every_turn, made=made)
    assert all(ratios[strategy] <= most for strategy, most in MOST.items()), ratios
