"""The storage folder: where it lies, and that nobody else can read what is in it.

::

    <storage>/            0700
    ├── store.db          0600, with -wal and -shm beside it while it is open
    ├── store.db.broken-* 0600, databases that were found damaged
    ├── store.lock        held while the database is opened, made, migrated or set aside
    ├── locks/            one file per context that is being written, and who writes it
    │   └── takeovers/    requests to hand a context over
    ├── erasures/         a note of each erasure that has not come to its end
    └── snapshots/        made with the first snapshot
        └── <context>/    one file per snapshot, and those that were found damaged
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from ullage.conversation.ids import is_ulid
from ullage.errors import InvalidArgument, UnknownContext, UnknownSnapshot

FOLDER_MODE = 0o700
FILE_MODE = 0o600

COMPANIONS = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database, by the endings of the names."""

_ADVICE = "Set storageDirectory, or ULLAGE_STORAGE, to a folder of your own that you may write to."


def open_folder(directory: str | Path | None = None) -> StorageFolder:
    """Make the storage folder where it is missing and close it to others; None: the platform's data folder.

    The folder itself may be reached through a link that the person made; nothing inside it may be one.
    InvalidArgument where it can't be used. The message names no path.
    """
    root = Path(directory).expanduser() if directory is not None else _platform_folder()
    try:
        root = root.resolve()
        root.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        _close_to_others(root)
    except (OSError, RuntimeError, ValueError) as error:
        raise InvalidArgument(f"The storage folder can't be used. {_ADVICE}", "storageDirectory") from error
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        raise InvalidArgument(f"The storage folder can't be written to. {_ADVICE}", "storageDirectory")
    folder = StorageFolder(root)
    for inside in (folder.locks, folder.takeovers, folder.erasures):
        make_private(inside)
    return folder


def make_private(inside: Path) -> bool:
    """Make one folder inside the storage folder, closed to others; InvalidArgument where a link or a file stands.
    Whether it was not there before."""
    try:
        is_new = not os.path.lexists(inside)
        if is_new:
            with suppress(FileExistsError):
                inside.mkdir(mode=FOLDER_MODE)
        if not stat.S_ISDIR(inside.lstat().st_mode):
            raise NotADirectoryError(inside.name)
        _close_to_others(inside)
    except OSError as error:
        text = f"{inside.name}, in the storage folder, is not a folder that can be used. Move it away, or: {_ADVICE}"
        raise InvalidArgument(text, "storageDirectory") from error
    return is_new


def write_atomically(path: Path, content: bytes) -> None:
    """Write a small file so that a reader finds the old one or the new one. Not synced: for what a crash may lose.
    For files that have one writer at a time: what a killed one left of a draft, the next writes anew."""
    draft = path.with_name(f"{path.name}.tmp")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)


def read_small(path: Path, most: int) -> bytes | None:
    """The first ``most`` bytes of a plain file; None where there is none, or a link stands in its place."""
    try:
        descriptor = os.open(path, os.O_RDONLY | NO_FOLLOW | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def _platform_folder() -> Path:
    import platformdirs  # noqa: PLC0415  # not needed where a folder is set

    return Path(platformdirs.user_data_dir("ullage", appauthor=False))


def _close_to_others(folder: Path) -> None:
    # The mode given to mkdir is narrowed by the umask and says nothing of a folder that was there before.
    if stat.S_IMODE(folder.stat().st_mode) != FOLDER_MODE:
        folder.chmod(FOLDER_MODE)


def _checked(context_id: str) -> str:
    """Only a ULID becomes part of a path; UnknownContext for anything else."""
    if not is_ulid(context_id):
        raise UnknownContext("That is no context's id. List the contexts to see those that there are.")
    return context_id


def unknown_snapshot() -> UnknownSnapshot:
    return UnknownSnapshot("There is no snapshot with this id. List the snapshots to see those that there are.")


NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)  # Windows has no such flag, and links there need a privilege


@frozen
class StorageFolder:
    """The names of what lies in a storage folder that ``open_folder`` has prepared."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "store.db"

    def companion(self, ending: str) -> Path:
        """The database itself, or what SQLite keeps beside it: one of COMPANIONS."""
        return self.database.with_name(self.database.name + ending)

    @property
    def suspect(self) -> Path:
        """Stands while the database has shown damage in use: the next opening examines it in full."""
        return self.root / "store.suspect"

    @property
    def opening_lock(self) -> Path:
        return self.root / "store.lock"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @property
    def takeovers(self) -> Path:
        return self.locks / "takeovers"

    def lock(self, context_id: str) -> Path:
        return self.locks / f"{_checked(context_id)}.lock"

    def holder(self, context_id: str) -> Path:
        return self.locks / f"{_checked(context_id)}.holder"

    def lock_files(self, context_id: str) -> tuple[Path, ...]:
        return self.lock(context_id), self.holder(context_id)

    def takeover(self, context_id: str, pid: int) -> Path:
        return self.takeovers / f"{_checked(context_id)}.{pid}"

    @property
    def erasures(self) -> Path:
        return self.root / "erasures"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    def snapshots_of(self, context_id: str) -> Path:
        return self.snapshots / _checked(context_id)

    def snapshot(self, context_id: str, snapshot_id: str) -> Path:
        """UnknownContext, UnknownSnapshot: only ULIDs become part of a path."""
        if not is_ulid(snapshot_id):
            raise unknown_snapshot()
        return self.snapshots_of(context_id) / f"{snapshot_id}.json"
