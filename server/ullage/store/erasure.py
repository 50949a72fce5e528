"""Erasing for good what a person wants gone, also where it lies beside the tables."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path

from ullage.errors import ContextBusy, StoreFull
from ullage.store.database import errors_explained
from ullage.store.folder import COMPANIONS, StorageFolder

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20


def remove_remnants(connection: sqlite3.Connection) -> None:
    """Write the database anew, and cut SQLite's log, which holds pages as they were before, to nothing.

    SQLite overwrites a row that is erased. But where it had moved that row from one page to another it may have left a
    copy in the unused part of the first, of which it knows nothing any more. Where the disk is full or another process
    in the way, that is only told: what was erased is out of reach of everybody who reads the store.
    """
    for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
        try:
            with errors_explained():
                (busy, *_) = connection.execute(statement).fetchone() or (0,)
        except (ContextBusy, StoreFull):
            busy = 1
        if busy:
            logger.warning("Copies of erased text stay in the store's file: the disk is full, or the store in use")


def remove_files(folder: StorageFolder, context_id: str) -> None:
    """Remove the context's lock files, and the databases set aside in which the context's id is found."""
    _remove(folder.lock_files(context_id))
    remove_set_aside(folder, [context_id])


def remove_set_aside(folder: StorageFolder, ids: Collection[str]) -> None:
    """Remove the databases set aside in which one of the ids is found."""
    _remove(list(_set_aside_with(folder, ids)))


def _remove(paths: Collection[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError:
            # Windows keeps a file that is open; it holds nothing that was said, or stays for the next deletion.
            logger.warning("%s could not be removed", path.name)


def _set_aside_with(folder: StorageFolder, ids: Collection[str]) -> Iterator[Path]:
    """Databases set aside that hold an id, themselves or in their log, with their companions."""
    wanted = [id_.encode() for id_ in ids]
    for database in sorted(folder.root.glob(f"{folder.database.name}.broken-*")):
        if database.name.endswith(COMPANIONS):
            continue
        parts = [database.with_name(database.name + ending) for ending in ("", *COMPANIONS)]
        if any(part.is_file() and _holds(part, wanted) for part in parts):
            yield from parts


def _holds(path: Path, wanted: Collection[bytes]) -> bool:
    tail, longest = b"", max(map(len, wanted))
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            if any(each in tail + chunk for each in wanted):
                return True
            tail = (tail + chunk)[-longest:]
    return False
