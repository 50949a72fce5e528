"""A conversation with a loaded model whose cache can be brought near the end of its memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

from support.sized import TOKEN_BYTES, FakeServer, Place, place
from ullage.contexts.drafts import Draft
from ullage.contexts.session import Session
from ullage.conversation.operations import Operation
from ullage.settings import CompressionSettings, GuardSettings

WINDOW = 8192
BUFFER = 2**30
TURNS = 12
HIGH, SEVERE, CRITICAL = 0.82, 0.92, 0.97
"""What the gauge shows at each level."""

WORDS = "word " * 120


@asynccontextmanager
async def guarded(
    folder: Path, server: FakeServer | None = None, **context: Any
) -> AsyncIterator[tuple[Place, Session]]:
    """A loaded model and a conversation that takes half of its window; memory is free."""
    compression = CompressionSettings(strategy="truncate", preserve_recent=512)
    options = {"target_size": WINDOW, "compression": compression, "vram_buffer": BUFFER // 2**20, **context}
    async with place(folder, server, **options) as made:
        opened = await made.directory.open("file:///home/someone/project")
        active = await made.sessions.models.active(None)
        if made.server.window_now is None:
            made.server.load()
        await made.sessions.models.window_after_answer(active)
        await made.sizes.memory.known(active)
        session = await made.sessions.get(opened.id)
        await say(made, session, TURNS)
        yield made, session


async def say(made: Place, session: Session, turns: int) -> None:
    drafts = [Draft(role, f"{role} {n}: {WORDS}") for n in range(turns) for role in ("user", "assistant")]
    if drafts:
        await made.process.conversations.append(session.id, drafts)


async def tokens_of(made: Place, session: Session) -> int:
    return (await made.sessions.usage(session)).tokens


async def press(made: Place, session: Session, value: float) -> None:
    """Others take as much of the card as brings this context's gauge to ``value``."""
    usage = await made.sessions.usage(session)
    held = (made.server.window_now or 0) * TOKEN_BYTES
    room = round((usage.tokens + usage.reserved) / value) * TOKEN_BYTES
    free = room + BUFFER - held
    assert free >= 0, "the card can't be fuller than full"
    taken = made.reader.total - free - held - 2**30
    made.reader.others = taken


async def look(made: Place, seconds: float = 5.0) -> None:
    made.seconds += seconds
    await made.guard.look()
    await answers_given(made)


async def answers_given(made: Place) -> None:
    """Until what the person chose has been done."""
    while made.guard._asking:
        await asyncio.wait(made.guard._asking)


def ids(session: Session) -> tuple[str, ...]:
    return session.state.ids


async def log(made: Place, session: Session) -> list[Operation]:
    """What was done but for opening and saying, in order."""
    operations = await made.process.conversations.history([session.id], None, 1000)
    return [each for each in operations if each.kind not in ("open", "append")]


async def done(made: Place, session: Session) -> list[tuple[str, str]]:
    return [(each.kind, each.origin) for each in await log(made, session)]


def actions(made: Place) -> list[object]:
    return [detail["action"] for detail in made.told("guardActed")]


def switch(made: Place, **switches: bool) -> None:
    settings = made.sessions.settings()
    changed = attrs.evolve(settings, memory=attrs.evolve(settings.memory, guard=GuardSettings(**switches)))
    made.sessions.settings = lambda: changed
