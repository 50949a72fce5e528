"""Plain files that after a power cut are whole, or are not there."""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

from ullage.errors import StoreFull
from ullage.store.folder import FILE_MODE, NO_FOLLOW

DRAFT_LIFETIME_S = 3600
"""No writing takes so long: an older draft is what a killed process left, also where its number is another's now."""

_DRAFT = re.compile(r".+\.(\d{1,10})-\d+\.tmp")
_BINARY: int = getattr(os, "O_BINARY", 0)  # Windows alone changes line ends without it
_serial = count()


class CannotRead(Exception):
    """A file that is there and can't be read now, or is none. The text is the end of a sentence for a person."""


def write_durably(path: Path, pieces: Iterable[bytes]) -> os.stat_result:
    """Write a file so that a reader, also after a power cut, finds the old one or the new one; return what the system
    says of it.

    OSError where the disk took it not: then nothing is left of the new one, unless it was its folder that could not be
    synced at last.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}-{next(_serial)}.tmp")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW | _BINARY, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(descriptor)
            status = os.fstat(descriptor)
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return status


def is_abandoned(path: Path) -> bool:
    """Whether this is a file that was being written by a process which is no more. OSError where it is gone."""
    draft = _DRAFT.fullmatch(path.name)
    if draft is None:
        return False
    import psutil  # noqa: PLC0415  # drafts are rarely left, and an editor waits for start-up

    return not psutil.pid_exists(int(draft[1])) or time.time() - path.lstat().st_mtime > DRAFT_LIFETIME_S


def sync_folder(folder: Path) -> None:
    """Make what was named, renamed and removed in a folder last."""
    if os.name == "nt":  # a folder can't be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """A plain file and what the system says of it, never what a link points to. FileNotFoundError, CannotRead."""
    try:
        descriptor = os.open(path, os.O_RDONLY | NO_FOLLOW | _BINARY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise CannotRead("something else than a plain file is in its place")
            yield file, status
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise CannotRead("a link is in its place") from error
        raise CannotRead(f"it can't be read now ({_words(error)}); check the storage folder and try again") from error


def not_taken(error: OSError) -> StoreFull:
    """What to tell a person where the disk refused a change."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull("The disk is full, so the snapshot was not kept. Free some space and try again.")
    return StoreFull(f"The storage folder refused a change ({_words(error)}). Check the disk and the permissions.")


def _words(error: OSError) -> str:
    """The system's words for it, without the path."""
    return error.strerror or type(error).__name__
