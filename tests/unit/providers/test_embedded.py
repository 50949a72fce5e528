"""The embedded provider up to where a real engine is needed; what the engine does stands in tests/e2e."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from unittest.mock import AsyncMock

import pytest

from support.stub_servers import LlamaCppStub
from ullage.errors import InsufficientMemory, ModelUnavailable, ProviderUnavailable
from ullage.providers import embedded
from ullage.providers.base import Resized
from ullage.providers.embedded import EmbeddedOptions, EmbeddedProvider
from ullage.providers.engine_process import EngineOrder, EngineProcess, Listening, thread_count
from ullage.providers.llamacpp import LlamaCppProvider

ENGINE_THAT_TELLS_ITS_LIMIT = """
import resource, sys
from ullage.providers import embedded_engine

def start(order):
    print(resource.getrlimit(resource.RLIMIT_CORE), file=sys.stderr)
    raise MemoryError

embedded_engine.start = start
embedded_engine.main()
"""


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "engine_is_installed", lambda: True)


async def test_without_the_engine_a_person_is_told_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "engine_is_installed", lambda: False)
    provider = EmbeddedProvider(EmbeddedOptions(Path("tiny.gguf")))
    assert not await provider.probe()
    with pytest.raises(ProviderUnavailable, match="ullage install-model"):
        await provider.chat_template("tiny")


async def test_without_any_model_a_person_is_told_how_to_install_one(
    monkeypatch: pytest.MonkeyPatch, installed: None
) -> None:
    monkeypatch.setattr(embedded, "bundled_model", lambda: None)
    provider = EmbeddedProvider(EmbeddedOptions())
    with pytest.raises(ProviderUnavailable, match="ullage install-model"):
        await provider.models()
    with pytest.raises(ProviderUnavailable, match="ullage install-model"):
        await provider.chat_template("tiny")


async def test_a_missing_file_is_named_without_its_folder(installed: None, tmp_path: Path) -> None:
    provider = EmbeddedProvider(EmbeddedOptions(tmp_path / "gone.gguf"))
    with pytest.raises(ModelUnavailable, match=r"gone\.gguf") as caught:
        await provider.chat_template("gone")
    assert str(tmp_path) not in str(caught.value)


async def test_a_file_of_another_kind_is_no_model(installed: None, tmp_path: Path) -> None:
    (tmp_path / "notes.gguf").write_text("some notes")
    provider = EmbeddedProvider(EmbeddedOptions(tmp_path / "notes.gguf"))
    assert not await provider.probe()
    with pytest.raises(ModelUnavailable, match="no GGUF file"):
        await provider.chat_template("notes")


@pytest.mark.parametrize("name", ["gone.gguf", "folder", "no\0name.gguf", "x" * 300])
async def test_a_file_that_is_no_model_is_told_by_whoever_asks_for_models(
    installed: None, tmp_path: Path, name: str
) -> None:
    (tmp_path / "folder").mkdir()
    provider = EmbeddedProvider(EmbeddedOptions(tmp_path / name))
    assert not await provider.probe()
    with pytest.raises(ModelUnavailable, match=r"providers\.embedded\.model"):
        await provider.models()


async def test_a_models_size_is_its_files_whether_or_not_the_engine_runs(installed: None, tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    provider = EmbeddedProvider(EmbeddedOptions(tmp_path / "tiny.gguf"))
    async with LlamaCppStub(model="tiny", n_ctx=2048) as stub:
        engine = SimpleNamespace(is_running=True, listening=AsyncMock(return_value=Listening(stub.url, "a key")))
        provider._engine = cast(EngineProcess, engine)
        provider._server = LlamaCppProvider(stub.url)
        [info] = await provider.models()
        await provider._server.close()
    assert (info.name, info.loaded, info.allocated_context, info.size_bytes) == ("tiny", True, 2048, 4)


async def test_it_has_one_model_named_by_its_file(installed: None, tmp_path: Path) -> None:
    (tmp_path / "tiny.Q4.gguf").write_bytes(b"GGUF")
    provider = EmbeddedProvider(EmbeddedOptions(tmp_path / "tiny.Q4.gguf"))
    assert [(info.name, info.loaded, info.size_bytes) for info in await provider.models()] == [("tiny.Q4", False, 4)]
    assert await provider.model_file("tiny.Q4") == tmp_path / "tiny.Q4.gguf"
    with pytest.raises(ModelUnavailable, match=r"only tiny\.Q4"):
        await provider.chat_template("another")


async def test_a_resting_engine_has_no_window_but_a_planned_one(installed: None, tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    provider = EmbeddedProvider(EmbeddedOptions(tmp_path / "tiny.gguf", context_size=4096))
    assert await provider.window("tiny") is None
    assert provider.planned_window("tiny") == 4096
    assert provider.engine is None


def test_by_default_half_of_the_processors_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    assert (thread_count(0), thread_count(5)) == (3, 5)


def test_one_processor_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert thread_count(0) == 1


@pytest.mark.parametrize(("asked", "given"), [(1, 256), (1000, 768), (1024, 1024), (2**31 - 1, 2**31 - 256)])
async def test_a_resting_engine_remembers_its_new_size_in_whole_cells(
    installed: None, tmp_path: Path, asked: int, given: int
) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    provider = EmbeddedProvider(EmbeddedOptions(tmp_path / "tiny.gguf"))
    assert await provider.resize("tiny", asked) == Resized(given, reloaded=False)
    assert provider.planned_window("tiny") == given
    assert await provider.footprint("tiny") is None
    assert await provider.unload("tiny") == 0


@pytest.mark.parametrize(("runs", "told"), [(True, "it keeps 512 tokens"), (False, "it is no longer loaded")])
async def test_a_size_that_does_not_fit_is_refused_with_what_is_left(
    installed: None, tmp_path: Path, runs: bool, told: str
) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    provider = EmbeddedProvider(EmbeddedOptions(tmp_path / "tiny.gguf", context_size=512))
    engine = SimpleNamespace(is_running=True, order=EngineOrder("tiny.gguf", "tiny", 512, "q8_0", 1))

    async def restart(_: EngineOrder) -> None:
        engine.is_running = runs
        raise InsufficientMemory("Too little memory. Choose a smaller size.")

    engine.restart = restart
    provider._engine = cast(EngineProcess, engine)
    with pytest.raises(InsufficientMemory, match=rf"with 65,536 tokens.*{told}"):
        await provider.resize("tiny", 65_536)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
def test_an_engine_that_crashes_leaves_no_image_of_its_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENGINE_THAT_TELLS_ITS_LIMIT], input="{}\n", capture_output=True, text=True, check=True
    )
    assert done.stderr == "(0, 0)\n"
