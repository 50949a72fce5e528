"""The form in which a window is sent: what every chat template accepts.

One leading system message holds the system prompt, the pins whose turns left the window, and summaries. Equal roles are
merged, the first turn is the user's, every tool call has its results and every result its call. Special-token text in
contents is made harmless here, before it is counted and before it is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import attrs
from attrs import frozen

from ullage.conversation.masking import with_placeholders
from ullage.conversation.messages import Message, SentMessage, ToolCall

NO_RESULT = "No result was recorded."
ASSISTANT_BEGAN = "(The conversation begins with the assistant.)"
PINNED_HEADING = "Pinned from earlier in this conversation:"
SUMMARY_HEADING = "Summary of the earlier conversation:"
_JOINT = "\n\n"


@frozen
class Dialect:
    """What the model's template takes. ``disarm`` makes special-token text harmless."""

    accepts_system: bool
    disarm: Callable[[str], str]


@frozen
class SentGroup:
    """A sent message and the ids of the messages merged into it; no ids where it was made up to repair the form."""

    ids: tuple[str, ...]
    message: SentMessage


@frozen
class Conversation:
    """What there is to send: the window in order, the context's own system prompt, the carried pins, and the tool
    results that a placeholder stands for."""

    messages: Sequence[Message]
    system_prompt: str | None = None
    carried: Collection[str] = frozenset()
    masked: Collection[str] = frozenset()


def compose(conversation: Conversation, dialect: Dialect) -> tuple[SentGroup, ...]:
    """The whole form. Deterministic: the same window gives the same bytes, so that the server's cache can be used."""
    shown = with_placeholders(conversation.messages, conversation.masked)
    spoken = [m for m in shown if not _leads(m, conversation.carried)]
    groups = _merge(_with_paired_tools(spoken, dialect))
    if groups and groups[0].message.role != "user":
        groups.insert(0, SentGroup((), SentMessage("user", ASSISTANT_BEGAN)))
    leading = _leading(attrs.evolve(conversation, messages=shown), dialect)
    if leading is not None:
        _put_leading(groups, leading, accepts_system=dialect.accepts_system)
    return tuple(groups)


@frozen
class Tail:
    """The end of a form: as much of it as the next message may touch. ``count`` is how many groups the whole has."""

    groups: tuple[SentGroup, ...]
    count: int


def tail_of(groups: Sequence[SentGroup], count: int | None = None) -> Tail:
    """From the last user's words on. ``count`` None: ``groups`` is the whole form."""
    start = max((i for i, group in enumerate(groups) if group.message.role == "user"), default=0)
    return Tail(tuple(groups[start:]), len(groups) if count is None else count)


def extend(tail: Tail, message: Message, dialect: Dialect) -> Tail | None:
    """The end of a form with one more message, without looking at the whole; None where the whole must be composed anew
    because the message changes what stands before it."""
    plain = message.role in ("user", "assistant") and not message.tool_calls and message.summary_of is None
    if not plain or not tail.groups:
        return None
    last = tail.groups[-1].message
    if last.role == "tool" or last.tool_calls or (tail.count == 1 and message.role == "assistant"):
        return None
    ends_tool_loop = message.role == "user" and any(group.message.reasoning is not None for group in tail.groups)
    if ends_tool_loop:
        return None
    merged = _merge([tail.groups[-1], SentGroup((message.id,), as_sent(message, dialect))])
    return tail_of((*tail.groups[:-1], *merged), tail.count + len(merged) - 1)


def _leads(message: Message, carried: Collection[str]) -> bool:
    return message.role == "system" or message.summary_of is not None or message.id in carried


def _leading(conversation: Conversation, dialect: Dialect) -> SentGroup | None:
    messages, carried = conversation.messages, conversation.carried
    summaries = [m for m in messages if m.summary_of is not None]
    pins = [m for m in messages if m.id in carried and m.summary_of is None and m.role != "system"]
    prompts = [m for m in messages if m.role == "system" and m.summary_of is None]
    parts = [conversation.system_prompt] if conversation.system_prompt else []
    parts += [m.content for m in prompts]
    if pins:
        parts += [PINNED_HEADING, *(f"[{m.role}] {_told(m)}" for m in pins)]
    if summaries:
        parts += [SUMMARY_HEADING, *(m.content for m in summaries)]
    if not parts:
        return None
    text = dialect.disarm(_JOINT.join(parts))
    return SentGroup(tuple(m.id for m in (*prompts, *pins, *summaries)), SentMessage("system", text))


