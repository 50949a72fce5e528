from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.store_values import new_id
from ullage.errors import ContextBusy, StoreFull
from ullage.store.folder import StorageFolder
from ullage.store.locks import ContextLocks, Holder

SCRIPT = Path(__file__).parents[2] / "support" / "lock_holder.py"
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def context() -> str:
    return new_id()


@pytest.fixture
def locks(folder: StorageFolder) -> Iterator[ContextLocks]:
    locks = ContextLocks(folder, "This editor")
    yield locks
    locks.release_all()


@pytest.fixture
def other(folder: StorageFolder) -> Iterator[ContextLocks]:
    """A second set of locks in this process: as far as the system is concerned, another holder."""
    locks = ContextLocks(folder, "Other editor")
    yield locks
    locks.release_all()


@pytest.fixture
def start_holder(folder: StorageFolder) -> Iterator[Start]:
    """Start another process that holds a context's lock, and wait until it does."""
    started = []

    def start(context: str, *options: str) -> subprocess.Popen[str]:
        arguments = [sys.executable, str(SCRIPT), str(folder.root), context, *options]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout
    assert process.stdout.readline().strip() == line


def ask(folder: StorageFolder, context: str, pid: int = 1, age_s: float = 0) -> Path:
    """A request as another process makes it."""
    request = folder.takeover(context, pid)
    request.touch()
    then = time.time() - age_s
    os.utime(request, (then, then))
    return request


class TestAcquiring:
    async def test_a_free_context_is_acquired_at_once(self, locks: ContextLocks, context: str) -> None:
        lock = locks.lock(context)
        await lock.acquire(timeout_s=0)
        assert lock.held

    async def test_a_held_context_is_busy_elsewhere(
        self, locks: ContextLocks, other: ContextLocks, context: str
    ) -> None:
        await other.lock(context).acquire()
        with pytest.raises(ContextBusy):
            await locks.lock(context).acquire(timeout_s=0)
        assert not locks.lock(context).held

    async def test_the_error_names_the_holder(self, locks: ContextLocks, context: str, start_holder: Start) -> None:
        process = start_holder(context)
        wait_for(process, "held")
        with pytest.raises(ContextBusy, match=rf"^Other editor \(process {process.pid}\) is writing") as caught:
            await locks.lock(context).acquire(timeout_s=0)
        holder = caught.value.data["holder"]
        assert isinstance(holder, dict)
        assert (caught.value.data["reason"], holder["pid"], holder["client"]) == (
            "elsewhere",
            process.pid,
            "Other editor",
        )
        assert abs(holder["since"] / 1000 - time.time()) < 60

    async def test_other_contexts_stay_free(self, locks: ContextLocks, other: ContextLocks, context: str) -> None:
        await other.lock(context).acquire()
        lock = locks.lock(new_id())
        await lock.acquire(timeout_s=0)
        assert lock.held

    async def test_it_waits_until_the_holder_releases(
        self, locks: ContextLocks, other: ContextLocks, context: str
    ) -> None:
        await other.lock(context).acquire()
        waiting = asyncio.create_task(locks.lock(context).acquire())
        await asyncio.sleep(0)
        other.release(context)
        await waiting
        assert locks.holds(context)

    async def test_the_event_loop_goes_on_while_it_waits(
        self, locks: ContextLocks, other: ContextLocks, context: str
    ) -> None:
        await other.lock(context).acquire()
        waiting = asyncio.create_task(locks.lock(context).acquire(timeout_s=0.1))
        turns = 0
        while not waiting.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns > 10
        assert isinstance(waiting.exception(), ContextBusy)

    async def test_a_cancelled_wait_holds_nothing(self, locks: ContextLocks, other: ContextLocks, context: str) -> None:
        await other.lock(context).acquire()
        waiting = asyncio.create_task(locks.lock(context).acquire())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        other.release(context)
        assert not locks.holds(context)
        assert other.try_acquire(context)

    async def test_acquiring_twice_needs_one_release(
        self, locks: ContextLocks, other: ContextLocks, context: str
    ) -> None:
        for lock in (locks.lock(context), locks.lock(context)):
            await lock.acquire(timeout_s=0)
        locks.lock(context).release()
        assert other.try_acquire(context)

    async def test_two_tasks_that_wait_both_get_it(
        self, locks: ContextLocks, other: ContextLocks, context: str
    ) -> None:
        await other.lock(context).acquire()
        waiting = [asyncio.create_task(locks.lock(context).acquire()) for _ in range(2)]
        await asyncio.sleep(0)
        other.release(context)
        await asyncio.gather(*waiting)
        assert locks.holds(context)

    def test_releasing_what_is_not_held_does_nothing(
        self, locks: ContextLocks, other: ContextLocks, context: str
    ) -> None:
        assert other.try_acquire(context)
        locks.lock(context).release()
        assert not locks.try_acquire(context)

    def test_all_locks_are_released_together(self, locks: ContextLocks, other: ContextLocks) -> None:
        contexts = [new_id() for _ in range(3)]
        for context in contexts:
            assert locks.try_acquire(context)
        locks.release_all()
        assert all(other.try_acquire(context) for context in contexts)

    def test_a_lock_whose_file_is_a_link_is_refused(self, locks: ContextLocks, context: str, tmp_path: Path) -> None:
        locks.folder.lock(context).symlink_to(tmp_path / "target")
        with pytest.raises(StoreFull):
            locks.try_acquire(context)
        assert not (tmp_path / "target").exists()

    async def test_a_killed_holder_frees_it(self, locks: ContextLocks, context: str, start_holder: Start) -> None:
        process = start_holder(context)
        wait_for(process, "held")
        assert not locks.try_acquire(context)
        process.send_signal(signal.SIGKILL)
        process.wait()
        await locks.lock(context).acquire(timeout_s=1)
        assert locks.holder(context) == Holder(os.getpid(), "This editor", locks.holder(context).since)  # type: ignore[union-attr]  # it is held

    async def test_a_child_of_a_killed_holder_does_not_keep_it(
        self, locks: ContextLocks, context: str, start_holder: Start
    ) -> None:
        process = start_holder(context, "child")
        assert process.stdout
        child = int(process.stdout.readline())
        wait_for(process, "held")
        process.kill()
        process.wait()
        await locks.lock(context).acquire(timeout_s=1)
        os.kill(child, 0)  # it lives still
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        assert locks.holds(context)

    @pytest.mark.parametrize(
        "content", [b"", b"{", b"[1]", b'{"pid": 1}', b'{"pid": "1", "client": "x", "since": 1}', b"[" * 4096, b"\xff"]
    )
    async def test_a_holder_that_can_not_be_read_is_another_process(
        self, locks: ContextLocks, other: ContextLocks, context: str, content: bytes
    ) -> None:
        await other.lock(context).acquire()
        locks.folder.holder(context).write_bytes(content)
        with pytest.raises(ContextBusy, match=r"^Another process is writing") as caught:
            await locks.lock(context).acquire(timeout_s=0)
        assert caught.value.data["holder"] is None


