"""The storage folder as a person may want to look at it: what it takes, who could read it, what was set aside, and who
writes which context. Opens no database, takes no lock and changes nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from ullage.conversation.ids import is_ulid
from ullage.store.folder import COMPANIONS, StorageFolder
from ullage.store.locks import ContextLocks, Holder

CLOCK_SLACK_S = 2.0
"""A process is told to have begun at a coarser time than it wrote its name down at."""

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@frozen
class SetAside:
    """A database that was found damaged and kept; ``bytes`` with what SQLite kept beside it."""

    name: str
    bytes: int


@frozen
class Writer:
    """Who writes a context by what they wrote down. ``alive`` is False where that process has ended: the system freed
    its lock, and nothing needs to be done."""

    context_id: str
    holder: Holder
    alive: bool


@frozen
class Survey:
    """``bytes`` is what all files take, ``free_bytes`` what the disk still has (None: it can't be told); ``exposed``
    names what other people on this machine may read or change, relative to the folder."""

    root: Path
    bytes: int
    free_bytes: int | None
    exposed: tuple[str, ...]
    set_aside: tuple[SetAside, ...]
    writers: tuple[Writer, ...]


def survey(folder: StorageFolder) -> Survey:
    """What can't be looked at is left out: no exception for a file that goes away meanwhile."""
    files = dict(_statuses(folder.root))
    return Survey(
        root=folder.root,
        bytes=sum(status.st_size for status in files.values() if stat.S_ISREG(status.st_mode)),
        free_bytes=_free_bytes(folder.root),
        exposed=tuple(str(path.relative_to(folder.root)) for path, status in files.items() if _exposed(status)),
        set_aside=tuple(_set_aside(folder, files)),
        writers=tuple(_writers(folder, files)),
    )


def sqlite_version() -> str:
    return sqlite3.sqlite_version


def _statuses(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The folder itself and everything in it; links are not followed."""
    for path in (root, *sorted(root.rglob("*"))):
        try:
            yield path, path.lstat()
        except OSError:
            continue


def _exposed(status: os.stat_result) -> bool:
    return os.name == "posix" and not stat.S_ISLNK(status.st_mode) and bool(status.st_mode & _OTHERS)


def _free_bytes(root: Path) -> int | None:
    try:
        return shutil.disk_usage(root).free
    except OSError:
        return None


def _set_aside(folder: StorageFolder, files: dict[Path, os.stat_result]) -> Iterator[SetAside]:
    for path in files:
        if path.name.startswith(f"{folder.database.name}.broken-") and not path.name.endswith(COMPANIONS):
            parts = [files.get(path.with_name(path.name + ending)) for ending in ("", *COMPANIONS)]
            yield SetAside(path.name, sum(part.st_size for part in parts if part is not None))


def _writers(folder: StorageFolder, files: dict[Path, os.stat_result]) -> Iterator[Writer]:
    locks = ContextLocks(folder, "")
    for path in files:
        if path.parent == folder.locks and path.suffix == ".holder" and is_ulid(path.stem):
            holder = locks.holder(path.stem)
            if holder is not None:
                yield Writer(path.stem, holder, _is_alive(holder))


def _is_alive(holder: Holder) -> bool:
    """Whether the process is still there, and not another one that got its number since."""
    import psutil  # noqa: PLC0415  # only needed by those who look

    try:
        return psutil.Process(holder.pid).create_time() <= holder.since / 1000 + CLOCK_SLACK_S
    except (psutil.Error, ValueError, OverflowError):
        return False
