"""What the use cases answer with. These values travel to clients as they are, in camelCase.

A field without a default is always sent, ``None`` as ``null``; a field with one is left out while it has it.
Times are milliseconds since the epoch or durations in milliseconds, sizes are bytes, counts are tokens.
"""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from ullage.conversation.messages import Role, ToolCall
from ullage.conversation.operations import Operation
from ullage.conversation.usage import CountSource, Usage, WarningLevel
from ullage.memory.readings import MemoryReading
from ullage.settings import CacheType, SettingValue, Strategy

Priority = Literal["active", "ready", "standby", "dormant"]
StopReason = Literal["stop", "length", "cancelled", "toolCalls"]


@frozen
class Context:
    """One conversation context. Its id survives renames, moves from folder to multi-root, and restarts; ``active`` is
    said per connection."""

    id: str
    name: str
    workspace_uri: str
    mode: str | None
    model: str | None
    priority: Priority
    created_at: int
    last_used_at: int
    usage: Usage


@frozen
class MessageView:
    """A message with what the window knows of it: whether it is pinned, and what it costs."""

    id: str
    role: Role
    content: str
    created_at: int
    tokens: int
    source: CountSource
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    pinned: bool = False
    reasoning: str | None = None
    summary_of: tuple[str, ...] | None = None


@frozen
class SwitchResult:
    context: Context
    previous_context_id: str | None
    restored_from: Literal["memory", "kv-slot", "store"]
    duration_ms: float


@frozen
class ModelState:
    name: str | None
    provider: str | None
    loaded: bool


@frozen
class KvCacheState:
    """``type_source`` says whether we chose the type, measured it, took it from settings, or assume it."""

    type: CacheType | None
    type_source: Literal["ours", "measured", "settings", "assumed"]
    bytes: int | None


@frozen
class AutoCompress:
    enabled: bool
    threshold: float


@frozen
class ContextStatus:
    """Everything a status bar shows of a context; ``compressing`` while room is being made in its window, ``text`` is
    one short line for it."""

    context: Context
    model: ModelState
    usage: Usage
    memory: MemoryReading | None
    kv_cache: KvCacheState
    snapshots: int
    auto_size: bool
    auto_compress: AutoCompress
    compressing: bool
    warning: WarningLevel
    text: str


@frozen
class TokensByRole:
    system: int
    user: int
    assistant: int
    tool: int


@frozen
class CompressionRecord:
    at: int
    strategy: Strategy
    ratio: float


@frozen
class CountCacheStats:
    hits: int
    misses: int


@frozen
class PromptStats:
    """Prompt tokens that the model server evaluated and took from its cache, in sum over this process's requests."""

    evaluated: int
    reused: int


@frozen
class TimingStats:
    """Of the last answer in this process; None before the first."""

    first_token_ms: float | None
    total_ms: float | None
    tokens_per_second: float | None


@frozen
class MemorySample:
    at: int
    used: int
    total: int


@frozen
class ContextStats(ContextStatus):
    weights_bytes: int | None
    tokens_by_role: TokensByRole
    compressions: tuple[CompressionRecord, ...]
    snapshot_bytes: int
    count_cache: CountCacheStats
    prompt: PromptStats
    timings: TimingStats
    settings: tuple[SettingValue, ...]
    memory_history: tuple[MemorySample, ...]


@frozen
class Timing:
    """``prompt_tokens`` and ``reused_tokens`` are the model server's own figures."""

    first_token_ms: float | None
    total_ms: float
    prompt_tokens: int | None
    reused_tokens: int | None
    completion_tokens: int


@frozen
class Fitted:
    """What ``complete`` left out of a foreign history: turns dropped, tool results masked or shortened, tokens."""

    dropped: int
    masked: int
    before: int
    after: int


@frozen
class CompressionEstimate:
    """What a compression would come to. Token figures are of the whole window, as in `Usage.tokens`; ``ratio`` is
    compressed / original, ``removed`` counts messages that would leave the window."""

    strategy: Strategy
    original_tokens: int
    compressed_tokens: int
    ratio: float
    removed: int
    needs_model: bool


@frozen
class CompressionResult:
    """What a compression came to, in the figures of `CompressionEstimate`. ``preserved`` are the ids of the messages
    that stay as they were said, ``reduced_by`` the means that were used, in their order."""

    strategy: Strategy
    original_tokens: int
    compressed_tokens: int
    ratio: float
    summary: MessageView | None
    preserved: tuple[str, ...]
    removed: int
    operation_id: str
    reduced_by: tuple[Literal["toolResults", "summary", "truncation"], ...]


@frozen
class ChatResult:
    message: MessageView
    usage: Usage
    timing: Timing
    compressed: CompressionResult | None
    fitted: Fitted | None
    stop_reason: StopReason


@frozen
class Partial:
    """A piece of an answer as it streams; exactly one field is set."""

    delta: str | None = None
    reasoning: str | None = None
    tool_call: ToolCall | None = None


@frozen
class Model:
    name: str
    provider: str
    loaded: bool
    context_length: int | None
    allocated_context: int | None
    bytes: int | None


@frozen
class Undone:
    undone: Operation
    usage: Usage


SnapshotTrigger = Literal["manual", "threshold", "emergency"]


@frozen
class SnapshotMetadata:
    """``context_size`` is the allocated window in tokens, 0 where it was not known; ``compression_ratio`` that of the
    compression before it, 1 where there was none."""

    model: str | None
    context_size: int
    compression_ratio: float


@frozen
class SnapshotInfo:
    """``tokens`` and ``messages`` are the window's when the snapshot was made; ``bytes`` is the file's size."""

    id: str
    context_id: str
    created_at: int
    tokens: int
    messages: int
    summary: str
    trigger: SnapshotTrigger
    bytes: int
    metadata: SnapshotMetadata


@frozen
class UnreadableSnapshot:
    """A file that could not be read: its name in the storage folder, and why, for a person."""

    file: str
    reason: str


@frozen
class SnapshotPage:
    snapshots: tuple[SnapshotInfo, ...]
    unreadable: tuple[UnreadableSnapshot, ...]


@frozen
class SnapshotVerdict:
    ok: bool
    reason: str | None


@frozen
class Restored:
    usage: Usage
    context: Context


@frozen
class SearchHit:
    """``excerpt`` is the piece of the message around the words that were found, those between ** and **."""

    message: MessageView
    context_id: str
    excerpt: str


@frozen
class Imported:
    messages: int
    usage: Usage


@frozen
class CommandResult:
    """``data`` is the result of the request that the line stands for; None where it stands for none."""

    markdown: str
    data: object


@frozen
class Counts:
    counts: tuple[int, ...]
    total: int
    source: CountSource
