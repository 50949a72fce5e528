"""What is shown of a context, of contexts and of models: rows of plain text, the same for every rendering.

Markdown for editors is made of them in `rendering`, the terminal's box in `ullage.cli.status_box`.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from ullage.contexts.commands.figures import (
    UNKNOWN,
    ago_text,
    bar,
    counted,
    duration_text,
    filled_text,
    moment_text,
    number_text,
    percent,
    short_id,
    size_text,
)
from ullage.contexts.values import (
    AutoCompress,
    Context,
    ContextStats,
    ContextStatus,
    KvCacheState,
    Model,
    ModelState,
    SnapshotInfo,
)
from ullage.conversation.usage import EXACT, CountSource, WarningLevel
from ullage.memory.readings import MemoryReading

CONTEXT_HEADINGS = ("context", "priority", "tokens", "messages", "model", "used")
MODEL_HEADINGS = ("model", "provider", "", "made for", "allocated", "size")
SNAPSHOT_HEADINGS = ("", "id", "made", "tokens", "messages", "by", "summary")
TRIGGERS = {"manual": "hand", "threshold": "threshold", "emergency": "emergency"}


@frozen
class Row:
    """A figure of a status. ``level`` colours those that go by how full the window is; ``label`` is empty for what only
    a picture of the row above is."""

    label: str
    text: str
    level: WarningLevel | None = None


def status_rows(status: ContextStatus) -> list[Row]:
    """Everything that a person wants to see of a context. A row "Warning" is there exactly when there is one."""
    usage, model, level = status.usage, status.model, status.warning
    threshold = percent(status.auto_compress.threshold)
    rows = [
        Row("Model", model.name or "none chosen yet"),
        Row("Provider", _provider(model)),
        Row("Tokens", filled_text(usage.tokens, usage.limit) + _source(usage.source), level),
    ]
    if usage.fraction is not None:
        rows.append(Row("", bar(usage.fraction), level))
    rows.append(Row("Answer", f"{usage.reserved:,} tokens kept free for it"))
    if usage.turns_left is not None:
        rows.append(Row("Turns left", f"about {usage.turns_left:,} until {threshold}"))
    rows += [
        Row("Size", "automatic" if status.auto_size else "fixed"),
        Row("Memory", memory_text(status.memory)),
        Row("KV cache", _kv_cache(status.kv_cache)),
        Row("Snapshots", f"{status.snapshots:,}"),
        Row("Compression", _compression(status.auto_compress)),
    ]
    if level != "none":
        rows.append(Row("Warning", _warning(status), level))
    return rows


def stats_rows(stats: ContextStats) -> list[tuple[str, str]]:
    """What the statistics add to the status."""
    roles, prompt, timings, cache = stats.tokens_by_role, stats.prompt, stats.timings, stats.count_cache
    sent = prompt.evaluated + prompt.reused
    by_role = {"system": roles.system, "user": roles.user, "assistant": roles.assistant, "tool": roles.tool}
    speed = timings.tokens_per_second
    return [
        ("Tokens by role", ", ".join(f"{role} {tokens:,}" for role, tokens in by_role.items())),
        ("Weights", size_text(stats.weights_bytes)),
        ("Prompts so far", f"{sent:,} tokens, {percent(prompt.reused / sent)} reused" if sent else "none yet"),
        ("Last answer began after", duration_text(timings.first_token_ms)),
        ("Last answer's speed", UNKNOWN if speed is None else f"{speed:,.0f} tokens/s"),
        ("Compressions", _compressions(stats)),
        ("Snapshots on disk", size_text(stats.snapshot_bytes)),
        ("Counts kept", f"{cache.hits:,} found, {cache.misses:,} made anew"),
    ]


def context_rows(contexts: Sequence[Context], now_ms: float | None = None) -> list[tuple[str, ...]]:
    """A row of `CONTEXT_HEADINGS` for each context."""
    return [
        (
            context.name,
            context.priority,
            filled_text(context.usage.tokens, context.usage.limit),
            f"{context.usage.messages:,}",
            context.model or "none yet",
            ago_text(context.last_used_at, now_ms),
        )
        for context in contexts
    ]


def model_rows(models: Sequence[Model]) -> list[tuple[str, ...]]:
    """A row of `MODEL_HEADINGS` for each model."""
    return [
        (
            model.name,
            model.provider,
            "loaded" if model.loaded else "",
            number_text(model.context_length),
            number_text(model.allocated_context),
            size_text(model.bytes),
        )
        for model in models
    ]


def snapshot_rows(snapshots: Sequence[SnapshotInfo]) -> list[tuple[str, ...]]:
    """A row of `SNAPSHOT_HEADINGS` for each snapshot, numbered from 1."""
    return [
        (
            str(number),
            short_id(snapshot.id),
            moment_text(snapshot.created_at),
            f"{snapshot.tokens:,}",
            f"{snapshot.messages:,}",
            TRIGGERS[snapshot.trigger],
            snapshot.summary,
        )
        for number, snapshot in enumerate(snapshots, 1)
    ]


def memory_text(reading: MemoryReading | None) -> str:
    """``6.0 GB / 8.0 GB (75%), nvidia on 2 devices``."""
    if reading is None or not reading.total or reading.used is None:
        return UNKNOWN
    devices = f" on {counted(len(reading.devices), 'device')}" if len(reading.devices) > 1 else ""
    share = percent(reading.used / reading.total)
    return f"{size_text(reading.used)} / {size_text(reading.total)} ({share}), {reading.kind}{devices}"


def _provider(model: ModelState) -> str:
    if model.provider is None:
        return "no model server answers"
    return f"{model.provider} ({'loaded' if model.loaded else 'not loaded'})"


def _source(source: CountSource) -> str:
    return "" if source in EXACT else ", by estimate"


def _kv_cache(cache: KvCacheState) -> str:
    size = "size " + size_text(cache.bytes)
    if cache.type is None:
        return f"type {UNKNOWN}, {size}"
    assumed = " (assumed)" if cache.type_source == "assumed" else ""
    return f"{cache.type}{assumed}, {size}"


def _compression(compress: AutoCompress) -> str:
    return f"on, from {percent(compress.threshold)}" if compress.enabled else "off"


def _warning(status: ContextStatus) -> str:
    used = "" if status.usage.pressure is None else f", {percent(status.usage.pressure)} of what is usable is in use"
    if status.warning == "critical":
        return f"critical{used}: the next answer will need room to be made"
    return f"high{used}: /context compress makes room"


def _compressions(stats: ContextStats) -> str:
    if not stats.compressions:
        return "none yet"
    last = stats.compressions[-1]
    return f"{len(stats.compressions):,}, the last to {percent(last.ratio)} by {last.strategy}"
