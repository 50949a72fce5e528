"""Long conversations: one with facts and rules planted along the way, to see what making room leaves of them, and one
of any length, to measure with."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

from support.raw_client import RawClient
from support.ullage_server import opened

TURNS = 60
SYSTEM = "You are a helpful assistant who answers briefly."
RULES = (
    "Never use tabs for indentation.",
    "Always answer in English.",
    "Write dates as year-month-day.",
    "Call the project Halyard, never by another name.",
    "Do not touch the folder vendor.",
)
FACTS = tuple(
    f"The {thing} of the harbour is {value}."
    for thing, value in (
        ("gate code", "4711"), ("crane limit", "32 tonnes"), ("night watch", "Ines"), ("radio channel", "68"),
        ("depth", "11 metres"), ("pilot boat", "Sturmvogel"), ("fuel price", "1.83 a litre"), ("largest berth", "C7"),
        ("lighthouse height", "39 metres"), ("ferry line", "Nordlys"), ("customs office", "pier 4"),
        ("tide table", "revision 12"), ("storm signal", "two red lights"), ("dry dock", "closed on Mondays"),
        ("founding year", "1874"), ("fish auction", "at six"), ("tug", "Bruno"), ("container yard", "9 hectares"),
        ("harbour master", "Okafor"), ("quay length", "820 metres"),
    )
)  # fmt: skip  # a line each would be a page
_ASIDE = (
    "Tell me a little more about how boats are built, step by step, and why people chose wood, iron and later steel"
    " for them; one or two sentences are enough."
)


def question(turn: int) -> str:
    """What the person says in a turn, counted from 0. A fact is planted in each of the first forty turns that are
    even; the rules are pinned apart from this."""
    fact = FACTS[turn // 2] if turn % 2 == 0 and turn // 2 < len(FACTS) else ""
    return f"Turn {turn}. {fact} {_ASIDE}".replace("  ", " ")


def facts_in(text: str) -> int:
    """How many of the facts can still be read there: by their values, since a summary has its own words."""
    return sum(fact.rpartition(" is ")[2].rstrip(".") in text for fact in FACTS)


async def planted(client: RawClient) -> str:
    """The id of a context with the system prompt and the rules pinned, whose model is known."""
    context_id = await opened(client)
    await client.request("context/update", {"contextId": context_id, "systemPrompt": SYSTEM})
    rules = [{"role": "user", "content": rule, "pinned": True} for rule in RULES]
    await client.request("context/append", {"contextId": context_id, "messages": rules})
    await client.request("context/status", {"contextId": context_id})
    return context_id


def long_history(messages: int, characters: int = 200, seed: int = 0) -> list[dict[str, Any]]:
    """Questions and answers, no two alike, out of real text: the standard library's modules."""
    files = sorted(Path(os.__file__).parent.glob("*.py"))
    text = "".join(file.read_text(errors="replace") for file in files)
    places = random.Random(seed).sample(range(len(text) - characters), messages)
    roles = ("user", "assistant")
    return [
        {"role": roles[number % 2], "content": f"{number}. {text[place : place + characters]}"}
        for number, place in enumerate(places)
    ]
