"""The life of the embedded engine's process: started once for all who ask, watched, restarted after a crash, ended."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import sys
from contextlib import suppress
from pathlib import Path

import orjson
from attrs import Factory, asdict, define, field, frozen

from ullage.errors import ModelUnavailable, ProviderError, ProviderUnavailable, UllageError
from ullage.settings import CacheType

INSTALL_HINT = "Install the small model with `ullage install-model`, or start a model server such as Ollama."
LOADING_TIMEOUT_S = 300.0
ENDING_TIMEOUT_S = 1.0
STDERR_TAIL_BYTES = 8192

_UNREADABLE_MODEL = re.compile(rb"failed to load model")
_NO_MEMORY = re.compile(rb"failed to allocate|out of memory|unable to allocate|bad_alloc")


@frozen
class EngineOrder:
    """What the engine is to load. ``context_size`` 0: the model's own; ``threads`` 0: half of the processors.

    ``cache_type`` holds for keys and values alike; quantized values need flash attention, which the engine then uses.
    """

    model: str
    name: str
    context_size: int
    cache_type: CacheType
    threads: int
    api_key: str = field(factory=lambda: secrets.token_urlsafe(32), repr=False)


@frozen
class Listening:
    """A started engine's address and the key that it asks for."""

    url: str
    api_key: str = field(repr=False)


@define
class _Running:
    process: asyncio.subprocess.Process
    listening: Listening
    draining: asyncio.Task[None]


@define
class EngineProcess:
    """Starts the engine at the first need. All methods belong to one event loop."""

    order: EngineOrder
    _running: _Running | None = None
    _starting: asyncio.Task[Listening] | None = None
    _tail: bytearray = Factory(bytearray)

    @property
    def is_running(self) -> bool:
        return self._running is not None and self._running.process.returncode is None

    @property
    def pid(self) -> int | None:
        return self._running.process.pid if self._running is not None and self.is_running else None

    def stderr_tail(self) -> str:
        """The last that the engine printed, for a person who looks for a cause; it may hold paths."""
        return self._tail.decode(errors="replace")

    async def listening(self) -> Listening:
        """The engine's address; starts it where it isn't running. Callers at the same time share one start, and one
        that is cancelled leaves it to the others. Raises ``ProviderUnavailable`` or ``ModelUnavailable``."""
        if self._running is not None and self.is_running:
            return self._running.listening
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
            self._starting.add_done_callback(self._started)
        starting = self._starting
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            if starting.cancelled():
                raise ProviderUnavailable("The embedded engine was ended while it was starting. Try again.") from None
            raise

    async def has_ended(self, within_s: float) -> bool:
        """Whether the process is gone, or goes within this time."""
        if self._running is None:
            return True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._running.process.wait(), within_s)
        return not self.is_running

    async def close(self) -> None:
        """End the process: by the end of its input, and by force where that does not do it within a second."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        await self._let_go()

    def _started(self, task: asyncio.Task[Listening]) -> None:
        self._starting = None
        if not task.cancelled():
            task.exception()  # read, so that a failure that nobody waited for is not reported as forgotten

    async def _start(self) -> Listening:
        await self._let_go()  # of one that has crashed
        self._tail.clear()
        process = await _spawn()
        draining = asyncio.create_task(self._drain(process))
        answer: dict[str, str] = {}
        try:
            with suppress(TimeoutError, OSError, ValueError):
                answer = await asyncio.wait_for(_answer_of(process, self.order), LOADING_TIMEOUT_S)
        finally:
            if "address" not in answer:
                await _end(process)
                await draining
        if "address" not in answer:
            raise self._failure(answer.get("error"))
        listening = Listening(answer["address"], self.order.api_key)
        self._running = _Running(process, listening, draining)
        return listening

    async def _let_go(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            await _end(running.process)
            await running.draining

    async def _drain(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while part := await process.stderr.read(4096):
            self._tail += part
            del self._tail[:-STDERR_TAIL_BYTES]

    def _failure(self, error: str | None) -> UllageError:
        if error == "not installed":
            return ProviderUnavailable(f"The embedded engine is not installed. {INSTALL_HINT}")
        if _NO_MEMORY.search(self._tail):
            return ProviderUnavailable(
                f"There is too little memory to load {self.order.name} with {self.order.context_size} tokens. "
                "Choose a smaller context size or model in the settings."
            )
        if _UNREADABLE_MODEL.search(self._tail):
            return ModelUnavailable(f"The embedded engine can't read the model {self.order.name}. Choose another file.")
        return ProviderUnavailable(
            f"The embedded engine could not load {self.order.name}. Try again, or choose another."
        )


def crashed(name: str) -> ProviderError:
    return ProviderError(f"The embedded engine ended while it was working ({name}). Try again: that starts it anew.")


def thread_count(asked: int) -> int:
    """What was asked for; 0: half of the processors that this process may use, at least one."""
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return asked or max(usable // 2, 1)


def is_gguf(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"GGUF"
    except (OSError, ValueError):  # the latter for a name that no file can have
        return False


async def _spawn() -> asyncio.subprocess.Process:
    """``-P`` keeps the working folder off the module path: an editor may have started us inside a cloned repository."""
    pipe = asyncio.subprocess.PIPE
    module = "ullage.providers.embedded_engine"
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", module, stdin=pipe, stdout=pipe, stderr=pipe
    )


async def _answer_of(process: asyncio.subprocess.Process, order: EngineOrder) -> dict[str, str]:
    """Give the order and wait for the answer; an engine that ended without one answers nothing."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(orjson.dumps({**asdict(order), "threads": thread_count(order.threads)}) + b"\n")
    await process.stdin.drain()
    line = await process.stdout.readline()
    answer = orjson.loads(line) if line else {}
    return answer if isinstance(answer, dict) else {}


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), ENDING_TIMEOUT_S)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
