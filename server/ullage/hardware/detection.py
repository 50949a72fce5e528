"""Which kind of hardware this machine has: the first that answers, the graphics cards' before main memory."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from platform import machine as processor
from typing import Any

from attrs import field, frozen

from ullage.hardware.amd import find_amd
from ullage.hardware.apple import find_apple
from ullage.hardware.commands import Run, run
from ullage.hardware.intel import find_intel
from ullage.hardware.nvidia import find_nvidia, load_nvml
from ullage.hardware.probe import Probe
from ullage.hardware.processes import ResidentServers, Serves, serves_models
from ullage.hardware.rocm_smi import find_rocm_smi
from ullage.hardware.system import Ram, SystemMemory, SystemProbe, host_ram

logger = logging.getLogger(__name__)


@frozen
class Machine:
    """Everything that a probe asks of the outside; a test gives other folders, commands and libraries."""

    platform: str = sys.platform
    architecture: str = field(factory=processor)
    sysfs: Path = Path("/sys")
    proc: Path = Path("/proc")
    load_nvml: Callable[[], Any] = load_nvml
    run: Run = run
    find_executable: Callable[[str], str | None] = shutil.which
    host_ram: Callable[[], Ram] = host_ram
    serves_models: Serves = serves_models

    def memory(self) -> SystemMemory:
        return SystemMemory(self.proc, self.sysfs / "fs/cgroup", self.host_ram)


def detect(machine: Machine | None = None) -> Probe:
    """The probe for this machine. A driver that is missing, or fails in looking for it, is passed over. May take
    seconds, and hang where a driver does."""
    machine = machine or Machine()
    for find in (_nvidia, _amd, _rocm_smi, _apple, _intel):
        try:
            probe = find(machine)
        except Exception as error:  # whatever a driver does, the next one is asked
            logger.warning("Looking for %s hardware failed with %s", find.__name__.strip("_"), type(error).__name__)
            continue
        if probe is not None:
            return probe
    return SystemProbe(machine.memory(), ResidentServers(machine.serves_models))


def _nvidia(machine: Machine) -> Probe | None:
    return find_nvidia(machine.load_nvml, machine.memory(), machine.serves_models)


def _amd(machine: Machine) -> Probe | None:
    return find_amd(machine.sysfs, machine.memory(), machine.serves_models)


def _rocm_smi(machine: Machine) -> Probe | None:
    return find_rocm_smi(machine.find_executable("rocm-smi"), machine.run)


def _apple(machine: Machine) -> Probe | None:
    return find_apple(machine.platform, machine.architecture, machine.run)


def _intel(machine: Machine) -> Probe | None:
    return find_intel(machine.sysfs)
