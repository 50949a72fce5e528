"""A file of settings: the person's own, or the one at the root of a workspace's folder."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote_to_bytes, urlsplit

from attrs import define

from ullage.app.yaml_tree import NotATree, tree_of
from ullage.settings import Layer, Problem, SettingSource

WORKSPACE_FILE = ".ullage.yaml"
LARGEST_FILE = 2**20

SETTLED_NS = 2_000_000_000
"""A file changed less than so long ago may change again within the same tick of its file system's clock, the coarsest
of which is two seconds."""

Stamp: TypeAlias = tuple[int, ...]

_NO_WAIT: int = getattr(os, "O_NONBLOCK", 0)  # a pipe in the file's place keeps nobody waiting; Windows has none there
_NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)


@define
class SettingsFile:
    """What the file held when it was last read. ``within`` is the folder that it must not lead out of."""

    path: Path
    source: SettingSource
    within: Path | None = None
    place: str | None = None
    tree: object = None
    problem: Problem | None = None
    _stamp: Stamp | None = None
    _is_settled: bool = False

    def refresh(self) -> bool:
        """Look at the file, and read it where it is not the one that was read before; whether that changed anything.

        Costs one stat where nothing has happened.
        """
        stamp = _stamp_of(self.path)
        if stamp == self._stamp and self._is_settled:
            return False
        self._stamp, self._is_settled = stamp, stamp is None or _has_settled(stamp)
        before = self.tree, self.problem
        self.tree, self.problem = self._read()
        return (self.tree, self.problem) != before

    def layer(self, *, alone: bool = True) -> Layer:
        return Layer(self.source, self.tree, self.place, alone)

    def _read(self) -> tuple[object, Problem | None]:
        """The tree, none where there is no file; what can't be read is a problem, not an error."""
        try:
            return tree_of(_content(self.path, self.within)), None
        except (FileNotFoundError, NotADirectoryError):
            return None, None
        except NotATree as error:
            reason = str(error)
        except (OSError, ValueError):
            reason = "the file can't be read"
        return None, Problem(self.path.name, self.source, f"{reason}; its settings are not in force", self.place)


def workspace_file(uri: str) -> SettingsFile | None:
    """The file of a workspace's folder; None where the URI names no folder of this machine."""
    folder = _folder_of(uri)
    if folder is None:
        return None
    path = folder / WORKSPACE_FILE
    return SettingsFile(path, "workspace file", within=folder, place=os.fsencode(path).decode(errors="replace"))


def _folder_of(uri: str) -> Path | None:
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return None
    if os.name == "nt":
        from urllib.request import url2pathname  # noqa: PLC0415  # start-up: it brings HTTP along, and is wanted here only

        folder = Path(url2pathname(parts.path))
    else:
        folder = Path(os.fsdecode(unquote_to_bytes(parts.path)))
    return folder if folder.is_absolute() else None


def _stamp_of(path: Path) -> Stamp | None:
    try:
        told = path.stat()
    except (OSError, ValueError):
        return None
    return told.st_mtime_ns, told.st_ctime_ns, told.st_size, told.st_ino, told.st_dev


def _has_settled(stamp: Stamp) -> bool:
    changed_at = max(stamp[:2])
    return not 0 <= time.time_ns() - changed_at < SETTLED_NS


def _content(path: Path, within: Path | None) -> bytes:
    """The bytes of a plain file of bounded size. Raises OSError, NotATree."""
    if within is not None:
        path = _inside(path, within)
    descriptor = os.open(path, os.O_RDONLY | _NO_WAIT | (_NO_FOLLOW if within else 0))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotATree("it is no plain file")
        with open(descriptor, "rb", closefd=False) as file:  # a descriptor, not a path
            content = file.read(LARGEST_FILE + 1)
    finally:
        os.close(descriptor)
    if len(content) > LARGEST_FILE:
        raise NotATree("the file is over 1 MiB")
    return content


def _inside(path: Path, folder: Path) -> Path:
    """Where the path really leads: a repository must not have other files of this machine read and quoted."""
    real = Path(os.path.realpath(path, strict=True))
    if not real.is_relative_to(os.path.realpath(folder)):
        raise NotATree("it is a link that leads out of the folder")
    return real
