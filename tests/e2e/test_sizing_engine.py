"""The size that memory allows, against what the real engine loads under a limit that is made smaller step by step.

The limit is on the address space of the engine's process. What its libraries, threads and other buffers take of that is
no part of what sizing is about, and does not depend on the context: it is measured once, as the smallest limit under
which one size loads, less the weights, the cache and the compute buffer that the engine prints for that size. Each
thread's arena would reserve another 64 MB of address space without use; the engine is held to a single one. Caches come
in cells of 256 tokens: where one of these is more than a twentieth of the context, the size may be one cell less.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from attrs import define, evolve, frozen

from support.engine import needs_engine
from support.sized import FakePerson
from support.ullage_server import workspace
from ullage.app.configuration import Configuration
from ullage.app.parts import ClientSide, Parts, assemble
from ullage.contexts.making_room.progress import untold
from ullage.errors import UllageError
from ullage.memory.readings import DeviceReading, MemoryReading
from ullage.providers.base import Footprint
from ullage.providers.embedded import CELLS, EmbeddedOptions, EmbeddedProvider
from ullage.settings import CacheType
from ullage.store.folder import open_folder

pytestmark = [*needs_engine, pytest.mark.slow, pytest.mark.timeout(300)]

MODEL = "SmolLM2-135M-Instruct.Q4_1"
MIB = 2**20
MADE_FOR = 8192
CALIBRATED_AT = 2048
PRECISION_BYTES = MIB // 4
NOISE_BYTES = MIB // 2
"""By so much the smallest limit differs from one start to the next."""
SHARES = (1.0, 0.93, 0.86, 0.79, 0.72, 0.65, 0.55, 0.45, 0.35, 0.25)
"""Of the cache of the largest context: what the limit leaves for it."""


@frozen
class Step:
    limit_bytes: int
    chosen: int
    largest: int

    def line(self) -> str:
        share = self.chosen / self.largest
        return f"{self.limit_bytes / MIB:9.1f} {self.chosen:8,} {self.largest:8,} {share:7.1%}"


@define
class LimitedMemory:
    """Readings of a machine that has as much memory as the limit leaves the model, less what the model takes of it."""

    provider: EmbeddedProvider
    overhead_bytes: int
    limit_bytes: int = 0
    last: MemoryReading | None = None

    async def read(self) -> MemoryReading:
        total = self.limit_bytes - self.overhead_bytes
        footprint = await self.provider.footprint(MODEL)
        used = _taken(footprint) if footprint else 0
        device = DeviceReading("limited", total, used, total - used)
        self.last = MemoryReading("cpu", total, used, total - used, used, (device,), 0)
        return self.last


def _taken(footprint: Footprint) -> int:
    assert footprint.weights_bytes is not None
    assert footprint.cache_bytes is not None
    assert footprint.compute_bytes is not None
    return footprint.weights_bytes + footprint.cache_bytes + footprint.compute_bytes


async def _loaded(tokens: int, cache_type: CacheType, limit_bytes: int = 0) -> Footprint | None:
    """What an engine of its own prints once it answers; None where the limit is too small for that, whichever part of
    the engine finds that out."""
    provider = EmbeddedProvider(EmbeddedOptions(None, tokens, cache_type, 1, limit_bytes))
    try:
        await provider.chat_template(MODEL)
        return await provider.footprint(MODEL)
    except UllageError:
        return None
    finally:
        await provider.close()


async def _overhead(cache_type: CacheType) -> int:
    """Bytes of address space beside weights, cache and compute buffer."""
    footprint = await _loaded(CALIBRATED_AT, cache_type)
    assert footprint is not None
    taken = _taken(footprint)
    low, high = 0, 1024 * MIB
    while high - low > PRECISION_BYTES:
        middle = (low + high) // 2
        if await _loaded(CALIBRATED_AT, cache_type, taken + middle):
            high = middle
        else:
            low = middle
    return high + NOISE_BYTES


async def _largest_that_loads(beginning: int, cache_type: CacheType, limit_bytes: int) -> int:
    tokens = beginning
    while tokens < MADE_FOR and await _loaded(tokens + CELLS, cache_type, limit_bytes):
        tokens += CELLS
    return tokens


@pytest.fixture(autouse=True)
def one_arena_and_a_folder_for_dumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both are inherited by the engines. One that is refused memory may abort, and leave its memory where it runs."""
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    monkeypatch.chdir(tmp_path)
    yield
    for dump in tmp_path.glob("core*"):
        dump.unlink()


@pytest.fixture(params=["f16", "q8_0"])
async def parts(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Parts, CacheType]]:
    """Everything below the protocol, with the embedded engine alone, asked for as much as fits to the last byte."""
    configuration = Configuration()
    context = {"targetSize": 0, "minSize": CELLS, "vramBuffer": 0, "kvQuantization": request.param}
    providers = {"default": "embedded", "embedded": {"threads": 1}}
    configuration.start({"providers": providers, "context": context})
    client = ClientSide("a test", lambda *_: None, FakePerson(), untold)
    made = assemble(configuration, open_folder(str(tmp_path / "store")), client)
    yield made, request.param
    await made.close()


async def test_the_chosen_context_loads_and_is_close_to_the_largest_that_does(parts: tuple[Parts, CacheType]) -> None:
    made, cache_type = parts
    overhead = await _overhead(cache_type)
    whole = await _loaded(MADE_FOR, cache_type)
    assert whole is not None
    assert whole.cache_bytes is not None
    context = await made.directory.open(workspace())
    active = await made.sessions.models.find(MODEL)
    assert isinstance(active.provider, EmbeddedProvider)
    made.sizes.reader = memory = LimitedMemory(active.provider, overhead, 2048 * MIB)
    await made.sizes.auto_size(context.id, enabled=True)
    await active.provider.chat_template(MODEL)
    steps = []
    for share in SHARES:
        limit = overhead + _taken(whole) - round((1 - share) * whole.cache_bytes)
        assert active.provider.engine is not None
        active.provider.engine.order = evolve(active.provider.engine.order, address_space_bytes=limit)
        memory.limit_bytes = limit
        chosen = await _sized(made, context.id)
        assert await active.provider.window(MODEL) == chosen
        steps.append(Step(limit, chosen, await _largest_that_loads(chosen, cache_type, limit)))
    print(f"\n{cache_type}: {overhead / MIB:.1f} MiB of overhead\nlimit MiB   chosen  largest   share")
    print("\n".join(step.line() for step in steps))
    assert all(step.largest - step.chosen <= max(0.05 * step.largest, CELLS) for step in steps)


async def _sized(made: Parts, context_id: str) -> int:
    """The size by the compute buffer of the size before, then by the one that is measured at this size; both are
    loaded. Asking until nothing changes might not end: a cell more may need more of a compute buffer than it leaves."""
    await made.sizes.auto_size(context_id, enabled=True)
    return (await made.sizes.auto_size(context_id, enabled=True)).tokens
