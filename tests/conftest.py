"""What holds for every test."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    # A shell has what it starts in the background ignore Ctrl-C, and so would every terminal that a test types in.
    signal.signal(signal.SIGINT, signal.default_int_handler)
