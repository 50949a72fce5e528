"""Contexts over a store in a folder and one model server that can be away; nothing else of the outside."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
from attrs import define

from support.rooms import Rooms, rooms
from ullage.contexts.directory import Directory
from ullage.contexts.sessions import Sessions
from ullage.conversation.messages import Message
from ullage.conversation.operations import Operation, WindowChange
from ullage.providers.base import ModelInfo, Resized
from ullage.providers.untold import Untold
from ullage.settings import CacheType, Mode, Settings
from ullage.store.records import Commit

WORKSPACE = "file:///project"


@define(eq=False)
class Offering(Untold):
    """A server that offers these models, unless it is away."""

    offers: list[str]
    is_away: bool = False
    name: str = "ollama"
    address: str = "nowhere"
    is_local: bool = True
    sizes_by_request: bool = False
    renders_with_own_template: bool = False

    def planned_window(self, model: str) -> int | None:
        return None

    async def probe(self) -> bool:
        return not self.is_away

    async def models(self) -> list[ModelInfo]:
        return [ModelInfo(name, True, 8192, 8192, 2**30) for name in self.offers]

    async def window(self, model: str) -> int | None:
        return 8192

    async def close(self) -> None:
        pass

    # These tests ask for no answers and change no sizes.

    def chat(self, request: Any) -> AsyncGenerator[Any]:
        raise NotImplementedError

    async def resize(self, model: str, tokens: int, cache_type: CacheType | None = None) -> Resized:
        raise NotImplementedError

    async def unload(self, model: str) -> int | None:
        raise NotImplementedError


@define(eq=False)
class Talking:
    process: Rooms
    server: Offering
    settings: Settings

    @property
    def sessions(self) -> Sessions:
        return self.process.sessions

    @property
    def directory(self) -> Directory:
        return self.process.directory

    def set_modes(self, **modes: Mode) -> None:
        self.settings = attrs.evolve(self.settings, modes=modes)

    def told(self, kind: str) -> list[dict[str, object]]:
        return self.process.told(kind)

    async def open(self, name: str = "main", **options: Any) -> str:
        return (await self.directory.open(WORKSPACE, name, **options)).id

    async def say(self, context_id: str, *messages: Message) -> Operation:
        """Messages at the window's end; the operation that brought them."""
        ids = tuple(message.id for message in messages)
        operation = self.sessions.operation(context_id, "append", {})
        await self.commit(Commit(operation, messages, ids, change=WindowChange(added=ids)))
        return operation

    async def commit(self, commit: Commit) -> None:
        """As another process would have, so that the state is loaded anew."""
        await self.sessions.store.commit(commit)
        session = await self.sessions.get(commit.operation.context_id)
        await self.sessions.refresh(session)

    async def window(self, context_id: str) -> list[str]:
        return [message.content for message in (await self.sessions.get(context_id)).state.messages]

    async def history(self, context_id: str) -> tuple[Message, ...]:
        messages, _ = await self.sessions.store.run(lambda store: store.history(context_id, None, 10_000))
        return messages


@asynccontextmanager
async def talking(folder: Path, *offers: str) -> AsyncGenerator[Talking]:
    made: list[Talking] = []
    server = Offering(list(offers))
    process = rooms(folder, server, settings=lambda: made[0].settings)
    made.append(Talking(process, server, Settings()))
    try:
        yield made[0]
    finally:
        await process.close()
