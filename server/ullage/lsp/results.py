"""What each request of the protocol answers, and what is told unasked.

Result values are those of `ullage.contexts.values`, `ullage.conversation` and `ullage.memory`; envelopes that only a
reply has are defined here. A field without a default is always sent; one with a default is left out while it has it.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen

from ullage.contexts import envelopes, values
from ullage.conversation.usage import Usage
from ullage.events import EventKind
from ullage.memory.guard import Allocation
from ullage.memory.kv_cache import CacheEstimate
from ullage.memory.readings import MemoryReading
from ullage.memory.sizing import SizingReport


@frozen
class Appended:
    messages: list[values.MessageView]
    usage: Usage


@frozen
class Unloaded:
    freed_bytes: int | None


@frozen
class LowMemoryParams:
    reading: MemoryReading
    threshold: int


@frozen
class EventParams:
    kind: EventKind
    context_id: str | None
    at: int
    detail: dict[str, Any]


@frozen
class NotificationType:
    """One notification from the server: its params, and when it comes."""

    params: type
    purpose: str


RESULTS: dict[str, type | None] = {
    "context/open": values.Context,
    "context/update": values.Context,
    "context/list": envelopes.ContextList,
    "context/switch": values.SwitchResult,
    "context/close": values.Context,
    "context/delete": None,
    "context/status": values.ContextStatus,
    "context/stats": values.ContextStats,
    "context/append": Appended,
    "context/messages": envelopes.MessagePage,
    "context/pin": values.MessageView,
    "context/chat": values.ChatResult,
    "context/complete": values.ChatResult,
    "context/clear": envelopes.Cleared,
    "context/undo": values.Undone,
    "context/compress": values.CompressionResult,
    "context/estimateCompression": values.CompressionEstimate,
    "context/forget": None,
    "context/export": envelopes.Exported,
    "context/import": values.Imported,
    "context/search": envelopes.SearchResult,
    "context/snapshot/create": values.SnapshotInfo,
    "context/snapshot/list": values.SnapshotPage,
    "context/snapshot/messages": envelopes.MessagePage,
    "context/snapshot/restore": values.Restored,
    "context/snapshot/delete": None,
    "context/snapshot/verify": values.SnapshotVerdict,
    "context/command": values.CommandResult,
    "context/history": envelopes.OperationPage,
    "context/countTokens": values.Counts,
    "context/models": envelopes.ModelList,
    "context/resize": SizingReport,
    "context/autoSize": SizingReport,
    "context/sizing": SizingReport,
    "context/estimateMemory": CacheEstimate,
    "context/memory": MemoryReading,
    "context/canAllocate": Allocation,
    "context/model/unload": Unloaded,
    "context/model/select": values.Context,
}
"""By request; None is ``null``."""

NOTIFICATIONS: dict[str, NotificationType] = {
    "context/statusChanged": NotificationType(
        values.ContextStatus, "What a status bar shows has changed; at most 10 a second for each context."
    ),
    "context/lowMemory": NotificationType(
        LowMemoryParams, "Less than the threshold is free: once on crossing it, again only after recovery."
    ),
    "context/event": NotificationType(EventParams, "Something happened that a person may want to know."),
}

PARTIAL_RESULT = values.Partial
"""The ``value`` of a ``$/progress`` notification for a ``partialResultToken``."""
