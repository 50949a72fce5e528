"""The composition root: the one place where parts are put together."""

from __future__ import annotations

import sys


def serve() -> int:
    """Serve an editor at standard input and output until it goes; return the process's exit code."""
    from ullage.app.application import Application  # noqa: PLC0415  # `ullage --help` needs none of it

    if sys.stdin is None or sys.stdin.isatty():
        sys.stderr.write("ullage serve speaks with an editor over pipes; try `ullage chat` in a terminal.\n")
        return 2
    return Application().serve()
