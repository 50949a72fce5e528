"""Erasing for good what a person wants gone, also where it lies beside the tables."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ullage.store.folder import COMPANIONS, StorageFolder

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20


def empty_log(connection: sqlite3.Connection) -> None:
    """Write SQLite's log back and cut it to nothing: it holds pages as they were before rows were erased."""
    (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        logger.warning("Another process is reading the store: erased text leaves its log when that process is done")


def remove_files(folder: StorageFolder, context_id: str) -> None:
    """Remove the context's lock files, and the databases set aside in which the context's id is found."""
    for path in (*folder.lock_files(context_id), *_set_aside_with(folder, context_id)):
        try:
            path.unlink(missing_ok=True)
        except OSError:
            # Windows keeps a file that is open; it holds nothing that was said, or stays for the next deletion.
            logger.warning("%s could not be removed", path.name)


def _set_aside_with(folder: StorageFolder, context_id: str) -> Iterator[Path]:
    """Databases set aside that name the context, themselves or in their log, with their companions."""
    for database in sorted(folder.root.glob(f"{folder.database.name}.broken-*")):
        if database.name.endswith(COMPANIONS):
            continue
        parts = [database.with_name(database.name + ending) for ending in ("", *COMPANIONS)]
        if any(part.is_file() and _holds(part, context_id.encode()) for part in parts):
            yield from parts


def _holds(path: Path, wanted: bytes) -> bool:
    tail = b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            if wanted in tail + chunk:
                return True
            tail = chunk[-len(wanted) :]
    return False
