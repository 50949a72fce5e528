"""A context that is open in this process: its state, its lock, and what is going on with it."""

from __future__ import annotations

import asyncio
from collections import deque

from attrs import Factory, define

from ullage.contexts.counting import CountedForm
from ullage.contexts.state import ContextState
from ullage.contexts.values import Timing
from ullage.conversation.messages import ToolDefinition
from ullage.store.locks import ContextLock

TREND_TURNS = 8
"""How many turns the forecast of ``turnsLeft`` looks back on."""


@define(eq=False)
class Session:
    """Mutable and of one event loop. ``mutex`` covers decisions and commits, never streaming."""

    state: ContextState
    lock: ContextLock
    mutex: asyncio.Lock = Factory(asyncio.Lock)
    counted: CountedForm | None = None
    answer: asyncio.Task[object] | None = None
    answering: bool = False
    tools: tuple[ToolDefinition, ...] = ()
    tools_tokens: int = 0
    growth: deque[int] = Factory(lambda: deque(maxlen=TREND_TURNS))
    last_timing: Timing | None = None
    prompt_evaluated: int = 0
    prompt_reused: int = 0

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
