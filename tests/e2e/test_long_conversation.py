"""Sixty turns with the real model in a small window: what is kept, what is sent, and what is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.engine import needs_engine, smollm2
from support.planted import FACTS, RULES, TURNS, facts_in, question
from support.raw_client import RawClient
from support.recording_relay import RecordingRelay
from support.token_engine import running_engine
from support.ullage_server import opened, ullage, using, window_of
from ullage.settings import Strategy

pytestmark = needs_engine

LIMIT = 2048
SYSTEM = "You are a helpful assistant who answers briefly."


@pytest.mark.parametrize("strategy", ["truncate", "summarize", "hybrid"])
async def test_sixty_turns_with_facts_and_rules(
    tmp_path: Path, strategy: Strategy, capsys: pytest.CaptureFixture[str]
) -> None:
    model = smollm2()
    assert model is not None
    with running_engine(model, context_size=LIMIT) as engine:
        async with RecordingRelay(engine.url) as relay:
            options = using(relay.url, compression={"strategy": strategy})
            async with ullage(tmp_path, options) as client:
                context_id = await planted(client)
                compressions = [await _turn(client, relay, context_id, number) for number in range(TURNS)]
                window = await window_of(client, context_id)
                history = await window_of(client, context_id, "history")
    asked = [question(number) for number in range(TURNS)]
    assert [text for text in history if text.startswith("Turn ")] == asked
    kinds = [kind for kinds in compressions for kind in kinds]
    assert len(kinds) >= 2
    left = facts_in("\n".join(window))
    with capsys.disabled():
        print(f"\n{strategy}: room made {len(kinds)} times, by {_counted(kinds)}; {left} of {len(FACTS)} facts in view")


async def planted(client: RawClient) -> str:
    """A context with the rules pinned, and its model looked up."""
    context_id = await opened(client)
    await client.request("context/update", {"contextId": context_id, "systemPrompt": SYSTEM})
    rules = [{"role": "user", "content": rule, "pinned": True} for rule in RULES]
    await client.request("context/append", {"contextId": context_id, "messages": rules})
    await client.request("context/status", {"contextId": context_id})
    return context_id


async def _turn(client: RawClient, relay: RecordingRelay, context_id: str, number: int) -> list[str]:
    """Say one thing and look at what was sent; the means by which room was made since the turn before."""
    message = {"role": "user", "content": question(number)}
    await client.request("context/append", {"contextId": context_id, "messages": [message]})
    relay.chats.clear()
    params = {"contextId": context_id, "options": {"maxTokens": 40, "temperature": 0.7, "seed": number}}
    result = await client.request("context/chat", params, timeout=180)
    sent = next(body for body in relay.chats if "response_format" not in body and _ends_with(body, question(number)))
    everything = json.dumps(sent["messages"])
    assert SYSTEM in everything
    assert all(rule in everything for rule in RULES), f"turn {number}"
    evaluated = result["timing"]["promptTokens"]
    assert evaluated <= LIMIT - 40
    events = [n["params"] for n in client.notifications if n["method"] == "context/event"]
    client.notifications.clear()
    assert not [each for each in events if each["kind"] == "truncatedByServer"], f"turn {number}"
    counted = await _count(client, context_id, sent)
    assert counted == evaluated, f"turn {number}"
    made = [each["detail"]["reducedBy"] for each in events if each["kind"] in ("compressed", "trimmed")]
    return [means for reduced_by in made for means in reduced_by]


def _ends_with(body: dict[str, Any], text: str) -> bool:
    return bool(str(body["messages"][-1]["content"]).endswith(text))


async def _count(client: RawClient, context_id: str, sent: dict[str, Any]) -> int:
    """Our own count of the messages that the engine got."""
    params = {"contextId": context_id, "messages": sent["messages"]}
    counts = await client.request("context/countTokens", params)
    assert counts["source"] in ("vocabulary", "provider")
    return int(counts["total"])


def _counted(kinds: list[str]) -> str:
    return ", ".join(f"{kind} {kinds.count(kind)}" for kind in dict.fromkeys(kinds))
