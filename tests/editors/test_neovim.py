"""The real server, started by a real Neovim: a status line, answers as they come, a question to the person, the end."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from support.architectures import plain
from support.every_line import harbour
from support.fake_nvml import FakeNvml, Part, needs_compiler
from support.neovim import NONE_FOUND, Neovim, Running, installed, running
from support.stub_servers import Answer, OllamaStub
from support.ullage_server import appended, ullage, using
from ullage.contexts.making_room.memory_guard import CARRY_ON, COMPRESS_MORE, REDUCE, RESTORE

MIB = 2**20
WINDOW = 4096
TURNS = 14
ENDING_S = 20.0

pytestmark = pytest.mark.skipif(not installed(), reason=NONE_FOUND)
every_neovim = pytest.mark.parametrize("nvim", installed(), ids=str)


async def processes_below(editor: Running) -> list[psutil.Process]:
    found = psutil.Process(editor.process.pid).children(recursive=True)
    assert any("ullage" in " ".join(each.cmdline()) for each in found)
    return found


def all_end(processes: list[psutil.Process]) -> bool:
    """Whether they do in time, else they are made to; one that nobody has buried yet has ended too."""
    deadline = time.monotonic() + ENDING_S
    while any(map(lives, processes)) and time.monotonic() < deadline:
        time.sleep(0.02)
    left = [process for process in processes if lives(process)]
    for process in left:
        process.kill()
    return not left


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@every_neovim
async def test_an_answer_comes_piece_by_piece_and_the_status_line_follows(nvim: Neovim, tmp_path: Path) -> None:
    pause = asyncio.Event()
    async with harbour(tmp_path) as place:
        place.stub.answers.append(Answer(pieces=("Granite, ", "of course."), pause=pause))
        question = "Which stone lasts?"
        async with running(nvim, "talk.lua", place.folder, place.environment, question=question) as editor:
            assert await editor.report("piece") == "Granite, "
            pause.set()  # the rest of the answer was not there yet
            assert await editor.report("piece") == "of course."
            assert await editor.report("answer") == "Granite, of course."
            status = await editor.report("status")
            print(f"{nvim}: g:ullage_status is {status!r}")
            assert status.split(" ")[1:3] == ["/", "1,024"]
            assert await editor.ended() == 0


@asynccontextmanager
async def short_of_memory(root: Path, nvml: FakeNvml) -> AsyncIterator[tuple[Path, Mapping[str, str], OllamaStub]]:
    """A conversation of about half a window, on a card with room for all of it: folder, environment, model server."""
    folder = root / "harbour"
    folder.mkdir()
    (folder / "plan.md").write_text("# A harbour\n")
    async with OllamaStub(context_length=131_072, info=plain()) as stub:
        context = {"targetSize": WINDOW, "minSize": 512, "reserveOutput": 64, "vramBuffer": 350}
        settings = using(stub.url, "ollama", **context) | {"memory": {"pollSeconds": 0.5}}
        config = root / "home" / "config" / "ullage" / "config.yaml"
        config.parent.mkdir(parents=True)
        config.write_text(json.dumps(settings))  # JSON is YAML
        nvml.says(Part("A", total=24_000 * MIB, free=8_000 * MIB))
        environment = {name: nvml.environment[name] for name in ("LD_LIBRARY_PATH", "FAKE_NVML_STATE")}
        async with ullage(root / "home", settings, env=environment) as client:
            opened = await client.request("context/open", {"workspaceUri": folder.as_uri()})
            await client.request("context/chat", {"contextId": opened["id"], "text": "Load, please."})
            for _ in range(TURNS - 1):
                await appended(client, opened["id"], "Tell me of stone and tide. " * 6)
                await appended(client, opened["id"], "Stone stays and tides go. " * 6, role="assistant")
            assert await client.shut_down() == 0
        home = {"HOME": str(root / "home"), "XDG_CONFIG_HOME": str(root / "home" / "config")}
        yield folder, {**nvml.environment, **home, "ULLAGE_STORAGE": str(root / "home" / "storage")}, stub


@needs_compiler
@every_neovim
async def test_a_person_is_asked_when_memory_ran_short_and_has_it_back(nvim: Neovim, tmp_path: Path) -> None:
    nvml = FakeNvml(tmp_path)
    async with (
        short_of_memory(tmp_path, nvml) as (folder, environment, _),
        running(nvim, "question.lua", folder, environment, answer=RESTORE, event="undone") as editor,
    ):
        await editor.report("ready")
        nvml.says(Part("A", total=24_000 * MIB, free=0))
        asked = await editor.report("asked")
        print(f"{nvim}: {asked['question']} {asked['answers']}")
        assert re.match(r"Memory was nearly used up\. \d+ older messages left the window of “main”", asked["question"])
        assert asked["answers"] == [RESTORE, COMPRESS_MORE, REDUCE, CARRY_ON]
        assert await editor.report("messages") == 2 * TURNS
        assert await editor.ended() == 0


@every_neovim
async def test_leaving_the_editor_ends_the_server(nvim: Neovim, tmp_path: Path) -> None:
    end = tmp_path / "end"
    async with (
        harbour(tmp_path) as place,
        running(nvim, "stay.lua", place.folder, place.environment, until_there=str(end)) as editor,
    ):
        await editor.report("ready")
        started = await processes_below(editor)
        end.touch()
        assert await editor.ended() == 0
        assert await asyncio.to_thread(all_end, started)


@every_neovim
async def test_an_editor_that_is_killed_leaves_no_server_behind(nvim: Neovim, tmp_path: Path) -> None:
    async with (
        harbour(tmp_path) as place,
        running(nvim, "stay.lua", place.folder, place.environment, until_there=str(tmp_path / "never")) as editor,
    ):
        await editor.report("ready")
        started = await processes_below(editor)
        editor.process.kill()
        assert await editor.ended() == -signal.SIGKILL
        assert await asyncio.to_thread(all_end, started)
