"""A disk that refuses one step of writing a file."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

STEPS = ["mkdir", "open", "write", "fsync", "replace", "folder"]


def failing(code: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise OSError(code, os.strerror(code))

    return fail


def break_disk(patch: pytest.MonkeyPatch, step: str, code: int) -> None:
    """Let one of STEPS fail with this error."""
    real_sync, real_fdopen = os.fsync, os.fdopen

    def sync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        if is_folder == (step == "folder"):
            raise OSError(code, os.strerror(code))
        real_sync(descriptor)

    def fdopen(*arguments: Any) -> Any:
        file = real_fdopen(*arguments)
        if "w" in arguments[1]:
            return FullDisk(file.detach(), code)
        return file

    if step in ("fsync", "folder"):
        patch.setattr(os, "fsync", sync)
    elif step == "write":
        patch.setattr(os, "fdopen", fdopen)
    elif step == "open":
        patch.setattr(os, "open", failing(code))
    else:
        patch.setattr(Path, step, failing(code))


class FullDisk(io.BufferedWriter):
    def __init__(self, raw: Any, code: int) -> None:
        super().__init__(raw)
        self.code = code

    def write(self, content: Any) -> int:
        self.raw.write(content[:10])
        raise OSError(self.code, os.strerror(self.code))
