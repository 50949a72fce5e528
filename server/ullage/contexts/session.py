"""A context that is open in this process: its state, its lock, and what is going on with it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import Factory, define

from ullage.contexts.counting import CountedForm
from ullage.contexts.state import ContextState
from ullage.contexts.values import CompressionResult, Timing
from ullage.conversation.messages import ToolDefinition
from ullage.conversation.usage import Usage, usable_tokens
from ullage.memory.guard import HYSTERESIS, GaugeLevel
from ullage.store.locks import ContextLock

TREND_TURNS = 8
"""How many turns the forecast of ``turnsLeft`` looks back on."""

GROWTH_SHARE = 0.05
"""Of the usable window: less growth than this since the last attempt, or since an undo, is no reason for another."""


@define(eq=False)
class Session:
    """Mutable and of one event loop. ``mutex`` covers decisions and commits, never streaming.

    ``window_level`` is what the window's gauge showed last, ``is_kept`` whether there was an automatic snapshot since
    it passed the threshold for one, ``attempted_tokens`` how full the window was when making room was tried last
    without success or taken back, ``wanted_tokens`` when the person took it back, ``rejected_summaries`` how many
    summaries in a row were not acceptable. ``requests`` are those that compress it by request, and the guard's clear;
    ``keeping`` are the snapshots of it that are being made. ``partings`` counts those who are letting go of it at this
    moment, and ``reductions`` those who are making room in it. ``compression_ratio`` is that of the last compression,
    behind the epoch of the window that it was looked up for.
    """

    state: ContextState
    lock: ContextLock
    mutex: asyncio.Lock = Factory(asyncio.Lock)
    counted: CountedForm | None = None
    answer: asyncio.Task[object] | None = None
    answering: bool = False
    compressing: asyncio.Task[CompressionResult | None] | None = None
    requests: set[asyncio.Task[object]] = Factory(set)
    keeping: set[asyncio.Future[None]] = Factory(set)
    partings: int = 0
    reductions: int = 0
    tools: tuple[ToolDefinition, ...] = ()
    tools_tokens: int = 0
    growth: deque[int] = Factory(lambda: deque(maxlen=TREND_TURNS))
    last_timing: Timing | None = None
    prompt_evaluated: int = 0
    prompt_reused: int = 0
    window_level: GaugeLevel = "calm"
    is_kept: bool = False
    attempted_tokens: int | None = None
    wanted_tokens: int | None = None
    rejected_summaries: int = 0
    compression_ratio: tuple[int, float] | None = None

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """What the present task does inside ends when the context is let go of."""
        task = asyncio.current_task()
        assert task is not None, "sessions are of one event loop"
        self.requests.add(task)
        try:
            yield
        finally:
            self.requests.discard(task)

    @contextmanager
    def keeps(self) -> Iterator[None]:
        """A snapshot that is made inside may be a file before it is in the log, until the end."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.keeping.add(ended)
        try:
            yield
        finally:
            self.keeping.discard(ended)
            ended.set_result(None)

    @property
    def is_let_go(self) -> bool:
        """Whether somebody is letting go of it, or has: nothing begins unbidden then."""
        return self.partings > 0 or self.state.is_resting

    def relieved(self) -> None:
        """The window became smaller: trends and gauges begin anew."""
        self.growth.clear()
        self.window_level, self.is_kept = "calm", False
        self.attempted_tokens = self.wanted_tokens = None

    def taken_back(self, usage: Usage, *, wanted: bool) -> None:
        """The window was brought back, ``wanted``: by the person's taking back that it became smaller. What is in it by
        now does not leave again unbidden before something is added."""
        self.relieved()
        self.attempted_tokens, self.wanted_tokens = usage.tokens, usage.tokens if wanted else None

    def reduced(self, usage: Usage, threshold: float) -> None:
        """The window was compressed. Where what has to stay keeps it near the threshold, another attempt waits for
        growth: else every turn would be one, and the prompt's beginning another each time."""
        if usage.pressure is not None and usage.pressure <= threshold - HYSTERESIS:
            self.relieved()
            return
        self.growth.clear()
        self.attempted_tokens, self.wanted_tokens = usage.tokens, None

    def has_grown(self, usage: Usage) -> bool:
        """Whether making room may be tried: for the first time, or by now there is clearly more to gain."""
        return self.attempted_tokens is None or _has_grown(usage, self.attempted_tokens)

    def is_wanted(self, usage: Usage) -> bool:
        """Whether the person took this window back and has added little since: nothing leaves it in an emergency."""
        return self.wanted_tokens is not None and not _has_grown(usage, self.wanted_tokens)

    def rest(self) -> None:
        """Free the lock and give the window back. The session itself stays, so that whoever is waiting for its mutex
        and whoever opens the context next meet in one place."""
        self.lock.release()
        self.state = self.state.resting()
        self.counted = None
        self.tools, self.tools_tokens = (), 0

    @property
    def id(self) -> str:
        return self.state.record.id


def _has_grown(usage: Usage, before: int) -> bool:
    """Whether a window is clearly fuller than ``before``."""
    return usage.tokens >= before + usable_tokens(usage.limit or 0, usage.reserved) * GROWTH_SHARE
