"""A machine made of files, command output and a driver's library, for the probes to find."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pynvml

from ullage.hardware.detection import Machine
from ullage.hardware.system import Ram

GB = 2**30
AMD, INTEL = "0x1002", "0x8086"


def no_driver() -> Any:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)


def commands(outputs: Mapping[str, str | None]) -> Callable[[Sequence[str]], str | None]:
    """Answers by the command's last part of name: ``{"vm_stat": "…"}``; others fail."""
    return lambda command: outputs.get(command[0].rpartition("/")[2])


def write(folder: Path, files: Mapping[str, object]) -> None:
    """Files by path; bytes as they are, anything else as its text and a line feed, as a kernel writes it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else f"{content}\n".encode())


def card(number: int, vendor: str, **amounts: object) -> dict[str, object]:
    """The files of one graphics card, by their names in its device folder."""
    device = f"sys/class/drm/card{number}/device"
    return {f"{device}/vendor": vendor, **{f"{device}/{name}": amount for name, amount in amounts.items()}}


def machine(root: Path, **parts: Any) -> Machine:
    """Folders ``sys`` and ``proc`` under ``root``, 16 GB of memory of which 10 are free, and nothing else."""
    plain = {
        "platform": "linux",
        "architecture": "x86_64",
        "sysfs": root / "sys",
        "proc": root / "proc",
        "load_nvml": no_driver,
        "run": commands({}),
        "find_executable": lambda name: None,
        "host_ram": lambda: Ram(16 * GB, 10 * GB),
        "serves_models": lambda pid: False,
    }
    return Machine(**{**plain, **parts})
