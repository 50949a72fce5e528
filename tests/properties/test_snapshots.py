"""What holds of every snapshot, over real files."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from support.conversations import conversations
from support.snapshot_values import header
from support.snapshotting import Place, marks_of, place
from support.store_values import message
from ullage.contexts.session import Session
from ullage.conversation.ids import encode
from ullage.conversation.messages import Message, ToolCall
from ullage.errors import CorruptSnapshot, UnknownSnapshot
from ullage.store.folder import open_folder
from ullage.store.snapshot_files import SnapshotFiles
from ullage.store.snapshot_records import SnapshotContent, SnapshotHeader

texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('\0\x1f🙂\n"\\\u2028'), max_size=30)
integers = st.integers(0, 2**63 - 1)
ids = st.integers(0, 5).map(lambda number: encode(2, number))
calls = st.lists(st.builds(ToolCall, texts, texts, texts), max_size=2).map(tuple)
many = settings(max_examples=100, deadline=None)

Made = tuple[SnapshotHeader, SnapshotContent]

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""A folder whose files need no disk: a thousand examples sync ten thousand times."""


@st.composite
def messages(draw: st.DrawFn, number: int) -> Message:
    return message(
        draw(texts),
        encode(1, number),
        role=draw(st.sampled_from(["system", "user", "assistant", "tool"])),
        created_at=draw(st.integers(-(2**63), 2**63 - 1)),
        name=draw(st.none() | texts),
        tool_calls=draw(calls),
        tool_call_id=draw(st.none() | texts),
        reasoning=draw(st.none() | texts),
        summary_of=draw(st.none() | st.lists(ids, max_size=3).map(tuple)),
    )


@st.composite
def contents(draw: st.DrawFn) -> SnapshotContent:
    said = tuple(draw(messages(number)) for number in range(draw(st.integers(0, 8))))
    pinned, carried, masked = (frozenset(m.id for m in said if draw(st.booleans())) for _ in range(3))
    return SnapshotContent(said, pinned, carried, masked - pinned, draw(st.none() | texts))


@st.composite
def snapshots(draw: st.DrawFn) -> Made:
    content = draw(contents())
    made = header(
        draw(ids),
        id=draw(ids),
        messages=len(content.messages),
        created_at=draw(integers),
        tokens=draw(integers),
        summary=draw(texts),
        trigger=draw(st.sampled_from(["manual", "threshold", "emergency"])),
        model=draw(st.none() | texts),
        context_size=draw(integers),
        compression_ratio=draw(st.floats(0, 10)),
    )
    return made, content


def several(least: int = 0) -> st.SearchStrategy[list[Made]]:
    return st.lists(snapshots(), min_size=least, max_size=4, unique_by=lambda each: each[0].id)


@contextmanager
def a_folder() -> Iterator[SnapshotFiles]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield SnapshotFiles(open_folder(folder))


@asynccontextmanager
async def a_place(**options: Any) -> AsyncGenerator[tuple[Place, Session]]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        async with place(Path(folder), **options) as made:
            yield made, await made.context()


def listed(files: SnapshotFiles) -> list[SnapshotHeader]:
    return [each.header for each in files.listing().snapshots]


async def with_window(here: Place, session: Session, said: list[Message], draw: Callable[[Any], Any]) -> None:
    """Say it, with marks at random."""
    fresh = [message(m.content, role=m.role, tool_calls=m.tool_calls, tool_call_id=m.tool_call_id) for m in said]
    ids = [m.id for m in fresh]
    some = st.lists(st.sampled_from(ids), unique=True) if ids else st.just([])
    if fresh:
        await here.say(session, *fresh, pinned=draw(some))
    kept = [m for m in session.state.messages if draw(st.booleans())]
    left = {m.id for m in kept}
    carried, masked = (frozenset(draw(some)) & left for _ in range(2))
    masked -= session.state.pinned  # what is pinned is never masked
    await here.window(session, *kept, carried=carried, masked=masked)


