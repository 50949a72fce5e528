"""The guard through the real server: a card that fills up, a conversation that is cleared, and the ways back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from support.architectures import plain
from support.fake_nvml import GB, FakeNvml, Part, needs_compiler
from support.raw_client import RawClient
from support.sized import TOKEN_BYTES
from support.stub_servers import OllamaStub
from support.ullage_server import opened, ullage, using, window_of

pytestmark = needs_compiler

WINDOW = 8192
CARD_BYTES = 16 * GB
COMPUTE_BYTES = 352 * 2**20
BUFFER_MB = 1024
TURNS = 12
WORDS = "word" * 120
"""One word: the stub counts no more tokens than we do, and refuses nothing that we think fits."""

PATIENCE_S = 30.0
WAYS = ["Restore", "Compress more", "Reduce the size", "Carry on"]


@define(eq=False)
class Ollama(OllamaStub):
    """Its one model takes 1 GB of the card, its cache what the size asks for, and computing its part. Of the rest
    others take ``others``."""

    card: FakeNvml = field(kw_only=True)
    others: int = field(default=0, kw_only=True)

    async def _load(self, body: Any, exchange: Any) -> bool:
        loaded = await OllamaStub._load(self, body, exchange)
        self.show()
        return loaded

    def show(self) -> None:
        self.size = self.size_vram = GB + COMPUTE_BYTES + (self.loaded_size or 0) * TOKEN_BYTES
        taken = self.size if self.loaded_size else 0
        self.card.says(Part("A", total=CARD_BYTES, free=max(CARD_BYTES - self.others - taken, 0)))


@define
class Machine:
    server: Ollama
    client: RawClient
    context_id: str

    async def usage(self) -> dict[str, Any]:
        status = await self.client.request("context/status", {"contextId": self.context_id})
        return dict(status["usage"])

    async def press(self, value: float) -> None:
        """Others take as much of the card as brings the gauge to ``value``."""
        usage = await self.usage()
        room = round((usage["tokens"] + usage["reserved"]) / value) * TOKEN_BYTES
        self.server.others = CARD_BYTES - GB - COMPUTE_BYTES - BUFFER_MB * 2**20 - room
        self.server.show()

    async def window(self) -> list[str]:
        return await window_of(self.client, self.context_id)

    async def operations(self) -> list[tuple[str, str]]:
        """What was done to the context but for opening and saying: kind and origin."""
        page = await self.client.request("context/history", {"contextIds": [self.context_id]})
        done = [(each["kind"], each["origin"]) for each in page["operations"]]
        return [each for each in done if each[0] not in ("open", "append", "chat", "update")]

    async def asked(self) -> dict[str, Any]:
        """The question to the person."""
        return await self.client.server_request("window/showMessageRequest", timeout=PATIENCE_S)

    async def until(self, kind: str) -> dict[str, Any]:
        """The detail of the next event of this kind."""
        while True:
            params = await self.client.notification("context/event", timeout=PATIENCE_S)
            if params["kind"] == kind:
                return dict(params["detail"])


@asynccontextmanager
async def machine(folder: Path, guard: dict[str, bool] | None = None, **context: Any) -> AsyncIterator[Machine]:
    """A card with plenty of memory, a loaded model, and a conversation that takes half of its window."""
    nvml = FakeNvml(folder)
    nvml.says(Part("A", total=CARD_BYTES, free=CARD_BYTES))
    env = {name: nvml.environment[name] for name in ("LD_LIBRARY_PATH", "FAKE_NVML_STATE")}
    options = {
        "targetSize": WINDOW,
        "kvQuantization": "f16",
        "vramBuffer": BUFFER_MB,
        "compression": {"strategy": "truncate", "preserveRecent": 512},
        **context,
    }
    async with Ollama(context_length=131_072, info=plain(), file_size=GB, card=nvml) as server:
        settings = using(server.url, "ollama", **options) | {"memory": {"pollSeconds": 0.5, "guard": guard or {}}}
        async with ullage(folder / "home", settings, env=env) as client:
            context_id = await opened(client)
            await client.request("context/chat", {"contextId": context_id, "text": "Hello"})
            roles = ("user", "assistant") * TURNS
            said = [{"role": role, "content": f"{n}: {WORDS}"} for n, role in enumerate(roles)]
            await client.request("context/append", {"contextId": context_id, "messages": said})
            await client.request("context/sizing", {"contextId": context_id})  # how large the loaded model is
            yield Machine(server, client, context_id)


async def test_at_95_percent_it_is_kept_cleared_and_asked_and_restore_brings_it_back(tmp_path: Path) -> None:
    async with machine(tmp_path) as made:
        window = await made.window()
        await made.press(0.97)
        question = await made.asked()
        assert [action["title"] for action in question["params"]["actions"]] == WAYS
        assert "older messages left the window of “main”" in question["params"]["message"]
        assert "word" not in question["params"]["message"]
        cleared = await made.window()
        assert cleared == window[-len(cleared) :]
        assert 0 < len(cleared) < len(window)
        assert made.server.loaded_size is not None
        assert made.server.loaded_size < WINDOW
        assert await made.operations() == [("snapshot", "guard"), ("compress", "guard"), ("resize", "guard")]
        acted = await made.until("guardActed")
        assert (acted["action"], acted["level"]) == ("clear", "critical")
        await made.client.reply(question, {"title": "Restore"})
        assert (await made.until("undone"))["kind"] == "compress"
        assert await made.window() == window
        assert await window_of(made.client, made.context_id, "history") == window


@pytest.mark.parametrize("answer", [{"title": "Carry on"}, {"title": "Something else"}, {"title": 5}, None])
async def test_any_other_answer_leaves_everything_as_it_is(tmp_path: Path, answer: Any) -> None:
    async with machine(tmp_path) as made:
        await made.press(0.97)
        question = await made.asked()
        cleared, operations = await made.window(), await made.operations()
        await made.client.reply(question, answer)
        await made.until("guardActed")
        assert (await made.window(), await made.operations()) == (cleared, operations)


async def test_while_nobody_answers_everything_goes_on_and_undo_works(tmp_path: Path) -> None:
    async with machine(tmp_path) as made:
        window = await made.window()
        await made.press(0.97)
        question = await made.asked()
        answer = await made.client.request("context/chat", {"contextId": made.context_id, "text": "And now?"})
        assert answer["stopReason"] == "stop"
        undone = await made.client.request("context/undo", {"contextId": made.context_id})
        assert undone["undone"]["origin"] == "guard"
        assert await made.window() == [*window, "And now?", "I heard you."]
        await made.client.reply(question, {"title": "Carry on"})


async def test_at_80_percent_it_is_compressed(tmp_path: Path) -> None:
    async with machine(tmp_path) as made:
        window = await made.window()
        await made.press(0.82)
        assert (await made.until("guardActed"))["action"] == "compress"
        assert len(await made.window()) < len(window)
        assert await made.operations() == [("compress", "guard")]
        assert made.client.requests.empty()


async def test_at_90_percent_the_size_is_reduced_and_no_word_leaves(tmp_path: Path) -> None:
    async with machine(tmp_path) as made:
        window = await made.window()
        await made.press(0.92)
        assert (await made.until("guardActed"))["action"] == "reduce"
        assert (await made.window(), await made.operations()) == (window, [("resize", "guard")])
        assert made.client.requests.empty()


async def test_switched_off_nothing_is_done_but_telling(tmp_path: Path) -> None:
    switches = {"compress": False, "reduce": False, "clear": False}
    async with machine(tmp_path, switches, autoSize=False) as made:
        window = await made.window()
        await made.press(0.97)
        told = await made.client.notification("window/showMessage", timeout=PATIENCE_S)
        assert told["message"].startswith("Memory is short for “main”")
        assert (await made.window(), await made.operations()) == (window, [])
        assert made.client.requests.empty()


async def test_switched_on_while_it_runs_it_acts_at_the_next_look(tmp_path: Path) -> None:
    async with machine(tmp_path, {"compress": False}) as made:
        settings = {"memory": {"pollSeconds": 0.5, "guard": {"compress": True}}}
        await made.client.notify("workspace/didChangeConfiguration", {"settings": {"ullage": settings}})
        await made.press(0.82)
        assert (await made.until("guardActed"))["action"] == "compress"
