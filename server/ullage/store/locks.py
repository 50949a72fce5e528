"""One writing process per context: a lock of the operating system on one file per context.

The system frees it when its holder ends, however it ends, and a child does not inherit it. Who holds it is written
beside it, for people to read; nothing is decided by that. A process that wants the context puts a request into the
take-over folder, whose time of change tells holders at the price of one ``stat`` that there is something to read.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import Factory, asdict, define, frozen

from ullage.conversation.ids import is_ulid
from ullage.errors import ContextBusy, StoreFull
from ullage.store.folder import FILE_MODE, StorageFolder, read_small, write_atomically

if TYPE_CHECKING:
    from filelock import BaseFileLock

RETRY_S = 0.05
REQUEST_LIFETIME_S = 10.0
"""A request older than this is that of a process which has given up or ended."""

SETTLING_S = 2.0
"""The coarsest clock of a file system: within it, two changes of a folder can bear the same time."""

_MOST_HOLDER_BYTES = 4096


def _unwritable() -> StoreFull:
    return StoreFull("The storage folder's locks can't be written. Check its permissions and the disk's free space.")


@frozen
class Holder:
    """Who writes a context; ``since`` is in milliseconds since the epoch."""

    pid: int
    client: str
    since: int


@define
class ContextLocks:
    """The locks of one storage folder that this process holds or asks for. ``client`` names the editor in messages to
    people. Used from one thread."""

    folder: StorageFolder
    client: str
    _held: dict[str, BaseFileLock] = Factory(dict)
    _seen: int | None = None

    def lock(self, context_id: str) -> ContextLock:
        """The lock of one context, not yet acquired; UnknownContext where that can't be a context's id."""
        self.folder.lock(context_id)
        return ContextLock(self, context_id)

    def holds(self, context_id: str) -> bool:
        return context_id in self._held

    def holder(self, context_id: str) -> Holder | None:
        """Who wrote their name down last; None where nobody did, or it can't be read."""
        content = read_small(self.folder.holder(context_id), _MOST_HOLDER_BYTES)
        try:
            holder = Holder(**json.loads(content or b""))
        except (ValueError, TypeError, RecursionError):
            return None
        well_formed = type(holder.pid) is int and type(holder.client) is str and type(holder.since) is int
        return holder if well_formed else None

    def request_takeover(self, context_id: str) -> None:
        """Ask the process that holds the context to release it. The request ends when this process acquires the lock
        or stops waiting for it, and lapses by itself. StoreFull where it can't be written."""
        request = self.folder.takeover(context_id, os.getpid())
        try:
            request.unlink(missing_ok=True)
            request.touch(FILE_MODE, exist_ok=False)
        except OSError as error:
            raise _unwritable() from error

    def takeover_requests(self) -> frozenset[str]:
        """The contexts held by this process that another one asks for. One ``stat`` where no request came since the
        last call, none where nothing is held. A request may be told of several times."""
        if not self._held:
            return frozenset()
        changed = self._time_of_last_change()
        if changed is None or changed == self._seen:
            return frozenset()
        self._seen = changed if time.time() - changed / 1e9 > SETTLING_S else None
        return frozenset(self._requested() & self._held.keys())

    def try_acquire(self, context_id: str) -> bool:
        """Without waiting; True too where this process holds it already. StoreFull where its file can't be made."""
        from filelock import FileLock, Timeout  # noqa: PLC0415  # takes 40 ms: an editor waits for start-up

        if context_id in self._held:
            return True
        lock = FileLock(self.folder.lock(context_id), mode=FILE_MODE, thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        except OSError as error:
            raise _unwritable() from error
        self._held[context_id] = lock
        self._seen = None  # a request for this context may have been passed over while somebody else held it
        with suppress(OSError):
            holder = Holder(os.getpid(), self.client, int(time.time() * 1000))
            write_atomically(self.folder.holder(context_id), json.dumps(asdict(holder)).encode())
        return True

    def release(self, context_id: str) -> None:
        lock = self._held.pop(context_id, None)
        if lock is not None:
            with suppress(OSError):
                self.folder.holder(context_id).unlink(missing_ok=True)
            lock.release()

    def release_all(self) -> None:
        for context_id in tuple(self._held):
            self.release(context_id)

    def withdraw_request(self, context_id: str) -> None:
        with suppress(OSError):
            self.folder.takeover(context_id, os.getpid()).unlink(missing_ok=True)

    def _time_of_last_change(self) -> int | None:
        try:
            return self.folder.takeovers.stat().st_mtime_ns
        except OSError:
            return None

    def _requested(self) -> set[str]:
        """The contexts that other processes ask for; requests that have lapsed are removed."""
        wanted = set()
        with suppress(OSError), os.scandir(self.folder.takeovers) as entries:
            for entry in entries:
                context_id, _, pid = entry.name.partition(".")
                if not is_ulid(context_id) or not pid.isdecimal() or pid == str(os.getpid()):
                    continue
                with suppress(OSError):
                    if abs(time.time() - entry.stat(follow_symlinks=False).st_mtime) <= REQUEST_LIFETIME_S:
                        wanted.add(context_id)
                    else:
                        (self.folder.takeovers / entry.name).unlink(missing_ok=True)
        return wanted


@frozen
class ContextLock:
    """The right to write one context. Acquiring twice in one process is acquiring once; one release frees it."""

    locks: ContextLocks
    context_id: str

    @property
    def held(self) -> bool:
        return self.locks.holds(self.context_id)

    async def acquire(self, timeout_s: float = 5.0) -> None:
        """Wait until this process may write the context; ContextBusy with the holder when the time is over.

        Tries at least once, and leaves the event loop free in between. StoreFull where the lock's file can't be made.
        """
        deadline = time.monotonic() + timeout_s
        try:
            while not self.locks.try_acquire(self.context_id):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise self._busy()
                await asyncio.sleep(min(RETRY_S, left))
        finally:
            self.locks.withdraw_request(self.context_id)

    async def take_over(self, timeout_s: float = 5.0) -> None:
        """Acquire the lock, asking whoever holds it to release it; ContextBusy where that does not happen in time."""
        if not self.locks.try_acquire(self.context_id):
            self.locks.request_takeover(self.context_id)
            await self.acquire(timeout_s)

    def release(self) -> None:
        self.locks.release(self.context_id)

    def _busy(self) -> ContextBusy:
        holder = self.locks.holder(self.context_id)
        where = f"{holder.client} (process {holder.pid})" if holder else "another process"
        text = f"{where[0].upper()}{where[1:]} is writing this context. Close it there, or take it over."
        return ContextBusy(text, reason="elsewhere", holder=asdict(holder) if holder else None)
