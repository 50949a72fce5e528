"""Values that are shown to people: fixed ones, and random statuses."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import strategies as st

from ullage.contexts.values import (
    AutoCompress,
    CompressionEstimate,
    CompressionResult,
    Context,
    ContextStats,
    ContextStatus,
    CountCacheStats,
    KvCacheState,
    MessageView,
    Model,
    ModelState,
    PromptStats,
    SnapshotInfo,
    SnapshotMetadata,
    TimingStats,
    TokensByRole,
)
from ullage.conversation.usage import Usage, measure, reserved_tokens, warning_for
from ullage.memory.readings import DeviceReading, MemoryReading
from ullage.memory.sizing import SizingReport
from ullage.settings import SettingValue

GIB = 2**30
WORKSPACE = "file:///home/someone/harbour"


def ulid(end: str) -> str:
    """An id that ends so."""
    return "01ARZ3NDEKTSV4RRFFQ69G5FAV"[: 26 - len(end)] + end


def usage(tokens: int = 12_847, limit: int | None = 32_768, **changes: Any) -> Usage:
    made = measure(tokens=tokens, limit=limit, reserved=1024, messages=24, source="provider", growth=(1900,))
    return attrs.evolve(made, **changes)


def context(end: str = "AAAAAA", name: str = "main", workspace_uri: str = WORKSPACE, **changes: Any) -> Context:
    made = Context(ulid(end), name, workspace_uri, None, "llama3", "ready", 1, 1, usage())
    return attrs.evolve(made, **changes)


def status(**changes: Any) -> ContextStatus:
    made = ContextStatus(
        context=context(),
        model=ModelState("llama3", "ollama", loaded=True),
        usage=usage(),
        memory=None,
        kv_cache=KvCacheState("f16", "assumed", 1536 * 2**20),
        snapshots=2,
        auto_size=True,
        auto_compress=AutoCompress(enabled=True, threshold=0.8),
        compressing=False,
        warning="none",
        text="",
    )
    return attrs.evolve(made, **changes)


def stats(**changes: Any) -> ContextStats:
    made = ContextStats(
        **attrs.asdict(status(), recurse=False),
        weights_bytes=3 * GIB,
        tokens_by_role=TokensByRole(10, 20, 30, 0),
        compressions=(),
        snapshot_bytes=2048,
        count_cache=CountCacheStats(3, 1),
        prompt=PromptStats(100, 300),
        timings=TimingStats(214.0, 900.0, 61.4),
        settings=(SettingValue("context.targetSize", 8192, "editor"), SettingValue("context.minSize", 2048, "default")),
        memory_history=(),
    )
    return attrs.evolve(made, **changes)


def message(end: str, content: str = "What is a quay?", *, pinned: bool = False) -> MessageView:
    return MessageView(ulid(end), "user", content, 1, 7, "provider", pinned=pinned)


def snapshot(end: str, summary: str = "before the storm", created_at: int = 1) -> SnapshotInfo:
    return SnapshotInfo(
        ulid(end), ulid("AAAAAA"), created_at, 9_000, 12, summary, "manual", 4096, SnapshotMetadata("llama3", 32_768, 1)
    )


def sizing(tokens: int) -> SizingReport:
    return SizingReport(
        tokens=tokens,
        target=tokens,
        weights_bytes=0,
        limited_by="target",
        available_bytes=GIB,
        reserve_bytes=512 * 2**20,
        bytes_per_token=1024,
        fixed_bytes=0,
        compute_bytes=0,
        cache_type="q8_0",
        model_limit=131_072,
        reloaded=True,
        explanation="as asked for: 1.0 GB free",
    )


def reading() -> MemoryReading:
    devices = tuple(DeviceReading(name, 4 * GIB, 3 * GIB, GIB) for name in ("card 0", "card 1"))
    return MemoryReading("nvidia", 8 * GIB, 6 * GIB, 2 * GIB, 5 * GIB, devices, 1)


COMPRESSED = CompressionResult("hybrid", 30_000, 15_000, 0.5, None, (), 12, ulid("0PERAT"), ("toolResults", "summary"))
ESTIMATED = CompressionEstimate("hybrid", 30_000, 15_000, 0.5, 12, needs_model=True)
MODELS = [Model("llama3", "ollama", True, 131_072, 32_768, 4 * GIB), Model("odd", "llamacpp", False, None, None, None)]

_names = st.text(min_size=1, max_size=30)
_sizes = st.none() | st.integers(0, 2**45)
_devices = st.builds(DeviceReading, _names, _sizes, _sizes, _sizes)
_readings = st.builds(
    MemoryReading,
    st.sampled_from(["nvidia", "amd", "apple", "intel", "cpu"]),
    _sizes,
    _sizes,
    _sizes,
    _sizes,
    st.lists(_devices, max_size=3).map(tuple),
    st.integers(0, 2**45),
)


@st.composite
def statuses(draw: st.DrawFn) -> ContextStatus:
    """Any status that the server could tell: its figures agree with each other."""
    limit = draw(st.none() | st.integers(1, 2**31 - 1))
    tokens = draw(st.integers(0, 2 * limit if limit and limit < 2**20 else 2**31))
    threshold = draw(st.floats(0.1, 1))
    filled = measure(
        tokens=tokens,
        limit=limit,
        reserved=reserved_tokens(limit, 1024),
        messages=draw(st.integers(0, 10_000)),
        source=draw(st.sampled_from(["provider", "vocabulary", "tiktoken", "estimate"])),
        growth=draw(st.lists(st.integers(-10, 5000), max_size=3)),
        threshold=threshold,
    )
    model = draw(st.none() | _names)
    return ContextStatus(
        context=context(name=draw(_names), model=model, usage=filled),
        model=ModelState(model, draw(st.none() | st.sampled_from(["ollama", "embedded"])), draw(st.booleans())),
        usage=filled,
        memory=draw(st.none() | _readings),
        kv_cache=draw(
            st.builds(
                KvCacheState,
                st.none() | st.sampled_from(["f16", "q8_0", "iq4_nl"]),
                st.sampled_from(["ours", "measured", "settings", "assumed"]),
                _sizes,
            )
        ),
        snapshots=draw(st.integers(0, 10_000)),
        auto_size=draw(st.booleans()),
        auto_compress=AutoCompress(draw(st.booleans()), threshold),
        compressing=draw(st.booleans()),
        warning=warning_for(filled.pressure, threshold),
        text="",
    )
