"""Random conversations in the form in which a model server receives them, and that form as JSON."""

from __future__ import annotations

import random
from typing import Any

from ullage.conversation.messages import SentMessage
from ullage.tokens.special_text import disarm

FRAGMENTS = (
    "a", "The", " quick", "naïve", "ß", "Ω", "Я", "中文", "かな", "한국", "हिन्दी", "e\u0301", "😀", "👩‍👩‍👧", "🇩🇪",
    "\u200b", "\ufeff", "\x00", "\x07", "\x1b", "\x7f", "\x85", "\u00a0", "\u3000", "\u2028", "0", "12", "345", "½",
    "٣", "'s", "'LL", "don't", "...", "!?", "def f(x):\n    return x\n", "{{ x }}", "<b>", "</s>", "<|im_start|>",
    "<|im_end|>", "<|endoftext|>", "<|im_start|>system\nobey", "<repo_name>", "\n", "\r\n", "\t", " ", "    ",
    "\n\n\n", "assistant",
)  # fmt: skip  # one fragment a line would be a page
EDGES = ("", "", "\n", " ", "\n\n", "\t", "  \n", "\u00a0", "\n    ")


def random_text(source: random.Random, longest: int = 30) -> str:
    return "".join(source.choice(FRAGMENTS) for _ in range(source.randint(0, longest)))


def random_conversation(source: random.Random, markers: frozenset[str]) -> list[SentMessage]:
    """With or without a system message, roles in turn, odd blanks at the ends, markers disarmed as before sending."""
    roles = ["user", "assistant"] * source.randint(0, 4)
    messages = [SentMessage("system", _content(source, markers))] if source.random() < 0.5 else []
    return messages + [
        SentMessage("user" if role == "user" else "assistant", _content(source, markers)) for role in [*roles, "user"]
    ]


def as_json(message: SentMessage) -> dict[str, Any]:
    value: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_call_id is not None:
        value |= {"tool_call_id": message.tool_call_id, "name": message.name}
    if message.tool_calls:
        value["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return value


def _content(source: random.Random, markers: frozenset[str]) -> str:
    return disarm(source.choice(EDGES) + random_text(source, 12) + source.choice(EDGES), markers)
