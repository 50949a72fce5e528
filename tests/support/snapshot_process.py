"""A process that does everything to a folder of snapshots that can be done, at random. It writes one context and
forgets in it, as the holder of that context's lock would, and meddles with all others. Arguments: the storage folder,
the context's id, a seed."""

from __future__ import annotations

import random
import sys
from itertools import count
from pathlib import Path

from ullage.conversation.ids import encode
from ullage.conversation.messages import Message
from ullage.errors import UnknownSnapshot
from ullage.store.folder import open_folder
from ullage.store.snapshot_files import SnapshotFiles
from ullage.store.snapshot_records import SnapshotContent, SnapshotHeader

ROUNDS = 150

_serial = count(1)


def made(context_id: str, rng: random.Random) -> tuple[SnapshotHeader, SnapshotContent]:
    said = tuple(Message(encode(1, number), "user", f"{rng.random()} " * 20, 1) for number in range(20))
    id_ = encode(next(_serial), rng.getrandbits(80))
    return SnapshotHeader(id_, context_id, 1, 1, 20, "", "manual", None, 0, 1.0), SnapshotContent(said)


def work(files: SnapshotFiles, context_id: str, rng: random.Random) -> None:
    action = rng.choice(["write", "write", "list", "read", "delete", "forget"])
    if action == "write":
        files.write(*made(context_id, rng))
        return
    if action == "forget":
        files.forget(context_id, [encode(1, rng.randrange(20))])
        return
    listed = files.listing().snapshots
    if not listed:
        return
    header = rng.choice(listed).header
    if action == "read":
        files.read(header.context_id, header.id)
    elif action == "delete":
        files.delete(header.id)


def main() -> None:
    root, context_id, seed = sys.argv[1:]
    files, rng = SnapshotFiles(open_folder(Path(root))), random.Random(int(seed))
    for _ in range(ROUNDS):
        try:
            work(files, context_id, rng)
        except UnknownSnapshot:
            continue


if __name__ == "__main__":
    main()
