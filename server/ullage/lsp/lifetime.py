"""When a server's life ends: with its parent's, and in any case soon after it was told to."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

POLL_S = 1.0


async def parent_gone(process_id: int, poll_s: float = POLL_S) -> None:
    """Return when the process has ended."""
    while process_exists(process_id):  # noqa: ASYNC110  # of a process that is no child the system tells only when asked
        await asyncio.sleep(poll_s)


def process_exists(process_id: int) -> bool:
    if process_id <= 0:  # to the system these mean groups of processes
        return False
    if sys.platform == "win32":
        import psutil  # noqa: PLC0415  # needed on Windows only, where os.kill with 0 would end the process

        return psutil.pid_exists(process_id)
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def end_process_within(seconds: float, exit_code: int) -> None:
    """End this process at the latest then, whatever its other threads are doing. What was acknowledged is on disk."""
    timer = threading.Timer(seconds, os._exit, (exit_code,))
    timer.daemon = True
    timer.start()