class TestTakingOver:
    def test_nothing_is_asked_for_at_first(self, locks: ContextLocks, context: str) -> None:
        assert locks.try_acquire(context)
        assert locks.takeover_requests() == frozenset()

    def test_a_request_reaches_the_holder(self, locks: ContextLocks, context: str) -> None:
        assert locks.try_acquire(context)
        locks.takeover_requests()
        ask(locks.folder, context)
        assert locks.takeover_requests() == {context}

    def test_a_request_made_before_the_lock_was_taken_is_heard_after(self, locks: ContextLocks, context: str) -> None:
        assert locks.try_acquire(new_id())
        ask(locks.folder, context)
        os.utime(locks.folder.takeovers, (1, 1))
        assert locks.takeover_requests() == frozenset()
        assert locks.try_acquire(context)
        assert locks.takeover_requests() == {context}

    def test_a_request_in_the_same_tick_as_the_last_look_is_heard(self, locks: ContextLocks, context: str) -> None:
        assert locks.try_acquire(context)
        locks.takeover_requests()
        before = locks.folder.takeovers.stat()
        ask(locks.folder, context)
        os.utime(locks.folder.takeovers, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert locks.takeover_requests() == {context}

    def test_a_request_for_another_context_is_not_ours(self, locks: ContextLocks, context: str) -> None:
        assert locks.try_acquire(context)
        ask(locks.folder, new_id())
        assert locks.takeover_requests() == frozenset()

    @pytest.mark.parametrize("age_s", [11, -11])
    def test_a_request_of_another_time_is_removed_unheard(
        self, locks: ContextLocks, context: str, age_s: float
    ) -> None:
        assert locks.try_acquire(context)
        request = ask(locks.folder, context, age_s=age_s)
        assert locks.takeover_requests() == frozenset()
        assert not request.exists()

    def test_our_own_request_is_not_heard(self, locks: ContextLocks, context: str) -> None:
        assert locks.try_acquire(context)
        locks.request_takeover(context)
        assert locks.takeover_requests() == frozenset()

    @pytest.mark.parametrize("name", ["nonsense", ".1", "{}.x", "{}", "{}.1.tmp", "..."])
    def test_other_files_are_no_requests_and_stay(self, locks: ContextLocks, context: str, name: str) -> None:
        assert locks.try_acquire(context)
        file = locks.folder.takeovers / name.format(context)
        file.touch()
        os.utime(file, (0, 0))
        assert locks.takeover_requests() == frozenset()
        assert file.exists()

    def test_a_quiet_folder_is_looked_at_and_not_read(
        self, locks: ContextLocks, context: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert locks.try_acquire(context)
        os.utime(locks.folder.takeovers, (1, 1))
        locks.takeover_requests()
        monkeypatch.setattr(os, "scandir", lambda path: pytest.fail("read"))
        assert locks.takeover_requests() == frozenset()

    def test_without_a_lock_the_folder_is_not_even_looked_at(self, locks: ContextLocks, context: str) -> None:
        locks.folder.takeovers.rmdir()
        assert locks.takeover_requests() == frozenset()

    async def test_the_request_ends_when_the_lock_is_taken(
        self, locks: ContextLocks, other: ContextLocks, context: str
    ) -> None:
        locks.request_takeover(context)
        await locks.lock(context).acquire(timeout_s=0)
        assert list(locks.folder.takeovers.iterdir()) == []

    async def test_the_request_ends_when_nobody_waits_any_more(
        self, locks: ContextLocks, other: ContextLocks, context: str
    ) -> None:
        assert other.try_acquire(context)
        with pytest.raises(ContextBusy):
            await locks.lock(context).take_over(timeout_s=0)
        assert list(locks.folder.takeovers.iterdir()) == []

    async def test_a_free_context_is_taken_over_at_once(self, locks: ContextLocks, context: str) -> None:
        await locks.lock(context).take_over(timeout_s=0)
        assert locks.holds(context)

    async def test_another_process_hands_it_over(self, locks: ContextLocks, context: str, start_holder: Start) -> None:
        process = start_holder(context)
        wait_for(process, "held")
        began = time.monotonic()
        await locks.lock(context).take_over()
        assert time.monotonic() - began < 1
        wait_for(process, "released")
