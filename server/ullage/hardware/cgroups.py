"""What a container leaves of the machine's memory: the limits of this process's control groups and their ancestors.

Version 2 mounts one tree, version 1 one for each controller, and systems in between have both. Inside a container the
path in ``/proc/self/cgroup`` may be of the host's tree, which can't be seen from there; then the mount's own root is
the container's group. Formats: the kernel's ``admin-guide/cgroup-v1/memory.rst`` and ``admin-guide/cgroup-v2.rst``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from ullage.hardware.files import number_after, number_of, text_of

MOST_LEVELS = 32


@frozen
class GroupRoom:
    """One group's bytes: its ``limit``, and what is ``free`` under it (None: its usage can't be told)."""

    limit: int
    free: int | None


@frozen
class _Version:
    limit: str
    usage: str
    reclaimable: str


_V1 = _Version("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
_V2 = _Version("memory.max", "memory.current", "inactive_file ")


def rooms(proc: Path, mount: Path) -> Iterator[GroupRoom]:
    """Every limit that holds for this process. ``proc`` and ``mount`` are usually /proc and /sys/fs/cgroup."""
    for line in (text_of(proc / "self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):
            yield from _chain(mount / "memory", path, _V1)
        elif number == "0" and not controllers:
            yield from _chain(mount, path, _V2)
            yield from _chain(mount / "unified", path, _V2)


def _chain(mount: Path, path: str, version: _Version) -> Iterator[GroupRoom]:
    """From the mount's root down to the group itself."""
    parts = [part for part in path.split("/") if part]
    inside = parts if ".." not in parts else []  # a group outside of what this container sees
    folder = mount
    for part in ["", *inside[:MOST_LEVELS]]:
        folder = folder / part
        room = _room(folder, version)
        if room is not None:
            yield room


def _room(folder: Path, version: _Version) -> GroupRoom | None:
    limit = number_of(folder / version.limit)
    if limit is None:  # no such group, or "max"
        return None
    usage = number_of(folder / version.usage)
    if usage is None:
        return GroupRoom(limit, None)
    # files read once and not again are dropped before anybody is refused memory; the host's "available" counts likewise
    reclaimable = number_after(text_of(folder / "memory.stat") or "", version.reclaimable) or 0
    return GroupRoom(limit, max(limit - max(usage - reclaimable, 0), 0))
