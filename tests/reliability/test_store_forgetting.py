"""A process killed while it forgets leaves everything as it was, or all of it forgotten."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ullage.store.folder import open_folder
from ullage.store.opening import open_store

FORGETTING = "support.forgetting_process"


def killed_while_forgetting(folder: Path, after_s: float) -> list[list[str]]:
    """Returns what was acknowledged, as pairs of what was done and an id."""
    command = [sys.executable, "-m", FORGETTING, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    assert process.stdout
    first = process.stdout.readline()
    time.sleep(after_s)
    process.kill()
    rest, _ = process.communicate()
    return [line.split() for line in (first + rest).split("\n")[:-1] if len(line.split()[-1]) == 26]


@pytest.mark.parametrize(
    "kills", [10, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(900)])], ids=lambda kills: f"{kills}"
)
def test_a_kill_leaves_the_state_before_or_after(tmp_path: Path, kills: int) -> None:
    moments = random.Random(kills)
    acknowledged: list[list[str]] = []
    for _ in range(kills):
        acknowledged += killed_while_forgetting(tmp_path / "storage", moments.uniform(0, 0.15))
        opened = open_store(open_folder(tmp_path / "storage"))
        (context,) = opened.store.contexts()
        history = opened.store.history(context.id, None, 1_000_000)[0]
        ids = {each.id for each in history}
        assert {id_ for done, id_ in acknowledged if done == "said"} <= ids
        assert ids.isdisjoint(id_ for done, id_ in acknowledged if done == "forgotten")
        summarised = {id_ for each in history for id_ in each.summary_of or ()}
        assert summarised <= ids, "a summary outlived what it stands for"
        assert opened.store.window(context.id).messages == history
        found = opened.store.search("needle", None, 1_000_000)
        assert {each.message for each in found} == set(history)
        assert (opened.set_aside, opened.store.check()) == (None, [])
        opened.store.close()
    assert any(done == "forgotten" for done, _ in acknowledged)