@many
@given(st.data())
def test_property_11_snapshot_data_complete(data: st.DataObject) -> None:
    async def check() -> None:
        async with a_place() as (here, session):
            await with_window(here, session, data.draw(conversations()), data.draw)
            prompt = data.draw(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
            await here.snapshots.directory.update(session.id, system_prompt=prompt)
            state = session.state
            info = await here.snapshots.create(session.id)
            made, content = here.files.read(session.id, info.id)
            assert tuple(content.messages) == tuple(state.messages)
            assert (content.pinned, content.carried) == (state.pinned & set(state.ids), state.carried)
            assert (content.masked, content.system_prompt) == (state.masked, prompt)
            assert (made.messages, made.context_id) == (len(state.messages), session.id)
            assert made.tokens == (await here.sessions.usage(session)).tokens

    asyncio.run(check())


@many
@given(snapshots())
def test_property_12_snapshot_round_trip(made: Made) -> None:
    with a_folder() as files:
        files.write(*made)
        assert files.read(made[0].context_id, made[0].id) == made
        assert SnapshotFiles(files.folder).read(made[0].context_id, made[0].id) == made


@many
@given(several())
def test_property_13_list_metadata(made: list[Made]) -> None:
    with a_folder() as files:
        for each in made:
            files.write(*each)
        wanted = sorted((each for each, _ in made), key=lambda each: (each.created_at, each.id))
        for reader in (files, SnapshotFiles(files.folder)):
            listing = reader.listing()
            assert [each.header for each in listing.snapshots] == wanted
            sizes = [files.folder.snapshot(h.context_id, h.id).stat().st_size for h in wanted]
            assert [each.size_bytes for each in listing.snapshots] == sizes
            assert listing.unreadable == ()


@many
@given(several(1), st.data())
def test_property_14_snapshot_deletion(made: list[Made], data: st.DataObject) -> None:
    with a_folder() as files:
        for each in made:
            files.write(*each)
        gone, _ = data.draw(st.sampled_from(made))
        files.delete(gone.id)
        assert {each.id for each in listed(files)} == {each.id for each, _ in made} - {gone.id}
        try:
            files.read(gone.context_id, gone.id)
        except UnknownSnapshot:
            pass
        else:
            raise AssertionError("it was deleted")
        for kept, content in made:
            if kept is not gone:
                assert files.read(kept.context_id, kept.id) == (kept, content)


@many
@given(st.integers(1, 4), st.lists(st.sampled_from(["manual", "threshold", "emergency"]), max_size=8))
def test_property_17_rolling_clean_up(most: int, triggers: list[Any]) -> None:
    async def check() -> None:
        async with a_place(max_count=most) as (here, session):
            manual, automatic = [], []
            for trigger in triggers:
                if trigger == "manual":
                    manual.append((await here.snapshots.create(session.id)).id)
                else:
                    info = await here.snapshots.automatic(session, trigger)
                    assert info is not None
                    automatic.append(info.id)
                left = {each.id for each in (await here.snapshots.page(session.id)).snapshots}
                assert left == {*manual, *automatic[-most:]}

    asyncio.run(check())


@many
@given(st.data())
def test_property_28_a_restored_window_is_the_one_that_was_kept(data: st.DataObject) -> None:
    async def check() -> None:
        async with a_place() as (here, session):
            await with_window(here, session, data.draw(conversations()), data.draw)
            then = marks_of(session.state)
            info = await here.snapshots.create(session.id)
            await with_window(here, session, data.draw(conversations()), data.draw)
            later = (session.state.ids, session.state.carried, session.state.masked)
            restored = await here.snapshots.restore(info.id)
            ids, pinned, carried, masked = marks_of(session.state)
            assert (ids, carried, masked) == (then[0], then[2], then[3])
            assert pinned >= then[1]
            assert restored.usage.tokens == info.tokens
            await here.undo(session)
            assert (session.state.ids, session.state.carried, session.state.masked) == later

    asyncio.run(check())


@many
@given(snapshots())
def test_property_39_snapshots_are_json(made: Made) -> None:
    with a_folder() as files:
        files.write(*made)
        tree = json.loads(files.folder.snapshot(made[0].context_id, made[0].id).read_text("utf-8"))
        assert (tree["id"], tree["summary"]) == (made[0].id, made[0].summary)
        assert (tree["tokens"], tree["messages"]) == (made[0].tokens, made[0].messages)
        assert {"version", "createdAt", "trigger", "metadata", "checksum", "content"} <= tree.keys()


@many
@given(snapshots(), st.data())
def test_property_40_corruption_is_detected(made: Made, data: st.DataObject) -> None:
    with a_folder() as files:
        files.write(*made)
        path = files.folder.snapshot(made[0].context_id, made[0].id)
        raw = path.read_bytes()
        path.write_bytes(data.draw(damaged(raw)))
        try:
            files.read(made[0].context_id, made[0].id)
        except CorruptSnapshot:
            pass
        else:
            raise AssertionError("the damage was not noticed")


@many
@given(several(2), st.data())
def test_property_41_corrupted_files_are_skipped(made: list[Made], data: st.DataObject) -> None:
    with a_folder() as files:
        for each in made:
            files.write(*each)
        hit = data.draw(st.sets(st.sampled_from(range(len(made)))))
        for number in hit:
            path = files.folder.snapshot(made[number][0].context_id, made[number][0].id)
            path.write_bytes(data.draw(damaged(path.read_bytes())))
        listing = SnapshotFiles(files.folder).listing()
        assert {each.header.id for each in listing.snapshots} == {
            each.id for number, (each, _) in enumerate(made) if number not in hit
        }
        assert len(listing.unreadable) == len(hit)


@st.composite
def damaged(draw: st.DrawFn, raw: bytes) -> bytes:
    """The same with a bit flipped, a run of zeros, or an end cut off or added; never the same. Places are drawn as
    shares of the length, which depends on how well the content was compressed."""
    place = int(draw(st.floats(0, 1)) * (len(raw) - 1))
    kind = draw(st.sampled_from(["flipped", "zeroed", "cut", "longer"]))
    if kind == "flipped":
        return raw[:place] + bytes([raw[place] ^ 1 << draw(st.integers(0, 7))]) + raw[place + 1 :]
    if kind == "zeroed":
        length = min(draw(st.integers(1, 64)), len(raw) - place)
        return raw[:place] + bytes(length) + raw[place + length :]
    return raw[:place] if kind == "cut" else raw + draw(st.binary(min_size=1, max_size=20))
