"""Conversations for tests, by hand and by Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from ullage.conversation.ids import encode
from ullage.conversation.messages import Message, ToolCall


def message(number: int, role: str, content: str = "", **more: object) -> Message:
    return Message(encode(number, number), role, content or f"{role} {number}", number, **more)  # type: ignore[arg-type]


def talk(*roles: str) -> list[Message]:
    """A conversation of the given roles, numbered from 0."""
    return [message(number, role) for number, role in enumerate(roles)]


@st.composite
def conversations(draw: st.DrawFn, most: int = 24) -> list[Message]:
    """Any order of roles, tool calls with and without results, results with and without calls, summaries."""
    messages: list[Message] = []
    calls: list[str] = []
    for number in range(draw(st.integers(0, most))):
        role = draw(st.sampled_from(["user", "assistant", "assistant with calls", "tool", "system", "summary"]))
        text = draw(st.text(max_size=30))
        if role == "assistant with calls":
            calls = [f"call{number}.{k}" for k in range(draw(st.integers(1, 3)))]
            made = tuple(ToolCall(call, "look", "{}") for call in calls)
            messages.append(message(number, "assistant", text, tool_calls=made, reasoning="hm"))
        elif role == "tool":
            answered = draw(st.sampled_from([*calls, "nobody's"]))
            messages.append(message(number, "tool", text, tool_call_id=answered, name="look"))
        elif role == "summary":
            messages.append(message(number, "system", text, summary_of=("x",)))
        else:
            messages.append(message(number, role, text))
    return messages
