"""The life of the embedded engine's process: started once for all who ask, watched, restarted after a crash, ended."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path

import orjson
from attrs import Factory, asdict, define, field, frozen

from ullage.errors import InsufficientMemory, ModelUnavailable, ProviderError, ProviderUnavailable, UllageError
from ullage.providers.base import Footprint
from ullage.providers.engine_log import EngineLog
from ullage.settings import CacheType

INSTALL_HINT = "Install the small model with `ullage install-model`, or start a model server such as Ollama."
LOADING_TIMEOUT_S = 300.0
ENDING_TIMEOUT_S = 1.0
ENDING_NOTICE_S = 0.2
LOG_TIMEOUT_S = 1.0
"""The engine prints on a thread of its own: how long its lines may come after its answer."""

_UNREADABLE_MODEL = re.compile(rb"failed to load model")
_NO_MEMORY = re.compile(
    rb"failed to allocate|out of memory|unable to allocate|bad_alloc|insufficient memory|Cannot allocate memory"
    rb"|Thread creation failed"
)


@frozen
class EngineOrder:
    """What the engine is to load. ``context_size`` 0: the model's own; ``threads`` 0: half of the processors.

    ``cache_type`` holds for keys and values alike; quantized values need flash attention, which the engine then uses.
    ``address_space_bytes`` is a limit for the whole process, its libraries included; 0: none.
    """

    model: str
    name: str
    context_size: int
    cache_type: CacheType
    threads: int
    address_space_bytes: int = 0
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
    log: EngineLog
    draining: asyncio.Task[None]


@define
class EngineProcess:
    """Starts the engine at the first need. All methods belong to one event loop."""

    order: EngineOrder
    _running: _Running | None = None
    _starting: asyncio.Task[Listening] | None = None
    _log: EngineLog = Factory(EngineLog)

    @property
    def is_running(self) -> bool:
        return self._running is not None and self._running.process.returncode is None

    @property
    def pid(self) -> int | None:
        return self._running.process.pid if self._running is not None and self.is_running else None

    def stderr_tail(self) -> str:
        """The last that the engine printed, for a person who looks for a cause; it may hold paths."""
        return self._log.tail.decode(errors="replace")

    async def listening(self) -> Listening:
        """The engine's address; starts it where it isn't running. Callers at the same time share one start, and one
        that is cancelled leaves it to the others. Raises ``ProviderUnavailable``, ``ModelUnavailable`` or
        ``InsufficientMemory``."""
        if self._running is not None and self.is_running:
            return self._running.listening
        if self._starting is None:
            self._begin(self._start())
        return await self._answer()

    async def restart(self, order: EngineOrder) -> Listening:
        """End the engine and start it with another order. Where that fails, it is started with the order before, and
        the failure is raised; where that fails too, this is raised, and the next need starts it with the order before.
        Who stops waiting leaves the rest to happen."""
        if self._starting is not None:
            await asyncio.wait([self._starting])
        failures: list[UllageError] = []
        self._begin(self._change(order, failures))
        listening = await self._answer()
        if failures:
            raise failures[0]
        return listening

    async def footprint(self) -> Footprint | None:
        """What the running engine has allocated, as it printed it; None where it rests or prints otherwise."""
        running = self._running
        if running is None or not self.is_running:
            return None
        with suppress(TimeoutError):
            await asyncio.wait_for(running.log.listening.wait(), LOG_TIMEOUT_S)
        return running.log.footprint(await asyncio.to_thread(_size_of, self.order.model))

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

    def _begin(self, start: Coroutine[None, None, Listening]) -> None:
        self._starting = asyncio.create_task(start)
        self._starting.add_done_callback(self._started)

    async def _answer(self) -> Listening:
        """What the start that is under way comes to."""
        starting = self._starting
        assert starting is not None
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            if starting.cancelled():
                raise ProviderUnavailable("The embedded engine was ended while it was starting. Try again.") from None
            raise

    def _started(self, task: asyncio.Task[Listening]) -> None:
        self._starting = None
        if not task.cancelled():
            task.exception()  # read, so that a failure that nobody waited for is not reported as forgotten

    async def _change(self, order: EngineOrder, failures: list[UllageError]) -> Listening:
        former, self.order = self.order, order
        try:
            return await self._start()
        except UllageError as failure:
            failures.append(failure)
            self.order = former
            return await self._start()
        except asyncio.CancelledError:
            self.order = former
            raise

    async def _start(self) -> Listening:
        await self._let_go()  # of one that has crashed, or is replaced
        log = self._log = EngineLog()
        process = await _spawn()
        draining = asyncio.create_task(_drain(process, log))
        answer: dict[str, str] = {}
        ended_by: int | None = None
        try:
            with suppress(TimeoutError, OSError, ValueError):
                answer = await asyncio.wait_for(_answer_of(process, self.order), LOADING_TIMEOUT_S)
            if not answer:
                ended_by = await _ended_by_itself(process)
        finally:
            if "address" not in answer:
                await _end(process)
                await draining
        if "address" not in answer:
            raise self._failure(answer.get("error"), ended_by)
        listening = Listening(answer["address"], self.order.api_key)
        self._running = _Running(process, listening, log, draining)
        return listening

    async def _let_go(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            await _end(running.process)
            await running.draining

    def _failure(self, error: str | None, ended_by: int | None) -> UllageError:
        """``ended_by`` is the process's own exit status. A system that runs out of memory kills without a word."""
        if error == "not installed":
            return ProviderUnavailable(f"The embedded engine is not installed. {INSTALL_HINT}")
        killed = sys.platform != "win32" and ended_by == -signal.SIGKILL
        if killed or error == "MemoryError" or _NO_MEMORY.search(self._log.tail):
            return InsufficientMemory(
                f"There is too little memory to load {self.order.name} with {size_in_words(self.order.context_size)}. "
                "Choose a smaller context size or model in the settings."
            )
        if _UNREADABLE_MODEL.search(self._log.tail):
            return ModelUnavailable(f"The embedded engine can't read the model {self.order.name}. Choose another file.")
        return ProviderUnavailable(
            f"The embedded engine could not load {self.order.name}. Try again, or choose another."
        )


def size_in_words(context_size: int) -> str:
    return f"{context_size:,} tokens" if context_size else "the size that it was made for"


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


def _size_of(file: str) -> int | None:
    try:
        return Path(file).stat().st_size
    except OSError:
        return None


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


async def _drain(process: asyncio.subprocess.Process, log: EngineLog) -> None:
    assert process.stderr is not None
    while part := await process.stderr.read(4096):
        log.take(part)
    log.end()


async def _ended_by_itself(process: asyncio.subprocess.Process) -> int | None:
    """The exit status of a process whose output has ended; None where it goes on."""
    with suppress(TimeoutError):
        return await asyncio.wait_for(process.wait(), ENDING_NOTICE_S)
    return None


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), ENDING_TIMEOUT_S)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
