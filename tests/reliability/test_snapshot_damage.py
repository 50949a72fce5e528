"""Snapshot files that a disk, a crash or somebody has damaged: never taken for whole, never in the way of others."""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest
from backports import zstd

from support import snapshot_process
from support.snapshot_values import everything, forged, forged_packed, names, snapshot, talk, trees_of
from support.store_values import new_id
from ullage.errors import CorruptSnapshot
from ullage.store.folder import open_folder
from ullage.store.snapshot_files import SnapshotFiles
from ullage.store.snapshot_records import SnapshotContent, SnapshotHeader

ROUNDS = 20
"""Of each kind of damage."""

WRONG_VALUES: list[Any] = [None, True, -1, 1.5, "x", "", [], {}, [[]], {"id": {}}, 2**63, "../../x", "\0"]

Made = tuple[SnapshotHeader, SnapshotContent]
Damage = Callable[[bytes, Made, random.Random], bytes]


def truncated(raw: bytes, _: Made, rng: random.Random) -> bytes:
    return raw[: rng.randrange(len(raw))]


def zeroed(raw: bytes, _: Made, rng: random.Random) -> bytes:
    start = rng.randrange(len(raw))
    length = min(rng.choice([1, 16, 512, 4096]), len(raw) - start)
    return raw[:start] + bytes(length) + raw[start + length :]


def bit_flipped(raw: bytes, _: Made, rng: random.Random) -> bytes:
    place = rng.randrange(len(raw))
    return raw[:place] + bytes([raw[place] ^ 1 << rng.randrange(8)]) + raw[place + 1 :]


def overwritten(raw: bytes, _: Made, rng: random.Random) -> bytes:
    place = rng.randrange(len(raw))
    return raw[:place] + rng.randbytes(4096) + raw[place + 4096 :]


def twice(raw: bytes, _: Made, rng: random.Random) -> bytes:
    return raw + raw[: rng.randrange(1, len(raw))]


def a_bomb(_: bytes, made: Made, rng: random.Random) -> bytes:
    packer = zstd.ZstdCompressor()
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(64)) + packer.flush()
    stated = rng.choice([10, 2**20, 2**26, 2**26 - 1, 2**40])
    return forged_packed({**trees_of(*made)[0], "contentBytes": stated}, packed)


def of_another_version(_: bytes, made: Made, rng: random.Random) -> bytes:
    tree, lines = trees_of(*made)
    return forged({**tree, "version": rng.choice([0, 2, 99, 10**12, -1, "1", None])}, lines)


def with_another_id(_: bytes, made: Made, rng: random.Random) -> bytes:
    tree, lines = trees_of(*made)
    return forged({**tree, rng.choice(["id", "contextId"]): rng.choice([new_id(), "../../etc/passwd", "", 5])}, lines)


def of_wrong_types(_: bytes, made: Made, rng: random.Random) -> bytes:
    tree, lines = trees_of(*made)
    target = rng.choice([tree, tree["metadata"], lines[0], *lines[1:4]])
    key = rng.choice([key for key in target if key not in ("format", "summary", "content", "systemPrompt", "model")])
    right = target[key]
    wrong = [value for value in WRONG_VALUES if value != right and not (isinstance(right, list) and value == [])]
    target[key] = rng.choice([value for value in wrong if not isinstance(right, int | float) or value != 1.5])
    return forged(tree, lines)


def something_else(_: bytes, __: Made, rng: random.Random) -> bytes:
    texts = [b"", b"{}", b"[]", b"null", b"\xff" * 500, b"[" * 200_000, b'{"format": "ullage snapshot"}', b"PK\x03\x04"]
    return rng.choice([*texts, json.dumps({"id": new_id(), "messages": []}).encode(), rng.randbytes(5000)])


DAMAGES: list[Damage] = [
    *(truncated, zeroed, bit_flipped, overwritten, twice),
    *(a_bomb, of_another_version, with_another_id, of_wrong_types, something_else),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_files_harm_nothing_and_are_never_taken_for_whole(damage: Damage, tmp_path: Path) -> None:
    rng = random.Random(4)
    for round_ in range(ROUNDS):
        files = SnapshotFiles(open_folder(tmp_path / str(round_)))
        context_id = new_id()
        made = [snapshot(context_id, content) for content in (SnapshotContent(talk(40)), everything(), None)]
        for each in made:
            files.write(*each)
        hit, *whole = rng.sample(made, 3)
        path = files.folder.snapshot(context_id, hit[0].id)
        before = path.read_bytes()
        raw = damage(before, hit, rng)
        path.write_bytes(raw)
        for reader in (SnapshotFiles(files.folder), files):
            listing = reader.listing()
            if raw != before:
                with pytest.raises(CorruptSnapshot):
                    reader.read(context_id, hit[0].id)
            for each in whole:
                assert reader.read(context_id, each[0].id) == each
            assert {each[0].id for each in whole} <= {each.header.id for each in listing.snapshots}
        kept = [path for path in path.parent.iterdir() if path.name.startswith(hit[0].id)]
        assert [path.read_bytes() for path in kept] == [raw]
        shutil.rmtree(files.folder.root)


def test_two_processes_share_the_folder(tmp_path: Path) -> None:
    """Each writes, lists, reads, deletes and forgets what both of them make; nobody ever sees half a file."""
    folder = open_folder(tmp_path / "storage")
    command = [sys.executable, snapshot_process.__file__, str(folder.root)]
    with ExitStack() as stack:
        running = [
            stack.enter_context(Popen([*command, new_id(), str(seed)], stderr=PIPE, text=True)) for seed in (1, 2)
        ]
        errors = [process.communicate(timeout=60)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], errors
    files = SnapshotFiles(folder)
    listing = files.listing()
    assert listing.unreadable == ()
    assert len(names(files)) == len(listing.snapshots) > 0
