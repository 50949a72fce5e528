"""The protocol's types: what each request takes and answers, and what is told unasked.

PROTOCOL.md is produced from this module. Params are strict: a wrong type, a ``null`` where none is said, or a figure
out of its bounds is refused with the path of the field; unknown extra fields are ignored. A field with a default may be
left out. Result values are those of `ullage.contexts.values` and `ullage.conversation`; envelopes that only a reply has
are defined here.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs
from attrs import frozen

from ullage.contexts import values
from ullage.conversation.messages import ToolCall
from ullage.conversation.operations import Operation
from ullage.conversation.usage import Usage
from ullage.events import EventKind

LARGEST_INTEGER = 2**53 - 1
"""Beyond it a JSON number is no exact integer for most clients."""


def bounded(least: float, most: float, default: Any = attrs.NOTHING) -> Any:
    """A field that is refused outside of its bounds, both ends included."""
    return attrs.field(default=default, metadata={"least": least, "most": most})


@frozen
class NewMessage:
    """A message as a client gives it. ``id``, a ULID, makes a retry idempotent; "developer" is read as "system"."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    pinned: bool = False
    id: str | None = None


@frozen
class Tool:
    name: str
    description: str
    parameters: dict[str, Any]


@frozen
class ChatOptions:
    """What a request may ask of the sampler, and the tools that the model may call."""

    max_tokens: int | None = bounded(1, 2**31 - 1, None)
    temperature: float | None = bounded(0, 100, None)
    top_p: float | None = bounded(0, 1, None)
    stop: list[str] | None = None
    seed: int | None = bounded(-LARGEST_INTEGER, LARGEST_INTEGER, None)
    tools: list[Tool] | None = None
    tool_choice: Literal["auto", "none", "required"] | None = None


@frozen
class NoParams:
    pass


@frozen
class OpenParams:
    workspace_uri: str
    name: str = "main"
    mode: str | None = None
    model: str | None = None
    activate: bool = True
    take_over: bool = False


@frozen
class UpdateParams:
    """An empty mode or system prompt takes the present one away."""

    context_id: str
    name: str | None = None
    mode: str | None = None
    workspace_uri: str | None = None
    system_prompt: str | None = None


@frozen
class SwitchParams:
    context_id: str
    preserve_state: bool = True


@frozen
class ContextParams:
    context_id: str


@frozen
class OptionalContextParams:
    """Without an id: the active context."""

    context_id: str | None = None


@frozen
class AppendParams:
    context_id: str
    messages: list[NewMessage]


@frozen
class MessagesParams:
    context_id: str
    view: Literal["window", "history"] = "window"
    before: str | None = None
    limit: int = bounded(1, 1000, 100)


@frozen
class PinParams:
    context_id: str
    message_id: str
    pinned: bool


@frozen
class ChatParams:
    """Without ``text`` it answers what is pending: a retry, or a tool's result."""

    context_id: str
    text: str | None = None
    options: ChatOptions = ChatOptions()
    partial_result_token: int | str | None = None
    work_done_token: int | str | None = None


@frozen
class CompleteParams:
    messages: list[NewMessage]
    context_id: str | None = None
    model: str | None = None
    fit: bool = True
    options: ChatOptions = ChatOptions()
    partial_result_token: int | str | None = None


@frozen
class UndoParams:
    context_id: str
    operation_id: str | None = None


@frozen
class HistoryParams:
    """``before`` is the id of an operation; several contexts merge in time order, the newest ``limit`` are answered."""

    context_ids: list[str] | None = None
    limit: int = bounded(1, 1000, 100)
    before: str | None = None


@frozen
class CountTokensParams:
    """``texts`` are counted as plain text, special-token text not parsed; ``messages`` as they would be sent."""

    texts: list[str] | None = None
    messages: list[NewMessage] | None = None
    model: str | None = None
    context_id: str | None = None


@frozen
class SelectModelParams:
    context_id: str
    model: str


@frozen
class ContextList:
    contexts: list[values.Context]


@frozen
class Appended:
    messages: list[values.MessageView]
    usage: Usage


@frozen
class MessagePage:
    """Ascending; ``has_more`` says that older ones exist."""

    messages: list[values.MessageView]
    has_more: bool


@frozen
class Cleared:
    usage: Usage


@frozen
class OperationPage:
    operations: list[Operation]


@frozen
class ModelList:
    models: list[values.Model]


@frozen
class EventParams:
    kind: EventKind
    context_id: str | None
    at: int
    detail: dict[str, Any]


@frozen
class RequestType:
    """One request of the protocol: its params, its result (None: null), and what it is for."""

    params: type
    result: type | None
    purpose: str


REQUESTS: dict[str, RequestType] = {
    "context/open": RequestType(
        OpenParams, values.Context, "The context of a workspace, made on first use, reopened after."
    ),
    "context/update": RequestType(UpdateParams, values.Context, "Rename, move, or give another mode or system prompt."),
    "context/list": RequestType(NoParams, ContextList, "Every context of the store."),
    "context/switch": RequestType(SwitchParams, values.SwitchResult, "Make a context the active one of this client."),
    "context/close": RequestType(ContextParams, values.Context, "Let a context rest; nothing of it is lost."),
    "context/delete": RequestType(ContextParams, None, "Erase a context for good."),
    "context/status": RequestType(OptionalContextParams, values.ContextStatus, "What a status bar shows."),
    "context/stats": RequestType(OptionalContextParams, values.ContextStats, "The status and every figure behind it."),
    "context/append": RequestType(
        AppendParams, Appended, "Add messages; durable when the reply is sent, never refused for the window's size."
    ),
    "context/messages": RequestType(
        MessagesParams, MessagePage, "A page of the window or of everything said, ascending."
    ),
    "context/pin": RequestType(
        PinParams, values.MessageView, "Keep a message in the window; of a call and its results all are pinned."
    ),
    "context/chat": RequestType(ChatParams, values.ChatResult, "Say something and have it answered; the turn is kept."),
    "context/complete": RequestType(
        CompleteParams, values.ChatResult, "Answer a history that the client holds; nothing is kept."
    ),
    "context/clear": RequestType(ContextParams, Cleared, "Empty the window but for the system prompt and pins."),
    "context/undo": RequestType(
        UndoParams, values.Undone, "Take back the latest change of the window, or a named one."
    ),
    "context/history": RequestType(HistoryParams, OperationPage, "What was done, in time order."),
    "context/countTokens": RequestType(CountTokensParams, values.Counts, "Count texts or messages."),
    "context/models": RequestType(NoParams, ModelList, "The models of every model server that answers."),
    "context/model/select": RequestType(SelectModelParams, values.Context, "Choose the model of a context."),
}

NOTIFICATIONS: dict[str, RequestType] = {
    "context/statusChanged": RequestType(
        values.ContextStatus, None, "What a status bar shows has changed; at most 10 a second for each context."
    ),
    "context/event": RequestType(EventParams, None, "Something happened that a person may want to know."),
}

PARTIAL_RESULT = values.Partial
"""The ``value`` of a ``$/progress`` notification for a ``partialResultToken``."""
