"""Whatever happens to the process or to the disk, nothing is lost that was acknowledged."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.store_values import appending, message, operation, record
from ullage.store.folder import open_folder
from ullage.store.opening import open_store

APPENDING = Path(__file__).parents[1] / "support" / "appending_process.py"
OPENING = """
import sys
from ullage.store.folder import open_folder
from ullage.store.opening import open_store
import filelock
folder = open_folder(sys.argv[1])
print("ready", flush=True)
open_store(folder)
print("open", flush=True)
"""


def killed_while_appending(folder: Path, after_s: float) -> list[str]:
    """Returns the ids of the messages that were acknowledged before the kill."""
    process = subprocess.Popen([sys.executable, str(APPENDING), str(folder), "0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    first = process.stdout.readline()
    assert first, "what the last kill left could not be gone on with"
    time.sleep(after_s)
    process.kill()
    rest, _ = process.communicate()
    # The last line may be cut off: then it is no acknowledgement.
    return [line for line in (first + rest).split("\n")[:-1] if len(line) == 26]


def assert_nothing_lost(folder: Path, acknowledged: list[str]) -> None:
    opened = open_store(open_folder(folder))
    try:
        assert opened.set_aside is None
        (context,) = opened.store.contexts()
        history, _ = opened.store.history(context.id, None, 1_000_000)
        ids = [each.id for each in history]
        kept = set(ids)
        assert [id_ for id_ in acknowledged if id_ not in kept] == []
        assert len(kept) == len(ids)
        assert [each.created_at for each in history] == list(range(len(history)))
        assert opened.store.window(context.id).messages == history
        assert opened.store.revision(context.id) == len(history) + 1
        assert opened.store.check() == []
    finally:
        opened.store.close()


@pytest.mark.parametrize(
    "kills", [20, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(900)])], ids=lambda kills: f"{kills}"
)
def test_no_acknowledged_message_is_lost_by_a_kill(tmp_path: Path, kills: int) -> None:
    moments = random.Random(kills)
    acknowledged: list[str] = []
    for kill in range(kills):
        folder = tmp_path / f"storage-{kill // 20}"
        if not folder.exists():
            acknowledged = []
        acknowledged += killed_while_appending(folder, moments.uniform(0, 0.05))
        assert_nothing_lost(folder, acknowledged)
    assert len(acknowledged) > 20


@pytest.mark.parametrize(
    "kills", [20, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(900)])], ids=lambda kills: f"{kills}"
)
def test_a_kill_while_the_store_is_made_leaves_one_that_opens(tmp_path: Path, kills: int) -> None:
    moments = random.Random(kills)
    finished = 0
    for kill in range(kills):
        folder = open_folder(tmp_path / f"storage-{kill}")
        arguments = [sys.executable, "-c", OPENING, str(folder.root)]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        process.stdout.readline()
        time.sleep(moments.uniform(0, 0.012))
        process.kill()
        finished += "open" in process.communicate()[0]
        opened = open_store(folder)
        assert (opened.set_aside, opened.store.check()) == (None, [])
        made = record()
        opened.store.create(made, operation(made.id, "open"))
        opened.store.commit(appending(made.id, message()))
        opened.store.close()
    assert finished < kills, "every kill came too late to prove anything"


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "storage"
    names = ["one", "two", "three", "four"]
    arguments = [sys.executable, str(APPENDING), str(folder), "100"]
    writers = [subprocess.Popen([*arguments, name], stdout=subprocess.PIPE, text=True) for name in names]
    acknowledged = dict(zip(names, (writer.communicate()[0].split() for writer in writers), strict=True))
    store = open_store(open_folder(folder)).store
    for context in store.contexts():
        history, _ = store.history(context.id, None, 1000)
        assert [each.id for each in history] == acknowledged.pop(context.name)
        assert [each.created_at for each in history] == list(range(100))
    assert (acknowledged, store.check()) == ({}, [])
    store.close()


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace, which makes system calls fail")
@pytest.mark.parametrize("nth", [120, 131, 400])
@pytest.mark.parametrize("failing", ["fsync,fdatasync:error=EIO", "pwrite64:error=ENOSPC", "pwrite64:error=EIO"])
def test_a_disk_that_fails_is_told_and_acknowledges_nothing(tmp_path: Path, failing: str, nth: int) -> None:
    folder = tmp_path / "storage"
    strace = ["strace", "-f", "-o", str(tmp_path / "trace"), "-e", f"inject={failing}:when={nth}+"]
    done = subprocess.run(
        [*strace, sys.executable, str(APPENDING), str(folder), "500"], capture_output=True, text=True, check=False
    )
    assert "StoreFull" in done.stderr.splitlines()[-1]
    assert 0 < len(done.stdout.split()) < 500
    assert_nothing_lost(folder, done.stdout.split())
