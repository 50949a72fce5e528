"""One conversation that fills its window, over a real store and a model server inside the process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
from attrs import define

from support.rooms import Answering, Rooms, rooms
from ullage.contexts.drafts import Draft
from ullage.contexts.session import Session
from ullage.conversation.usage import Usage
from ullage.providers.base import AnswerOptions
from ullage.settings import CompressionSettings, ContextSettings, Settings

LIMIT = 4096
USABLE = LIMIT - 1024
NEVER = CompressionSettings(threshold=1.0)
"""Compression that waits for a request."""


@define(eq=False)
class Filling:
    """One conversation that fills up."""

    process: Rooms
    server: Answering
    session: Session
    settings: list[Settings]

    async def fill(self, pressure: float, messages: int = 2) -> Usage:
        """Say as much as brings the window to ``pressure``, and wait for what runs behind it."""
        usage = await self.process.sessions.usage(self.session)
        tokens = round(pressure * USABLE) - usage.tokens
        assert tokens > 0, "the window is fuller than that already"
        size = tokens * 4 // messages
        drafts = [Draft(("user", "assistant")[n % 2], "w" * (size - 18)) for n in range(messages)]
        _, usage = await self.process.conversations.append(self.session.id, drafts)
        await self.process.background.settled(self.session)
        return usage

    async def triggers(self) -> list[str]:
        return [each.trigger for each in (await self.process.snapshots.page(self.session.id)).snapshots]

    def change(self, **context: Any) -> None:
        """Other settings from now on."""
        [present] = self.settings
        self.settings[:] = [attrs.evolve(present, context=attrs.evolve(present.context, **context))]

    async def chat(self) -> Any:
        return await self.process.chats.chat(self.session.id, "And now?", AnswerOptions(), lambda _: None)


@asynccontextmanager
async def filling(folder: Path, server: Answering | None = None, **context: Any) -> AsyncIterator[Filling]:
    server = server or Answering(limit=LIMIT)
    settings = [Settings(context=ContextSettings(**{"compression": NEVER, **context}))]
    process = rooms(folder, server, settings=lambda: settings[0])
    try:
        yield Filling(process, server, await process.sessions.get(await process.open()), settings)
    finally:
        await process.close()
