"""Which processes are model servers, and what they hold.

A process is one by its program's name (`PROGRAMS`: the beginning of it, in any case), or, where the program is an
interpreter, by the module or script that it runs (`MODULES`). The arguments are compared and forgotten: they
never leave this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

PROGRAMS = (
    "ollama",
    "llama-server",
    "llama-cli",
    "llamafile",
    "koboldcpp",
    "lm-studio",
    "lm studio",
    "lmstudio",
    "llmster",  # LM Studio without its window
    "vllm",  # its workers name themselves VLLM::EngineCore
    "sglang",
    "text-generation",
    "local-ai",
    "mlx_lm",
)
INTERPRETERS = ("python", "node")
MODULES = (
    "ullage.providers.embedded_engine",
    "vllm",
    "sglang",
    "llama_cpp.server",
    "mlx_lm",
    "koboldcpp",
)
LM_STUDIO_FOLDER = ".lmstudio/"  # its workers run in a node of its own

SEARCH_EVERY_MS = 30_000
"""All processes are looked through this seldom, since that costs milliseconds; known servers are asked every time."""

Serves = Callable[[int], bool | None]
"""Whether the process with this id is a model server; None: it can't be told."""


def is_model_server(name: str, arguments: Sequence[str] | None) -> bool | None:
    """By the program's name; an interpreter by its ``arguments`` (None: they can't be read, nor can it be told)."""
    program = name.lower()
    if program.startswith(PROGRAMS):
        return True
    if not program.startswith(INTERPRETERS):
        return False
    if arguments is None:
        return None
    target = _run_by(arguments).lower().replace("\\", "/")
    return target.rpartition("/")[2].startswith(MODULES) or LM_STUDIO_FOLDER in target


def serves_models(pid: int) -> bool | None:
    """None where the process is gone, or is of another container, which numbers its processes differently."""
    import psutil  # noqa: PLC0415  # needed with the first reading, not for starting up

    try:
        process = psutil.Process(pid)
        name = process.name()
        arguments = process.cmdline() if name.lower().startswith(INTERPRETERS) else ()
    except (psutil.Error, OSError, OverflowError, ValueError):
        return None
    return is_model_server(name, arguments)


def held_by_servers(usage: Mapping[int, int | None], serves: Serves) -> int | None:
    """The bytes that model servers hold, of ``usage`` by process id. None where a process can't be told apart, or a
    server's own bytes can't be told."""
    held = 0
    for pid, amount in usage.items():
        serving = serves(pid)
        if serving is None or (serving and amount is None):
            return None
        held += amount if serving and amount is not None else 0
    return held


class ResidentServers:
    """The main memory that model servers hold; weights mapped from a file count as far as they are resident."""

    def __init__(self, serves: Serves = serves_models) -> None:
        self._serves = serves
        self._servers: tuple[int, ...] = ()
        self._searched_at: int | None = None

    def read(self, at_ms: int) -> int | None:
        """Bytes; 0 where no model server runs, None where processes can't be listed."""
        if self._searched_at is None or not 0 <= at_ms - self._searched_at < SEARCH_EVERY_MS:
            found = self._search()
            if found is None:
                return None
            self._servers, self._searched_at = found, at_ms
        return sum(_resident_bytes(pid) for pid in self._servers if self._serves(pid))

    def _search(self) -> tuple[int, ...] | None:
        import psutil  # noqa: PLC0415  # needed with the first reading, not for starting up

        try:
            return tuple(pid for pid in psutil.pids() if self._serves(pid))
        except (psutil.Error, OSError):
            return None


def _run_by(arguments: Sequence[str]) -> str:
    """The module or script that an interpreter runs; empty where there is none."""
    following = iter(arguments[1:])
    for argument in following:
        if argument == "-m":
            return next(following, "")
        if not argument.startswith("-"):
            return argument
    return ""


def _resident_bytes(pid: int) -> int:
    """0 for a process that has ended or can't be asked."""
    import psutil  # noqa: PLC0415  # needed with the first reading, not for starting up

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except (psutil.Error, OSError, OverflowError):
        return 0
