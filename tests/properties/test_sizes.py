"""What holds of sizes in use, whatever people ask for and memory does."""

from __future__ import annotations

import asyncio
import tempfile
import typing
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from support.architectures import plain
from support.sized import GIB, FakeServer, Place, place
from ullage.contexts.drafts import Draft
from ullage.contexts.session import Session
from ullage.conversation.turns import turns_of
from ullage.errors import InsufficientMemory
from ullage.memory.architecture import architecture_of
from ullage.memory.kv_cache import CacheLayout, estimate
from ullage.settings import CacheType

BUFFER = 512 * 2**20
URI = "file:///home/someone/project"
KINDS: tuple[CacheType, ...] = typing.get_args(CacheType)

turns = st.lists(st.tuples(st.integers(1, 300), st.integers(0, 300), st.booleans()), min_size=1, max_size=8)


async def told(made: Place, system_prompt: str, spoken: list[tuple[int, int, bool]]) -> Session:
    """A context in which that many words were said and answered, turn by turn; some questions are pinned."""
    conversations = made.process.conversations
    context = await made.directory.open(URI)
    await made.directory.update(context.id, system_prompt=system_prompt)
    drafts = []
    for asked, answered, pinned in spoken:
        drafts.append(Draft(role="user", content="word " * asked, pinned=pinned))
        drafts += [Draft(role="assistant", content="word " * answered)] if answered else []
    await conversations.append(context.id, drafts)
    return await made.sessions.get(context.id)


async def said(made: Place, session: Session) -> list[str]:
    page, _ = await made.process.conversations.messages(session.id, "history", None, 1000)
    return [view.content for view in page]


async def resized_again_and_again(made: Place, session: Session, sizes: list[int]) -> None:
    before_all = await said(made, session)
    prompt = session.state.record.system_prompt
    active = await made.sessions.models.active(None)
    for tokens in sizes:
        before, limit, trims = session.state, active.limit, len(made.told("trimmed"))
        try:
            await made.sizes.resize(session.id, tokens)
        except InsufficientMemory:
            assert (session.state, active.limit) == (before, limit)
        after = session.state
        kept = set(after.ids)
        assert await said(made, session) == before_all
        assert after.record.system_prompt == prompt
        assert after.pinned == before.pinned
        assert after.pinned <= kept
        whole = [before.messages[turn.start : turn.end] for turn in turns_of(before.messages)]
        left = [[m.id in kept for m in turn if m.id not in before.pinned] for turn in whole]
        assert all(len(set(turn)) <= 1 for turn in left)
        if active.limit is not None and limit is not None and active.limit < limit:
            usage = await made.sessions.usage(session)
            assert usage.tokens + usage.reserved <= active.limit
        trimmed = made.told("trimmed")[trims:]
        assert len(trimmed) == (after.ids != before.ids)
        if trimmed:
            await made.process.conversations.undo(session.id, str(trimmed[0]["operationId"]))
            assert session.state.ids == before.ids


@settings(max_examples=100, deadline=None)
@given(
    prompt=st.text("abc ", min_size=1, max_size=200),
    spoken=turns,
    sizes=st.lists(st.integers(1, 4000), min_size=1, max_size=4),
    is_loaded=st.booleans(),
)
def test_property_09_resizing_preserves_the_conversation(
    prompt: str, spoken: list[tuple[int, int, bool]], sizes: list[int], is_loaded: bool
) -> None:
    async def scenario(folder: str) -> None:
        server = FakeServer(window_now=4096 if is_loaded else None)
        async with place(Path(folder), server, min_size=256, reserve_output=64) as made:
            await resized_again_and_again(made, await told(made, prompt, spoken), sizes)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(folder))


@settings(max_examples=100, deadline=None)
@given(
    target=st.just(0) | st.integers(1, 131_072),
    minimum=st.integers(1, 4096),
    maximum=st.just(0) | st.integers(4096, 131_072),
    others=st.lists(st.integers(0, 20 * GIB), min_size=1, max_size=6),
    is_loaded=st.booleans(),
)
def test_property_30_to_34_sizes_follow_memory_within_every_bound(
    target: int, minimum: int, maximum: int, others: list[int], is_loaded: bool
) -> None:
    async def scenario(folder: str) -> None:
        async with place(Path(folder), target_size=target, min_size=minimum, max_size=maximum) as made:
            active = await made.sessions.models.active(None)
            if is_loaded:
                made.server.load()
                await made.sessions.models.window_after_answer(active)
            for taken in others:
                made.reader.take(taken)
                await made.look(1000)
                limit = active.limit or 0
                assert minimum <= limit <= min(maximum or 131_072, 131_072, max(target, minimum) if target else 131_072)
                reading = await made.sizes.reading()
                assert reading.available is not None
                assert not is_loaded or reading.available >= BUFFER // 2 or limit == minimum

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(folder))


@settings(max_examples=200, deadline=None)
@given(
    setting=st.sampled_from(KINDS),
    measured=st.none() | st.sampled_from(KINDS),
    is_ours=st.booleans(),
    is_set=st.booleans(),
)
def test_property_35_the_configured_cache_type_is_the_one_used(
    setting: CacheType, measured: CacheType | None, is_ours: bool, is_set: bool
) -> None:
    """Ours where we start the engine, else what the server tells, else what the person set, else servers' default."""
    expected = setting if is_ours else measured or (setting if is_set else "f16")
    per_token = estimate(
        architecture_of(plain()), CacheLayout(1, cache_type_k=expected, cache_type_v=expected)
    ).bytes_per_token

    async def scenario(folder: str) -> None:
        server = FakeServer(name="embedded" if is_ours else "ollama", window_now=4096, cache_type=measured)
        origins: dict[str, Any] = {"context.kvQuantization": "editor"} if is_set else {}
        async with place(Path(folder), server, origins, kv_quantization=setting) as made:
            context = await made.directory.open(URI)
            report = await made.sizes.sizing(context.id)
            assert (report.cache_type, report.bytes_per_token) == (expected, per_token)
            await made.sizes.resize(context.id, 8192)
            assert server.orders == [(8192, expected)]

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(folder))
