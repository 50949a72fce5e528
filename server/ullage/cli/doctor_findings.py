"""What `ullage doctor` found, and what of it is wrong: sentences that say how to mend it. Looks nothing up itself."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Literal

from attrs import Factory, frozen

from ullage.cli.figures import size_text
from ullage.cli.framing import Json
from ullage.cli.install_model import ENGINE
from ullage.settings import Settings
from ullage.store.survey import Survey

Part = Literal["server", "hardware", "models", "storage", "versions", "settings"]

LITTLE_SPACE_BYTES = 256 * 2**20
MEGABYTE = 2**20
SHOWN_NAMES = 3

DRIVERS = {
    "nvidia": "Run `nvidia-smi`; where that fails too, restart the machine or install the driver anew.",
    "amd": "Look whether `rocm-smi` works, and whether you may read /sys/class/drm.",
    "apple": "Look whether `sysctl hw.memsize` works in a terminal.",
    "intel": "Look whether you may read /sys/class/drm, and whether the xe or i915 driver is loaded.",
    "cpu": "Look whether you may read /proc and /sys.",
}
START_ONE = (
    "Start one, for example with `ollama serve` or `llama-server -m <model file>`, or install the small model with"
    " `ullage install-model`."
)


@frozen
class Trouble:
    """Something that is wrong, and how to mend it, in a sentence or two."""

    part: Part
    text: str


@frozen
class ModelServer:
    """A model server that was tried. ``setting`` is what names it, where a person's own setting does."""

    provider: str
    address: str
    answers: bool
    setting: str | None = None


@frozen
class SettingTrouble:
    """A setting that is not in force. ``place`` is the file or the variable to correct."""

    path: str
    source: str
    reason: str
    place: str


@frozen
class Embedded:
    """The engine's version and the model file's name; None: not installed."""

    engine: str | None
    model: str | None


@frozen
class Findings:
    """``memory``, ``models`` and ``contexts`` are the protocol's values, None where the server did not tell; ``heard``
    are the sentences of those who refused to."""

    settings: Settings = Settings()
    memory: Json | None = None
    servers: tuple[ModelServer, ...] = ()
    models: tuple[Json, ...] | None = None
    contexts: tuple[Json, ...] = ()
    embedded: Embedded = Embedded(None, None)
    storage: Survey | None = None
    versions: dict[str, str | None] = Factory(dict)
    setting_troubles: tuple[SettingTrouble, ...] = ()
    heard: tuple[Trouble, ...] = ()

    @property
    def low_watermark_bytes(self) -> int:
        """Below it the server calls memory low."""
        buffer = self.settings.context.vram_buffer
        return (self.settings.memory.low_watermark_mb * MEGABYTE) or buffer * MEGABYTE // 2


def troubles(findings: Findings) -> list[Trouble]:
    """Everything that is wrong, each thing once, in the order of the report."""
    found = (
        *findings.heard,
        *_of_hardware(findings),
        *_of_models(findings),
        *_of_storage(findings.storage),
        *_of_versions(findings),
        *_of_settings(findings),
    )
    return list({trouble.text: trouble for trouble in found}.values())


def unreadable(memory: Json) -> list[str]:
    """What could not be read of the hardware."""
    figures = ("total", "used", "available")
    devices = [
        f"{device['name']}: {', '.join(missing)}"
        for device in memory["devices"]
        if (missing := [figure for figure in figures if device[figure] is None])
    ]
    return devices or [figure for figure in figures if memory[figure] is None]


def to_json(findings: Findings) -> Json:
    """The report as `ullage doctor --json` writes it."""
    found = troubles(findings)
    memory, storage = findings.memory, findings.storage
    return {
        "ok": not found,
        "hardware": None if memory is None else {"memory": memory, "unreadable": unreadable(memory)},
        "servers": [
            {"provider": each.provider, "address": each.address, "answers": each.answers} for each in findings.servers
        ],
        "models": None if findings.models is None else list(findings.models),
        "embedded": {"engine": findings.embedded.engine, "model": findings.embedded.model},
        "storage": None if storage is None else _storage_json(storage),
        "versions": findings.versions,
        "settings": [
            {"path": each.path, "source": each.source, "reason": each.reason} for each in findings.setting_troubles
        ],
        "problems": [{"part": each.part, "text": each.text} for each in found],
    }


