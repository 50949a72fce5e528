"""Windows with their costs, by hand and by Hypothesis."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from support.conversations import message
from ullage.conversation.compressing import Demand, Weighed
from ullage.conversation.messages import Message, ToolCall

OVERHEAD = 7
ROLES = ("user", "assistant", "calls", "calls", "result", "result", "system", "summary")


def cost(message: Message) -> int:
    """Four characters a token, and what a template puts around a message."""
    characters = len(message.content) + sum(len(call.arguments) for call in message.tool_calls)
    return characters // 4 + 4


def weighed(messages: Sequence[Message], **sets: frozenset[str]) -> Weighed:
    return Weighed(tuple(messages), tuple(map(cost, messages)), overhead=OVERHEAD, **sets)


def tool_round(number: int, size: int, call_id: str | None = None) -> list[Message]:
    """A call of the assistant and its result of ``size`` characters."""
    call = ToolCall(call_id or f"c{number}", "look", "{}")
    return [
        message(number, "assistant", "Looking.", tool_calls=(call,)),
        message(number + 1, "tool", "r" * size, tool_call_id=call.id, name="look"),
    ]


def turns(count: int, size: int = 400, start: int = 0) -> list[Message]:
    """Questions and answers of ``size`` characters each."""
    return [
        message(start + number, "assistant" if number % 2 else "user", f"{start + number} ".ljust(size, "w"))
        for number in range(2 * count)
    ]


@st.composite
def windows(draw: st.DrawFn) -> Weighed:
    """Any order of roles; call ids that recur, results late, twice or of nobody's call, pins, carried and masked ones,
    earlier summaries, and costs that have nothing to do with lengths."""
    messages: list[Message] = []
    for number, role in enumerate(draw(st.lists(st.sampled_from(ROLES), max_size=24))):
        text = "x" * draw(st.sampled_from([1, 40, 400, 4000]))
        call_id = st.sampled_from(["0", "1", f"own {number}"])
        if role == "calls":
            calls = tuple(ToolCall(id_, "look", "{}") for id_ in draw(st.lists(call_id, min_size=1, max_size=3)))
            messages.append(message(number, "assistant", text, tool_calls=calls))
        elif role == "result":
            messages.append(message(number, "tool", text, tool_call_id=draw(call_id), name="look"))
        elif role == "summary":
            messages.append(message(number, "system", text, summary_of=("an earlier one",)))
        else:
            messages.append(message(number, role, text))
    costs = tuple(draw(st.just(cost(m)) | st.integers(0, 2000)) for m in messages)
    spoken = [m.id for m in messages if m.role != "system"]
    results = [m.id for m in messages if m.role == "tool"]
    some = st.sets(st.sampled_from(spoken), max_size=4) if spoken else st.just(set())
    pinned = frozenset(draw(some))
    carried = frozenset(draw(some)) if draw(st.booleans()) else frozenset()
    masked = draw(st.sets(st.sampled_from(results), max_size=2)) if results else set()
    return Weighed(tuple(messages), costs, pinned, carried, frozenset(masked) - pinned, draw(st.integers(0, 300)))


def demands(ceilings: st.SearchStrategy[int | None] | None = None) -> st.SearchStrategy[Demand]:
    figures = st.integers(0, 8000)
    return st.builds(
        Demand,
        strategy=st.sampled_from(["truncate", "summarize", "hybrid"]),
        target=st.none() | figures,
        preserve_recent=st.integers(0, 3000),
        ceiling=st.none() | figures if ceilings is None else ceilings,
        summary_tokens=st.integers(1, 500),
    )