def _told(message: Message) -> str:
    """A carried message as prose, its tool calls included."""
    calls = (f"(called {call.name} with {call.arguments})" for call in message.tool_calls)
    return " ".join(part for part in (message.content, *calls) if part)


def _put_leading(groups: list[SentGroup], leading: SentGroup, *, accepts_system: bool) -> None:
    if accepts_system:
        groups.insert(0, leading)
        return
    as_user = attrs.evolve(leading, message=attrs.evolve(leading.message, role="user"))
    groups[:1] = _merge([as_user, *groups[:1]])


def _with_paired_tools(messages: Sequence[Message], dialect: Dialect) -> Iterable[SentGroup]:
    """Each message as sent; calls without results get one that says so, results without a call become user text."""
    messages = _orphans_as_text(messages)
    last_user = max((i for i, m in enumerate(messages) if m.role == "user"), default=-1)
    waiting: dict[str | None, ToolCall] = {}
    for position, message in enumerate(messages):
        sent = as_sent(message, dialect)
        if message.role == "tool":
            call = waiting.pop(message.tool_call_id)
            yield SentGroup((message.id,), attrs.evolve(sent, name=sent.name or dialect.disarm(call.name)))
            continue
        yield from _missing_results(waiting.values(), dialect)
        waiting = {call.id: call for call in message.tool_calls}
        if message.tool_calls and message.reasoning and position > last_user:
            sent = attrs.evolve(sent, reasoning=dialect.disarm(message.reasoning))
        yield SentGroup((message.id,), sent)


def _orphans_as_text(messages: Sequence[Message]) -> list[Message]:
    """Results whose call does not stand right before them (in the window no more, answered already, or interrupted by
    other words) told by the user."""
    waiting: set[str | None] = set()
    repaired = []
    for message in messages:
        if message.role == "tool" and message.tool_call_id in waiting:
            waiting.discard(message.tool_call_id)
            repaired.append(message)
            continue
        waiting = {call.id for call in message.tool_calls}
        if message.role == "tool":
            text = f"Result of {message.name or 'a tool'}:\n{message.content}"
            repaired.append(attrs.evolve(message, role="user", content=text, name=None, tool_call_id=None))
        else:
            repaired.append(message)
    return repaired


def _missing_results(calls: Iterable[ToolCall], dialect: Dialect) -> Iterable[SentGroup]:
    for call in calls:
        answer = SentMessage("tool", NO_RESULT, name=dialect.disarm(call.name), tool_call_id=call.id)
        yield SentGroup((), answer)


def as_sent(message: Message, dialect: Dialect) -> SentMessage:
    """One message by itself in the form in which it is sent, its reasoning left out."""
    disarm = dialect.disarm
    return SentMessage(
        role=message.role,
        content=disarm(message.content),
        name=disarm(message.name) if message.name and message.role == "tool" else None,
        tool_calls=tuple(ToolCall(c.id, disarm(c.name), disarm(c.arguments)) for c in message.tool_calls),
        tool_call_id=message.tool_call_id,
    )


def _merge(groups: Iterable[SentGroup]) -> list[SentGroup]:
    """Neighbours of equal role as one, tool results apart; an assistant's words and the calls after them are one."""
    runs: list[list[SentGroup]] = []
    for group in groups:
        if runs and _may_merge(runs[-1][-1].message, group.message):
            runs[-1].append(group)
        else:
            runs.append([group])
    return [_joined(run) if len(run) > 1 else run[0] for run in runs]


def _may_merge(first: SentMessage, second: SentMessage) -> bool:
    return first.role == second.role and first.role != "tool" and not first.tool_calls


def _joined(run: Sequence[SentGroup]) -> SentGroup:
    """All at once: a person may have said ten thousand things in a row."""
    last = run[-1].message
    message = attrs.evolve(
        run[0].message,
        content=_JOINT.join(group.message.content for group in run if group.message.content),
        tool_calls=last.tool_calls,
        reasoning=last.reasoning,
    )
    return SentGroup(tuple(id_ for group in run for id_ in group.ids), message)
