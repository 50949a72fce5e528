"""A store of an older form becomes one of the present form, or stays what it was."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.first_form import write_first_form
from ullage.store.folder import open_folder
from ullage.store.opening import open_store

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


@pytest.mark.parametrize(
    "kills", [15, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(900)])], ids=lambda kills: f"{kills}"
)
def test_a_kill_while_it_is_migrated_loses_nothing(tmp_path: Path, kills: int) -> None:
    moments = random.Random(kills)
    written = write_first_form(open_folder(tmp_path / "first"), contexts=500)
    finished = 0
    for kill in range(kills):
        folder = open_folder(shutil.copytree(tmp_path / "first", tmp_path / f"storage-{kill}"))
        process = subprocess.Popen([sys.executable, "-c", OPENING, str(folder.root)], stdout=subprocess.PIPE, text=True)
        assert process.stdout
        process.stdout.readline()
        time.sleep(moments.uniform(0.003, 0.025))
        process.kill()
        finished += "open" in process.communicate()[0]
        opened = open_store(folder)
        assert (opened.set_aside, opened.store.check()) == (None, [])
        assert opened.store.contexts() == [each.record for each in written]
        assert [opened.store.window(each.record.id).messages for each in written] == [each.messages for each in written]
        opened.store.close()
    assert finished < kills, "every kill came too late to prove anything"
