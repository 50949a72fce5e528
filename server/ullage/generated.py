"""Files that are written from the code: written anew by `make format`, held against it by `make check`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def write_or_check(arguments: Sequence[str], module: str, text: Callable[[Path], str]) -> int:
    """Write the file that the arguments name, or with ``--check`` only tell whether it is current: 1 where it is not.

    ``text`` is given the file's path, since some files are generated in part.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("file", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where the file is stale")
    options = parser.parse_args(arguments)
    current = text(options.file)
    if not options.check:
        options.file.write_text(current, encoding="utf-8")
        return 0
    if options.file.exists() and options.file.read_text(encoding="utf-8") == current:
        return 0
    sys.stderr.write(f"{options.file} does not say what the code says; run `make format` to write it anew.\n")
    return 1
