"""Puts into the extension what the server is installed from: its wheel, and the versions that it was tested with.

    .venv/bin/python client-vscode/scripts/kit.py

Built offline with the tools of the environment that this runs in.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

EXTENSION = Path(__file__).resolve().parent.parent
PROJECT = EXTENSION.parent
KIT = EXTENSION / "server"


def main() -> None:
    shutil.rmtree(KIT, ignore_errors=True)
    KIT.mkdir()
    wheel = build_wheel()
    constraints = KIT / "constraints.txt"
    constraints.write_text(runtime_constraints(), encoding="utf-8")
    digest = hashlib.sha256(wheel.read_bytes() + constraints.read_bytes()).hexdigest()
    version = wheel.name.split("-")[1]
    kit = {"wheel": wheel.name, "constraints": constraints.name, "key": f"{version}-{digest[:10]}"}
    (KIT / "kit.json").write_text(json.dumps(kit) + "\n", encoding="utf-8")
    shutil.copyfile(PROJECT / "LICENSE", EXTENSION / "LICENSE")
    sys.stdout.write(f"{wheel.relative_to(PROJECT)}: {wheel.stat().st_size / 1000:.0f} kB\n")


def build_wheel() -> Path:
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", KIT]
    subprocess.run([sys.executable, *build, PROJECT], check=True)  # noqa: S603  # our own constants
    return next(KIT.glob("*.whl"))


def runtime_constraints() -> str:
    """The lines of constraints.txt for what the server needs to run, on any system."""
    needed = closure("ullage")
    lines = (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return "".join(f"{line}\n" for line in lines if normalised(line.split("==")[0]) in needed)


def closure(package: str) -> set[str]:
    """What a package requires, and what that requires; nothing of its extras."""
    found: set[str] = set()
    waiting = [package]
    while waiting:
        try:
            requirements = requires(waiting.pop()) or []
        except PackageNotFoundError:  # another system's, which has no line in constraints.txt either
            continue
        names = {normalised(each) for each in requirements if "extra ==" not in each}
        waiting += names - found
        found |= names
    return found


def normalised(requirement: str) -> str:
    """The name that a requirement begins with, as indexes compare names."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0]).lower()


if __name__ == "__main__":
    main()
