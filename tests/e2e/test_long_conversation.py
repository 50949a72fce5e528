"""Sixty turns with the real model in a small window: what is kept, what is sent, and what is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.engine import needs_engine, smollm2
from support.planted import FACTS, RULES, SYSTEM, TURNS, facts_in, planted, question
from support.raw_client import RawClient
from support.recording_relay import RecordingRelay
from support.token_engine import running_engine
from support.ullage_server import ullage, using, window_of
from ullage.settings import Strategy

pytestmark = [*needs_engine, pytest.mark.slow, pytest.mark.timeout(1200)]

LIMIT = 2048
ANSWER = 40
"""Tokens that an answer may have."""


@pytest.mark.parametrize("strategy", ["truncate", "summarize", "hybrid"])
async def test_sixty_turns_with_facts_and_rules(
    tmp_path: Path, strategy: Strategy, capsys: pytest.CaptureFixture[str]
) -> None:
    model = smollm2()
    assert model is not None
    said, means = [*RULES], []
    with running_engine(model, context_size=LIMIT) as engine:
        async with (
            RecordingRelay(engine.url) as relay,
            ullage(tmp_path, using(relay.url, compression={"strategy": strategy})) as client,
        ):
            context_id = await planted(client)
            for number in range(TURNS):
                said += [question(number), await answer(client, relay, context_id, number)]
                means += room_made(client)
            window = await window_of(client, context_id)
            history = await said_in(client, context_id)
    assert history == said
    assert len(means) >= 2
    assert set(means) == {"truncation"} if strategy == "truncate" else "summary" in means
    left = facts_in("\n".join(window))
    by = ", ".join(f"{kind} {means.count(kind)}" for kind in dict.fromkeys(means))
    with capsys.disabled():
        print(f"\n{strategy}: room made {len(means)} times, by {by}; {left} of {len(FACTS)} facts in view")


async def answer(client: RawClient, relay: RecordingRelay, context_id: str, number: int) -> str:
    """Say one thing, look at what was sent for it, and return the answer."""
    relay.chats.clear()
    options = {"maxTokens": ANSWER, "temperature": 0.7, "seed": number}
    params = {"contextId": context_id, "text": question(number), "options": options}
    result = await client.request("context/chat", params, timeout=300)
    [sent] = [body["messages"] for body in relay.chats if "response_format" not in body]
    leading = sent[0]["content"]
    everything = "\n".join(message["content"] for message in sent)
    assert SYSTEM in leading
    assert [rule for rule in RULES if rule not in everything] == [], f"turn {number}"
    assert sent[-1]["content"].endswith(question(number))
    evaluated = result["timing"]["promptTokens"]
    assert evaluated + ANSWER <= LIMIT, f"turn {number}"
    assert await counted(client, context_id, sent) == evaluated, f"turn {number}"
    return str(result["message"]["content"])


def room_made(client: RawClient) -> list[str]:
    """The means by which room was made since the last look; nothing may have been cut by the model server."""
    events = [each["params"] for each in client.notifications if each["method"] == "context/event"]
    client.notifications.clear()
    assert "truncatedByServer" not in [event["kind"] for event in events]
    made = [event["detail"]["reducedBy"] for event in events if event["kind"] in ("compressed", "trimmed")]
    return [means for reduced_by in made for means in reduced_by]


async def counted(client: RawClient, context_id: str, sent: list[dict[str, Any]]) -> int:
    """Our own count of the messages that the engine got."""
    counts = await client.request("context/countTokens", {"contextId": context_id, "messages": sent}, timeout=60)
    assert counts["source"] in ("vocabulary", "provider")
    return int(counts["total"])


async def said_in(client: RawClient, context_id: str) -> list[str]:
    """Everything in the history but summaries."""
    params = {"contextId": context_id, "view": "history", "limit": 1000}
    page = await client.request("context/messages", params)
    return [message["content"] for message in page["messages"] if not message.get("summaryOf")]
