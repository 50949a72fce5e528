"""Erasing for good what a person wants gone, also where it lies beside the tables.

An erasure is one commit and the work of removing copies after it. A note of it lies in a file of its own from before
the commit until nothing is left to do, so that whoever opens the store next finds out what a killed process left.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path

from attrs import frozen

from ullage.conversation.ids import is_ulid
from ullage.errors import ContextBusy, StoreFull
from ullage.store.database import errors_explained
from ullage.store.durable import is_abandoned, sync_folder, write_durably
from ullage.store.folder import COMPANIONS, StorageFolder, read_small

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20
_MOST_NOTE_BYTES = 1 << 22


@frozen
class Erasure:
    """``id`` is that of the operation that erased ``message_ids``, or of the context that was erased as a whole: then
    there are none."""

    id: str
    context_id: str
    message_ids: frozenset[str] = frozenset()


def note(folder: StorageFolder, erasure: Erasure) -> None:
    """To be called before the commit. StoreFull where the disk took it not: then nothing may be erased."""
    text = json.dumps({"contextId": erasure.context_id, "messageIds": sorted(erasure.message_ids)})
    try:
        write_durably(_note_of(folder, erasure.id), [text.encode()])
    except OSError as error:
        text = "The disk took no more, so nothing was erased. Free some space on it, then try again."
        raise StoreFull(text) from error


def noted(folder: StorageFolder) -> list[Erasure]:
    """Those that have not come to their end, in this process or in another."""
    erasures = []
    for path in sorted(folder.erasures.glob("*")):
        try:
            if is_abandoned(path):
                path.unlink(missing_ok=True)
            elif path.suffix == ".json":
                erasures.append(_read(path))
        except FileNotFoundError:  # it came to its end just now
            continue
        except (OSError, ValueError, KeyError, TypeError):
            logger.warning("The note of an erasure can't be read: %s", path.name)
    return erasures


def end(folder: StorageFolder, erasure_id: str) -> None:
    """Nothing is left to do. Where the note can't be removed, the next opening does it all once more."""
    try:
        _note_of(folder, erasure_id).unlink(missing_ok=True)
        sync_folder(folder.erasures)
    except OSError:
        logger.warning("The note of an erasure could not be removed")


def _note_of(folder: StorageFolder, erasure_id: str) -> Path:
    if not is_ulid(erasure_id):
        raise ValueError("an erasure is known by the id of an operation or of a context")
    return folder.erasures / f"{erasure_id}.json"


def _read(path: Path) -> Erasure:
    content = read_small(path, _MOST_NOTE_BYTES)
    if content is None:
        raise FileNotFoundError(path.name)
    tree = json.loads(content)
    ids = [path.stem, tree["contextId"], *tree["messageIds"]]
    if not all(isinstance(id_, str) for id_ in ids) or not (is_ulid(ids[0]) and is_ulid(ids[1])):
        raise ValueError("other things than ids stand in it")
    return Erasure(ids[0], ids[1], frozenset(ids[2:]))


def remove_remnants(connection: sqlite3.Connection) -> bool:
    """Write the database anew, and cut SQLite's log, which holds pages as they were before, to nothing.

    SQLite overwrites a row that is erased. But where it had moved that row from one page to another it may have left a
    copy in the unused part of the first, of which it knows nothing any more. Where the disk is full or another process
    in the way, that is only told, and False returned: what was erased is out of reach of everybody who reads the store.
    """
    done = True
    for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
        try:
            with errors_explained():
                (busy, *_) = connection.execute(statement).fetchone() or (0,)
        except (ContextBusy, StoreFull):
            busy = 1
        if busy:
            done = False
            logger.warning("Copies of erased text stay in the store's file: the disk is full, or the store in use")
    return done


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
