"""What each request of the protocol takes.

PROTOCOL.md is produced from this module and from `ullage.lsp.results`. Params are strict: a wrong type, a ``null``
where none is said, or a figure out of its bounds is refused with the path of the field; unknown extra fields are
ignored. A field with a default may be left out.

The reply to `initialize` needs these types, and an editor waits for it: results, which it does not need, stand apart.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs
from attrs import frozen

from ullage.conversation.messages import ToolCall
from ullage.settings import CacheType, Strategy

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
class CompressParams:
    """Without a strategy: that of the settings."""

    context_id: str
    strategy: Strategy | None = None
    work_done_token: int | str | None = None


@frozen
class EstimateCompressionParams:
    context_id: str
    strategy: Strategy | None = None


@frozen
class ForgetParams:
    context_id: str
    message_id: str


@frozen
class ExportParams:
    context_id: str
    format: Literal["json", "markdown"]


@frozen
class ImportParams:
    context_id: str
    format: Literal["json", "markdown"]
    text: str


@frozen
class SearchParams:
    """Without ids: every context."""

    query: str
    context_ids: list[str] | None = None
    limit: int = bounded(1, 1000, 50)


@frozen
class CreateSnapshotParams:
    """``summary`` is what the person will know it by; without one it is the beginning of what was asked last."""

    context_id: str
    summary: str | None = None


@frozen
class ListSnapshotsParams:
    """Without an id: of every context."""

    context_id: str | None = None


@frozen
class SnapshotMessagesParams:
    snapshot_id: str
    limit: int = bounded(1, 1000, 100)


@frozen
class SnapshotParams:
    snapshot_id: str


@frozen
class RestoreParams:
    """Without a context: the one that the snapshot was made of."""

    snapshot_id: str
    context_id: str | None = None


@frozen
class CommandParams:
    """``line`` is what a person types, such as ``/context size 8192``. Without a context: the active one."""

    line: str
    context_id: str | None = None


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
class ResizeParams:
    context_id: str
    tokens: int = bounded(1, 2**31 - 1)


@frozen
class AutoSizeParams:
    context_id: str
    enabled: bool


@frozen
class SizingParams:
    """Without a model: the context's, or the active context's. ``as_much_as_fits`` asks for the largest size that
    memory, model and the person's maximum allow, whatever was chosen or is set as target."""

    context_id: str | None = None
    model: str | None = None
    cache_type: CacheType | None = None
    as_much_as_fits: bool = False


@frozen
class EstimateParams:
    """``metadata`` are GGUF keys as in a file's header or in Ollama's ``model_info``."""

    metadata: dict[str, Any]
    context_tokens: int = bounded(1, 2**31 - 1)
    slots: int = bounded(1, 256, 1)
    cache_type_k: CacheType = "f16"
    cache_type_v: CacheType = "f16"
    micro_batch: int = bounded(1, 2**20, 512)
    flash_attention: bool = True
    unified_cache: bool = False
    full_sliding_window_cache: bool = False
    rollback_copies: int = bounded(0, 256, 0)


@frozen
class CanAllocateParams:
    """``tokens`` are additional ones."""

    tokens: int = bounded(0, 2**31 - 1)
    context_id: str | None = None


@frozen
class UnloadParams:
    model: str


@frozen
class RequestType:
    """One request of the protocol: its params, and what it is for. Its result stands in `ullage.lsp.results`."""

    params: type
    purpose: str


REQUESTS: dict[str, RequestType] = {
    "context/open": RequestType(OpenParams, "The context of a workspace, made on first use, reopened after."),
    "context/update": RequestType(UpdateParams, "Rename, move, or give another mode or system prompt."),
    "context/list": RequestType(NoParams, "Every context of the store."),
    "context/switch": RequestType(SwitchParams, "Make a context the active one of this client."),
    "context/close": RequestType(ContextParams, "Let a context rest; nothing of it is lost."),
    "context/delete": RequestType(ContextParams, "Erase a context for good."),
    "context/status": RequestType(OptionalContextParams, "What a status bar shows."),
    "context/stats": RequestType(OptionalContextParams, "The status and every figure behind it."),
    "context/append": RequestType(
        AppendParams, "Add messages; durable when the reply is sent, never refused for the window's size."
    ),
    "context/messages": RequestType(MessagesParams, "A page of the window or of everything said, ascending."),
    "context/pin": RequestType(PinParams, "Keep a message in the window; of a call and its results all are pinned."),
    "context/chat": RequestType(ChatParams, "Say something and have it answered; the turn is kept."),
    "context/complete": RequestType(CompleteParams, "Answer a history that the client holds; nothing is kept."),
    "context/clear": RequestType(ContextParams, "Empty the window but for the system prompt and pins."),
    "context/undo": RequestType(UndoParams, "Take back the latest change of the window, or a named one."),
    "context/compress": RequestType(CompressParams, "Make room now, as far as the newest messages allow."),
    "context/estimateCompression": RequestType(
        EstimateCompressionParams, "What a compression would come to; changes nothing."
    ),
    "context/forget": RequestType(
        ForgetParams,
        "Erase one message for good, and the summaries that stand for it: window, history, log, snapshots.",
    ),
    "context/export": RequestType(ExportParams, "Everything said in a context, to be kept elsewhere."),
    "context/import": RequestType(ImportParams, "Add a conversation that was kept elsewhere."),
    "context/search": RequestType(SearchParams, "Find words in everything ever said."),
    "context/snapshot/create": RequestType(CreateSnapshotParams, "Keep the window as it is now."),
    "context/snapshot/list": RequestType(ListSnapshotsParams, "The snapshots of one context, or of all."),
    "context/snapshot/messages": RequestType(
        SnapshotMessagesParams, "The newest messages of a snapshot, ascending; changes nothing."
    ),
    "context/snapshot/restore": RequestType(RestoreParams, "Bring a snapshot's messages back; undo takes them away."),
    "context/snapshot/delete": RequestType(SnapshotParams, "Erase a snapshot for good."),
    "context/snapshot/verify": RequestType(SnapshotParams, "Whether a snapshot could be restored."),
    "context/command": RequestType(CommandParams, "Do what a line asks for that a person typed."),
    "context/history": RequestType(HistoryParams, "What was done, in time order."),
    "context/countTokens": RequestType(CountTokensParams, "Count texts or messages."),
    "context/models": RequestType(NoParams, "The models of every model server that answers."),
    "context/resize": RequestType(
        ResizeParams, "Give the context's model another size; for every context that uses it."
    ),
    "context/autoSize": RequestType(AutoSizeParams, "Let memory decide the size, or keep it as it is."),
    "context/sizing": RequestType(SizingParams, "What size a model would get, and why; changes nothing."),
    "context/estimateMemory": RequestType(
        EstimateParams, "The bytes of a context cache: pure arithmetic, no model server needed."
    ),
    "context/memory": RequestType(NoParams, "What the hardware says of its memory now."),
    "context/canAllocate": RequestType(CanAllocateParams, "Whether so many more tokens may join."),
    "context/model/unload": RequestType(UnloadParams, "Take a model out of memory."),
    "context/model/select": RequestType(SelectModelParams, "Choose the model of a context."),
}
