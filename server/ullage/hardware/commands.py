"""Asking a tool of the operating system or of a driver, for a limited time."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress

Run = Callable[[Sequence[str]], str | None]
"""Takes a command and its arguments; gives what it printed, or None where it failed."""

TIME_LIMIT_S = 1.5


def run(command: Sequence[str]) -> str | None:
    """What the command prints; None where it can't be started, fails, or takes longer than `TIME_LIMIT_S`."""
    with suppress(OSError, ValueError, subprocess.SubprocessError):
        done = subprocess.run(  # noqa: S603  # the commands are constants of this package, never read from anywhere
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            timeout=TIME_LIMIT_S, check=False,
        )  # fmt: skip
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
    return None
