"""The fake driver's library built, driven by a file, and read from a process of its own through the real binding."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from attrs import frozen

SUPPORT = Path(__file__).parent
TESTS = SUPPORT.parent
COMPILER = shutil.which("gcc")
LOST, NOT_SUPPORTED, DRIVER_NOT_LOADED, NO_PERMISSION = 15, 3, 9, 4
GB = 2**30

needs_compiler = pytest.mark.skipif(
    COMPILER is None, reason="THE REAL NVML BINDING IS NOT TESTED: there is no gcc to build the fake library with"
)


@frozen
class Part:
    """A card, or a slice of the card number ``card``; bytes."""

    name: str
    total: int = 8 * GB
    free: int = 6 * GB
    reserved: int = 0
    code: int = 0
    card: int | None = None

    def line(self) -> str:
        place = "card" if self.card is None else f"slice {self.card}"
        return f"{place} {self.code} {self.total} {self.reserved} {self.free} {self.name}"


@frozen
class Process:
    """``size`` in bytes; None: the driver can't tell."""

    pid: int
    size: int | None
    card: int = 0
    part: int = -1

    def line(self) -> str:
        return f"process {self.card} {self.part} {self.pid} {-1 if self.size is None else self.size}"


class FakeNvml:
    """Builds the library into ``folder``; what it says is set at any time by `says`."""

    def __init__(self, folder: Path, *, old_driver: bool = False) -> None:
        self._state = folder / "state"
        self._shutdowns = folder / "shutdowns"
        library = folder / "libnvidia-ml.so.1"
        options = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-Wl,-soname,libnvidia-ml.so.1"]
        assert COMPILER is not None
        subprocess.run(
            [COMPILER, *options, *(["-DOLD_DRIVER"] if old_driver else []), "-o", library, SUPPORT / "fake_nvml.c"],
            check=True,
        )
        self.environment: Mapping[str, str] = {
            **os.environ,
            "LD_LIBRARY_PATH": str(folder),
            "FAKE_NVML_STATE": str(self._state),
            "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
        }
        self.says(Part("A"))

    def says(self, *parts: Part, processes: Sequence[Process] = (), init: int = 0, hang: str | None = None) -> None:
        """Replaced in one step, so that no call reads half of it."""
        lines = [f"init {init}", f"shutdowns {self._shutdowns}", *([f"hang {hang}"] if hang else [])]
        lines += [entry.line() for entry in (*parts, *processes)]
        written = self._state.with_suffix(".new")
        written.write_text("\n".join(lines) + "\n")
        written.replace(self._state)

    @property
    def shutdowns(self) -> int:
        return len(self._shutdowns.read_bytes()) if self._shutdowns.exists() else 0


class Reader:
    """A process that reads the hardware each time it is asked (`support.hardware_reader`)."""

    def __init__(self, environment: Mapping[str, str], time_limit_s: float = 2.0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.hardware_reader", str(time_limit_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._process.stdout:
            self._process.stdin.close()
            self._process.wait(20)

    def ask(self, what: str = "read") -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(what.encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer
