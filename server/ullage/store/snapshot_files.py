"""Snapshots as files: ``snapshots/<context>/<snapshot>.json``, each whole in itself.

::

    <snapshot>.json             written beside itself, synced and renamed into its place
    <snapshot>.json.broken      was found damaged; kept, told, and never read again
    <snapshot>.json.….tmp       is being written, or its writer was killed

The index is what this process remembers of files that it has held against their checksums, for as long as their size
and time stay the same; a process that begins makes it anew from the files. Several processes may use the folder.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import attrs
from attrs import Factory, define, frozen

from ullage.conversation.gist import gist
from ullage.conversation.ids import is_ulid
from ullage.conversation.messages import Message
from ullage.errors import CorruptSnapshot, InvalidArgument, StoreFull, UllageError, UnknownSnapshot
from ullage.store.durable import CannotRead, is_abandoned, not_taken, opened, sync_folder, write_durably
from ullage.store.folder import StorageFolder, make_private, unknown_snapshot
from ullage.store.snapshot_format import Damaged, Scanned, TooLarge, Unusable, decode, encode, mentions, scan
from ullage.store.snapshot_records import (
    SnapshotContent,
    SnapshotHeader,
    SnapshotListing,
    StoredSnapshot,
    UnreadableFile,
)

logger = logging.getLogger(__name__)

_SNAPSHOT = re.compile(r"([0-9A-Z]{26})\.json")
_BROKEN = re.compile(r"([0-9A-Z]{26})\.json\.broken(-\d+)?")
_SET_ASIDE = "It was found damaged and set aside; it is kept under this name and not used."
_FOREIGN = "it is another snapshot than its name and folder say; move it back to where it was made"


@frozen
class _Known:
    """What a file was when its checksum was right. ``print`` is its size, its time of change and its number."""

    print: tuple[int, int, int]
    stored: StoredSnapshot


@define(eq=False)
class SnapshotFiles:
    """Synchronous, and takes as long as the disk does; any number of threads may use it.

    Every method that writes raises StoreFull where the disk refused, and then nothing of it is left.
    """

    folder: StorageFolder
    _known: dict[str, dict[str, _Known]] = Factory(dict)
    _reasons: dict[Path, str] = Factory(dict)
    _swept: set[str] = Factory(set)

    def write(self, header: SnapshotHeader, content: SnapshotContent) -> StoredSnapshot:
        """Keep a new snapshot. StoreFull also where it is larger than a snapshot may be."""
        path = self.folder.snapshot(header.context_id, header.id)
        try:
            pieces = encode(header, content)
        except TooLarge:
            raise StoreFull("This window is too large for a snapshot. Compress or clear it first.") from None
        self._make_folder(header.context_id)
        try:
            status = write_durably(path, pieces)
        except OSError as error:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            raise not_taken(error) from error
        if header.context_id not in self._swept:  # a look at every file, for what is rarely there: once is enough
            self._sweep(header.context_id)
        return self._remember(path, header, status)

    def read(self, context_id: str, snapshot_id: str) -> tuple[SnapshotHeader, SnapshotContent]:
        """UnknownSnapshot; CorruptSnapshot where not every bit of it is what was written."""
        path = self.folder.snapshot(context_id, snapshot_id)
        with self._reading(path) as (file, scanned, _):
            return scanned.header, decode(file, scanned)

    def find(self, snapshot_id: str) -> str:
        """The id of the context that a snapshot is of. UnknownSnapshot; CorruptSnapshot where it can't be used."""
        if not is_ulid(snapshot_id):
            raise unknown_snapshot()
        failure: UllageError = unknown_snapshot()
        for context_id in self._contexts():
            try:
                self._examined(self.folder.snapshot(context_id, snapshot_id))
                return context_id
            except UnknownSnapshot:
                continue
            except CorruptSnapshot as error:
                failure = error
        raise failure

    def listing(self, context_id: str | None = None) -> SnapshotListing:
        """The snapshots of a context, or all, in the order of their making; damaged files are set aside and told."""
        snapshots: list[StoredSnapshot] = []
        unreadable: list[UnreadableFile] = []
        for each in self._listed_contexts(unreadable) if context_id is None else [context_id]:
            try:
                self._list_folder(each, snapshots, unreadable)
            except CorruptSnapshot as error:
                unreadable.append(UnreadableFile(self._name(self.folder.snapshots_of(each)), error.message))
        snapshots.sort(key=lambda each: (each.header.created_at, each.header.id))
        return SnapshotListing(tuple(snapshots), tuple(unreadable))

    def delete(self, snapshot_id: str) -> None:
        """Erase a snapshot, and copies of it that were set aside. UnknownSnapshot."""
        if not is_ulid(snapshot_id):
            raise unknown_snapshot()
        beginning = f"{snapshot_id}.json"
        paths = [
            self.folder.snapshots_of(context_id) / name
            for context_id in self._contexts()
            for name in self._names(context_id)
            if name == beginning or name.startswith(beginning + ".")
        ]
        if not paths:
            raise unknown_snapshot()
        self._remove(paths)

    def discard(self, context_id: str, snapshot_id: str) -> None:
        """Remove one file, where it is still there."""
        self._remove([self.folder.snapshot(context_id, snapshot_id)])

    def erase_context(self, context_id: str) -> None:
        """Erase every snapshot of a context, with copies set aside and drafts."""
        folder = self.folder.snapshots_of(context_id)
        self._known.pop(context_id, None)
        self._remove([folder / name for name in self._names(context_id)])
        try:
            folder.rmdir()
            sync_folder(folder.parent)
        except FileNotFoundError:
            return
        except OSError as error:
            raise not_taken(error) from error

    def forget(self, context_id: str, message_ids: Collection[str]) -> None:
        """Erase messages of a context from every snapshot, of whatever context, that holds them. They are known by
        their ids: where a snapshot was restored into another context, its messages have other ones there.

        Of the copies set aside those are erased that hold one of them, and in the context's own folder also those of
        which that can't be told. What can't be read or written now is raised when everything else is done.
        """
        ids = frozenset(message_ids)
        failures: list[UllageError] = []
        self._forget_in_snapshots(ids, failures)
        self._forget_in_broken(context_id, ids, failures)
        for each in self._contexts():
            self._sweep(each)
        if failures:
            raise failures[0]

    def _forget_in_snapshots(self, ids: frozenset[str], failures: list[UllageError]) -> None:
        for path in self._every(_SNAPSHOT, failures):
            try:
                self._forget_in(path, ids)
            except UnknownSnapshot:
                continue
            except (CorruptSnapshot, StoreFull) as error:
                if os.path.lexists(path):
                    failures.append(error)  # what was set aside is looked at among the others that were

    def _forget_in(self, path: Path, ids: frozenset[str]) -> None:
        with self._reading(path, foreign_too=True) as (file, scanned, status):
            if mentions(file, status.st_size, ids) is False:
                return
            content = decode(file, scanned)
        kept, forgotten = content.without(ids), [m for m in content.messages if m.id in ids]
        if not forgotten or not path.exists():
            return
        summary = gist(kept.messages) if _quotes(scanned.header.summary, forgotten) else scanned.header.summary
        header = attrs.evolve(scanned.header, messages=len(kept.messages), summary=summary)
        try:
            write_durably(path, encode(header, kept))
        except OSError as error:
            raise not_taken(error) from error

    def _forget_in_broken(self, context_id: str, ids: frozenset[str], failures: list[UllageError]) -> None:
        for path in self._every(_BROKEN, failures):
            held: bool | None = None
            with suppress(FileNotFoundError, CannotRead), opened(path) as (file, status):
                held = mentions(file, status.st_size, ids)
            if held or (held is None and path.parent.name == context_id):
                try:
                    self._remove([path])
                except StoreFull as error:
                    failures.append(error)

    def _listed_contexts(self, unreadable: list[UnreadableFile]) -> list[str]:
        try:
            return self._contexts()
        except CorruptSnapshot as error:
            unreadable.append(UnreadableFile(self._name(self.folder.snapshots), error.message))
            return []

    def _list_folder(self, context_id: str, snapshots: list[StoredSnapshot], unreadable: list[UnreadableFile]) -> None:
        folder = self.folder.snapshots_of(context_id)
        found: dict[str, StoredSnapshot] = {}
        for name in self._names(context_id):
            snapshot = _SNAPSHOT.fullmatch(name)
            if snapshot is None:
                continue
            try:
                found[snapshot[1]] = self._examined(folder / name)
            except UnknownSnapshot:  # removed since
                continue
            except CorruptSnapshot as error:
                if os.path.lexists(folder / name):
                    unreadable.append(UnreadableFile(self._name(folder / name), error.message))
        known = self._known.get(context_id, {})
        self._known[context_id] = {id_: known[id_] for id_ in found if id_ in known}
        snapshots.extend(found.values())
        for name in self._names(context_id):
            if _BROKEN.fullmatch(name):
                path = folder / name
                unreadable.append(UnreadableFile(self._name(path), self._reasons.get(path, _SET_ASIDE)))

    def _examined(self, path: Path) -> StoredSnapshot:
        """A file's own words, once its checksum was seen to be right. UnknownSnapshot, CorruptSnapshot."""
        known = self._known.get(path.parent.name, {}).get(path.stem)
        with suppress(OSError):
            if known is not None and known.print == _print(path.lstat()):
                return known.stored
        with self._reading(path) as (_, scanned, status):
            return self._remember(path, scanned.header, status)

    def _remember(self, path: Path, header: SnapshotHeader, status: os.stat_result) -> StoredSnapshot:
        stored = StoredSnapshot(header, status.st_size)
        self._known.setdefault(path.parent.name, {})[path.stem] = _Known(_print(status), stored)
        return stored

    @contextmanager
    def _reading(self, path: Path, *, foreign_too: bool = False) -> Iterator[tuple[BinaryIO, Scanned, os.stat_result]]:
        """A file that is what its checksum says. A damaged one, also if that shows while it is being used, is set
        aside; one that can't be read now is left where it is."""
        status: os.stat_result | None = None
        try:
            self._check_folder(path.parent)
            with opened(path) as (file, status):
                scanned = scan(file, status.st_size)
                if not foreign_too and (scanned.header.context_id, scanned.header.id) != (path.parent.name, path.stem):
                    raise Unusable(_FOREIGN)
                yield file, scanned, status
        except FileNotFoundError:
            if path.with_name(path.name + ".broken").is_file():
                raise CorruptSnapshot(f"This snapshot can't be used. {_SET_ASIDE}") from None
            raise unknown_snapshot() from None
        except Damaged as damage:
            assert status is not None, "what was read was opened"
            self._set_aside(path, status, str(damage))
            text = f"This snapshot is damaged: {damage}. It was set aside; nothing else has changed."
            raise CorruptSnapshot(text) from damage
        except (Unusable, CannotRead) as hindrance:
            raise CorruptSnapshot(f"This snapshot can't be used: {hindrance}.") from hindrance

    def _set_aside(self, path: Path, status: os.stat_result, reason: str) -> None:
        broken = path.with_name(path.name + ".broken")
        number = 1
        while os.path.lexists(broken):
            number += 1
            broken = path.with_name(f"{path.name}.broken-{number}")
        try:
            if _print(path.lstat()) != _print(status):
                return  # another process has put a whole one there
            path.rename(broken)
            self._reasons[broken] = f"It is damaged: {reason}. It was set aside; it is kept under this name."
            logger.warning("A damaged snapshot was set aside as %s", broken.name)
            sync_folder(path.parent)
        except OSError as error:
            logger.warning("A damaged snapshot could not be set aside: %s", error.strerror)

    def _make_folder(self, context_id: str) -> None:
        """InvalidArgument where a link is in its place."""
        for each in (self.folder.snapshots, self.folder.snapshots_of(context_id)):
            try:
                if make_private(each):
                    sync_folder(each.parent)
            except OSError as error:
                raise not_taken(error) from error
            except InvalidArgument as error:
                cause = error.__cause__
                if isinstance(cause, OSError) and not isinstance(cause, NotADirectoryError):
                    raise not_taken(cause) from error
                raise

    def _sweep(self, context_id: str) -> None:
        """Remove drafts that killed processes left."""
        self._swept.add(context_id)
        with suppress(OSError, CorruptSnapshot):
            for name in self._names(context_id):
                path = self.folder.snapshots_of(context_id) / name
                if is_abandoned(path):
                    path.unlink(missing_ok=True)

    def _remove(self, paths: Iterable[Path]) -> None:
        folders = set()
        try:
            for path in paths:
                path.unlink(missing_ok=True)
                self._known.get(path.parent.name, {}).pop(path.stem, None)
                self._reasons.pop(path, None)
                folders.add(path.parent)
            for folder in folders:
                if folder.exists():
                    sync_folder(folder)
        except OSError as error:
            raise not_taken(error) from error

    def _every(self, shape: re.Pattern[str], failures: list[UllageError]) -> list[Path]:
        """The files of all contexts whose names have this shape."""
        found: list[Path] = []
        for context_id in self._contexts():
            folder = self.folder.snapshots_of(context_id)
            try:
                found += [folder / name for name in self._names(context_id) if shape.fullmatch(name)]
            except CorruptSnapshot as error:
                failures.append(error)
        return found

    def _contexts(self) -> list[str]:
        """The contexts that have a folder of snapshots, whether or not they still exist."""
        return [name for name in self._inside(self.folder.snapshots) if is_ulid(name)]

    def _names(self, context_id: str) -> list[str]:
        return self._inside(self.folder.snapshots_of(context_id))

    def _inside(self, folder: Path) -> list[str]:
        """What is in a folder; nothing where there is none. CorruptSnapshot where that can't be told."""
        try:
            self._check_folder(folder)
            return sorted(os.listdir(folder))  # noqa: PTH208  # names are wanted
        except FileNotFoundError:
            return []
        except (OSError, CannotRead) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise CorruptSnapshot(f"The snapshots can't be read now: {reason}. Check the storage folder.") from error

    def _check_folder(self, folder: Path) -> None:
        """FileNotFoundError; CannotRead where a link leads elsewhere."""
        for each in (self.folder.snapshots, folder):
            if each.is_symlink():
                raise CannotRead("its folder is a link")
        folder.lstat()

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder.root).as_posix()


def _print(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _quotes(summary: str, messages: Iterable[Message]) -> bool:
    """Whether a summary repeats what was said in one of these messages."""
    words = summary.removesuffix("…")
    return bool(words) and any(words in " ".join(m.content.split()) or summary == gist([m]) for m in messages)