def _storage_json(storage: Survey) -> Json:
    return {
        "folder": str(storage.root),
        "bytes": storage.bytes,
        "freeBytes": storage.free_bytes,
        "exposed": list(storage.exposed),
        "setAside": [{"file": each.name, "bytes": each.bytes} for each in storage.set_aside],
        "writers": [
            {
                "contextId": each.context_id,
                "pid": each.holder.pid,
                "client": each.holder.client,
                "since": each.holder.since,
                "alive": each.alive,
            }
            for each in storage.writers
        ],
    }


def _of_hardware(findings: Findings) -> Iterator[Trouble]:
    memory = findings.memory
    if memory is None:
        return
    advice = DRIVERS.get(memory["kind"], "")
    lost = [device["name"] for device in memory["devices"] if device["total"] is None]
    for name in lost:
        yield Trouble("hardware", f"The memory of {name} can't be read. {advice}".strip())
    if memory["total"] is None and not lost:
        yield Trouble("hardware", f"The memory of this machine can't be read. {advice}".strip())
    available = memory["available"]
    if available is not None and available < findings.low_watermark_bytes:
        yield Trouble(
            "hardware",
            f"Only {size_text(available)} of memory are available, less than half of the buffer that Ullage keeps"
            " free, or than the watermark that you set. Close what uses it, or unload a model.",
        )


def _of_models(findings: Findings) -> Iterator[Trouble]:
    for server in findings.servers:
        if server.setting is not None and not server.answers:
            yield Trouble("models", _missing(server))
    if not any(server.answers for server in findings.servers):
        yield Trouble("models", f"No model server answers. {START_ONE}")
    elif findings.models is not None and not findings.models:
        yield Trouble("models", "A model server answers, but none offers a model. Load one, as with `ollama pull`.")


def _missing(server: ModelServer) -> str:
    if server.provider == "embedded":
        return (
            f"The embedded engine can't be used, though {server.setting} asks for it ({server.address}). Run"
            " `ullage install-model`, or name a GGUF file that is there in providers.embedded.model."
        )
    return (
        f"{server.provider} at {server.address} does not answer, though {server.setting} names it. Start it, or correct"
        " the setting."
    )


def _of_storage(storage: Survey | None) -> Iterator[Trouble]:
    if storage is None:
        return
    if storage.exposed:
        named = ", ".join(storage.exposed[:SHOWN_NAMES])
        more = f" and {len(storage.exposed) - SHOWN_NAMES} more" if len(storage.exposed) > SHOWN_NAMES else ""
        yield Trouble(
            "storage",
            f"Other people on this machine may look into the storage folder ({named}{more}). Run"
            f" `chmod -R go= {shlex.quote(str(storage.root))}`.",
        )
    if storage.free_bytes is not None and storage.free_bytes < LITTLE_SPACE_BYTES:
        free = size_text(storage.free_bytes)
        yield Trouble("storage", f"Only {free} are free where conversations are kept. Make room on that disk.")
    for each in storage.set_aside:
        yield Trouble(
            "storage",
            f"A damaged database was set aside as {each.name} ({size_text(each.bytes)}). Delete that file when you no"
            " longer need what it holds.",
        )


def _of_versions(findings: Findings) -> Iterator[Trouble]:
    package, _, wanted = ENGINE.requirement.partition("==")
    installed = findings.embedded.engine
    if installed is not None and installed != wanted:
        yield Trouble(
            "versions",
            f"{package} {installed} is installed, and Ullage is made for {wanted}. Run"
            f" `pip install {ENGINE.requirement}` in its environment.",
        )


def _of_settings(findings: Findings) -> Iterator[Trouble]:
    for each in findings.setting_troubles:
        yield Trouble("settings", f"{each.path} ({each.source}): {each.reason}. Correct it in {each.place}.")
