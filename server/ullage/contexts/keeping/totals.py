"""How many snapshots each context has, and their size, without a look at the files for every status bar."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from attrs import Factory, define, frozen

from ullage.store.snapshot_files import SnapshotFiles
from ullage.store.snapshot_records import SnapshotListing, StoredSnapshot

FRESH_S = 2.0
"""How long a count of the files is believed in: another process may add to them."""


@frozen
class Total:
    """``at`` is when it was counted, by the clock of `Totals`."""

    count: int
    bytes: int
    at: float


@define(eq=False)
class Totals:
    """``stale`` is called when a context's total is not what it was; with None, when that may hold of every context."""

    files: SnapshotFiles
    stale: Callable[[str | None], None]
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, Total] = Factory(dict)
    _changes: int = 0

    async def of(self, context_id: str) -> Total:
        """Looked up at most once in `FRESH_S`, and after a change that could not be counted in."""
        known = self._known.get(context_id)
        if known is None or self.clock() - known.at > FRESH_S:
            changes, at = self._changes, self.clock()
            listing = await asyncio.to_thread(self.files.listing, context_id)
            known = _total(listing, context_id, at)
            if changes == self._changes:
                self._known[context_id] = known
        return known

    def before_adding(self, context_id: str) -> Total | None:
        """What is known before a file is written, for `added`. A count that is being made may hold the file or not."""
        self._changes += 1
        return self._known.get(context_id)

    def added(self, stored: StoredSnapshot, before: Total | None) -> None:
        """Count a new file in without a look at all of them, where nothing else has happened to the total since."""
        context_id = stored.header.context_id
        if before is None or self._known.get(context_id) is not before:
            self.changed(context_id)
            return
        self._changes += 1
        self._known[context_id] = Total(before.count + 1, before.bytes + stored.size_bytes, before.at)
        self.stale(context_id)

    def changed(self, context_id: str | None) -> None:
        """Look at the files anew; None: at those of every context."""
        self._changes += 1
        if context_id is None:
            self._known.clear()
        else:
            self._known.pop(context_id, None)
        self.stale(context_id)

    def compare(self, listing: SnapshotListing, context_id: str | None) -> None:
        """Listing sets damaged files aside, and these are counted no more, also where they are being counted now. None:
        it is a listing of all contexts."""
        self._changes += bool(listing.unreadable)
        for each in list(self._known) if context_id is None else [context_id]:
            known = self._known.get(each)
            if known is not None and known != _total(listing, each, known.at):
                self.changed(each)


def _total(listing: SnapshotListing, context_id: str, at: float) -> Total:
    sizes = [each.size_bytes for each in listing.snapshots if each.header.context_id == context_id]
    return Total(len(sizes), sum(sizes), at)
