"""A store that was damaged on disk is never handed out as if it were whole."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import frozen

from support.store_values import appending, message, operation, record, undoing, windowing
from ullage.conversation.messages import Message
from ullage.conversation.operations import Operation
from ullage.errors import StoreDamaged
from ullage.store.folder import open_folder
from ullage.store.opening import Opened, open_store
from ullage.store.records import ContextRecord, StoredWindow
from ullage.store.store import Store


@frozen
class State:
    """Everything that a context is at one revision."""

    record: ContextRecord
    window: StoredWindow
    history: tuple[Message, ...]


@frozen
class Truth:
    """Every state that was ever committed, and the last of each context; every operation."""

    states: dict[tuple[str, int], State]
    last: dict[str, State]
    operations: dict[str, Operation]


def state_of(store: Store, context_id: str) -> State:
    found = store.context(context_id)
    assert found
    return State(found, store.window(context_id), store.history(context_id, None, 1_000_000)[0])


def fill(store: Store) -> Truth:
    """Three contexts with everything that a conversation leaves behind."""
    states: dict[tuple[str, int], State] = {}
    contexts = [record(name, system_prompt="Be brief. " * 50) for name in ("main", "side", "third")]

    def note(context_id: str) -> None:
        states[context_id, store.revision(context_id) or 0] = state_of(store, context_id)

    for made in contexts:
        store.create(made, operation(made.id, "open"))
        note(made.id)
    for turn in range(30):
        for made in contexts:
            said = [message(f"{turn} " + "word " * (turn * 13 % 400)), message("answer", role="assistant")]
            store.commit(appending(made.id, *said, pinned=(said[0].id,) if turn % 7 == 0 else ()))
            note(made.id)
        if turn % 10 == 9:
            clear = windowing(contexts[0].id, store.window(contexts[0].id).ids[-4:])
            store.commit(clear)
            note(contexts[0].id)
            store.commit(undoing(contexts[0].id, clear.operation.id))
            note(contexts[0].id)
            store.search("word", None, 1)
        if turn == 15:
            gone = store.history(contexts[1].id, None, 5)[0][0].id
            store.forget(contexts[1].id, gone, operation(contexts[1].id, "forget"))
            note(contexts[1].id)
            # An older state would hold what is gone; the log that held it is gone, too.
            states = {key: states[key] for key in ((id_, store.revision(id_) or 0) for id_, _ in list(states))}
    operations = {logged.operation.id: logged.operation for logged in store.operations(None, None, 1000)}
    return Truth(states, {made.id: state_of(store, made.id) for made in contexts}, operations)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    """A store that was closed: everything is in the database."""
    folder = open_folder(tmp_path_factory.mktemp("closed"))
    store = open_store(folder).store
    truth = fill(store)
    store.close()
    return folder.root, truth


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    """A store as a killed process leaves it: much of it is in the log still."""
    folder = open_folder(tmp_path_factory.mktemp("open"))
    store = open_store(folder).store
    truth = fill(store)
    copy = tmp_path_factory.mktemp("killed") / "storage"
    shutil.copytree(folder.root, copy)
    store.close()
    return copy, truth


def truncate(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def zero(content: bytearray, chance: random.Random) -> None:
    start, length = chance.randrange(len(content)), chance.choice([1, 16, 512, 4096, 40_000])
    content[start : start + length] = bytes(len(content[start : start + length]))


def flip(content: bytearray, chance: random.Random) -> None:
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def flip_in_the_first_pages(content: bytearray, chance: random.Random) -> None:
    content[chance.randrange(min(len(content), 200))] ^= 1 << chance.randrange(8)


def scramble(content: bytearray, chance: random.Random) -> None:
    start, length = chance.randrange(len(content)), chance.choice([4, 100, 4096])
    content[start : start + length] = chance.randbytes(len(content[start : start + length]))


DAMAGES: list[Callable[[bytearray, random.Random], None]] = [truncate, zero, flip, flip_in_the_first_pages, scramble]


def opened_after_damage(source: Path, file: str, target: Path, seed: int) -> Opened:
    shutil.copytree(source, target)
    chance = random.Random(seed)
    content = bytearray((target / file).read_bytes())
    DAMAGES[seed % len(DAMAGES)](content, chance)
    (target / file).write_bytes(content)
    return open_store(open_folder(target))


def assert_true_or_refused(opened: Opened, truth: Truth, *, older_states_too: bool) -> None:
    """What is handed out was once committed; what can't be read raises StoreDamaged and nothing else."""
    store = opened.store
    contexts = store.contexts()
    if opened.set_aside is not None:
        assert contexts == []
        assert opened.set_aside.exists()
        assert store.check() == []
        return
    if not older_states_too:
        assert contexts == [state.record for state in truth.last.values()]
    for context in contexts:
        assert context == truth.last[context.id].record
        revision = store.revision(context.id)
        assert revision is not None
        expected = truth.states[context.id, revision] if older_states_too else truth.last[context.id]
        assert_same_or_refused(expected.window, None, store.window, context.id)
        assert_same_or_refused((expected.history, False), None, store.history, context.id, None, 1_000_000)
        for said in expected.history:
            assert_same_or_refused(said, None, store.message, context.id, said.id)
        assert_found_or_refused(store, context.id, expected.history)
    try:
        logged = store.operations(None, None, 1000)
    except StoreDamaged:
        return
    assert [each.operation for each in logged] == [truth.operations[each.operation.id] for each in logged]
    assert sorted(logged, key=lambda each: each.operation.id) == logged


def assert_same_or_refused(expected: object, missing: object, read: Callable[..., object], *arguments: object) -> None:
    try:
        found = read(*arguments)
    except StoreDamaged:
        return
    assert found in (expected, missing)


def assert_found_or_refused(store: Store, context_id: str, history: tuple[Message, ...]) -> None:
    """What a search hands out was said, and a damaged index hides nothing that can be read."""
    try:
        found = {each.message for each in store.search("word", [context_id], 1000)}
        readable = {each for each in history if store.message(context_id, each.id) == each}
    except StoreDamaged:
        return
    assert {each for each in readable if "word" in each.content} <= found <= set(history)


SEEDS = [
    *range(100),
    *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(100, 1000)),
]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_damaged_database_is_never_handed_out_as_whole(closed: tuple[Path, Truth], tmp_path: Path, seed: int) -> None:
    opened = opened_after_damage(closed[0], "store.db", tmp_path / "storage", seed)
    try:
        assert_true_or_refused(opened, closed[1], older_states_too=False)
    finally:
        opened.store.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_damaged_log_leaves_a_state_that_was_once_committed(
    killed: tuple[Path, Truth], tmp_path: Path, seed: int
) -> None:
    opened = opened_after_damage(killed[0], "store.db-wal", tmp_path / "storage", seed)
    try:
        assert_true_or_refused(opened, killed[1], older_states_too=True)
    finally:
        opened.store.close()


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_wal_index_is_rebuilt(killed: tuple[Path, Truth], tmp_path: Path, seed: int) -> None:
    opened = opened_after_damage(killed[0], "store.db-shm", tmp_path / "storage", seed)
    try:
        assert opened.set_aside is None
        assert_true_or_refused(opened, killed[1], older_states_too=False)
        assert opened.store.check() == []
    finally:
        opened.store.close()
