"""A context that is open in this process: its state, its lock, and what is going on with it."""

from __future__ import annotations

import asyncio
from collections import deque

from attrs import Factory, define

from ullage.contexts.active_model import ActiveModel
from ullage.contexts.counting import CountedForm
from ullage.contexts.state import ContextState
from ullage.contexts.values import Timing
from ullage.conversation.messages import ToolDefinition
from ullage.memory.guard import GaugeLevel
from ullage.store.locks import ContextLock

TREND_TURNS = 8
"""How many turns the forecast of ``turnsLeft`` looks back on."""


@define(eq=False)
class Session:
    """Mutable and of one event loop. ``mutex`` covers decisions and commits, never streaming.

    ``window_level`` and ``snapshot_pressure`` are what the gauges showed last, ``attempted_tokens`` how full the window
    was when making room was tried last without success or taken back, ``rejected_summaries`` how many summaries in a
    row were not acceptable, and ``summarising`` is the model that is writing one now.
    """

    state: ContextState
    lock: ContextLock
    mutex: asyncio.Lock = Factory(asyncio.Lock)
    counted: CountedForm | None = None
    answer: asyncio.Task[object] | None = None
    answering: bool = False
    compressing: asyncio.Task[object] | None = None
    tools: tuple[ToolDefinition, ...] = ()
    tools_tokens: int = 0
    growth: deque[int] = Factory(lambda: deque(maxlen=TREND_TURNS))
    last_timing: Timing | None = None
    prompt_evaluated: int = 0
    prompt_reused: int = 0
    window_level: GaugeLevel = "calm"
    snapshot_pressure: float = 0.0
    attempted_tokens: int | None = None
    rejected_summaries: int = 0
    summarising: ActiveModel | None = None

    def relieved(self) -> None:
        """The window became smaller: trends and gauges begin anew."""
        self.growth.clear()
        self.window_level, self.snapshot_pressure, self.attempted_tokens = "calm", 0.0, None

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
