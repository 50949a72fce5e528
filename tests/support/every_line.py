"""One conversation, and every line about it once, in an order in which each has something to do.

Whoever shows what the lines answer, an editor or the terminal, is held to the same words.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from support.summarising_stub import SummarisingStub
from support.ullage_server import ullage, using

ENOUGH_S = 30
FORGOTTEN = "01J00000000000000000F0RG0T"
"""The id of the message that is erased."""

SYSTEM = "You help to build a harbour."
WALL = "Which stone is the *wall* of: <b>slate</b>, [granite](x) | or `oak`?"
"""Markup that a person typed, to be shown as it was typed."""

SETTINGS = {
    "context": {"reserveOutput": 64},
    "modes": {"mason": {"systemPrompt": "You are a mason and answer in stones."}},
}

_BOXES = re.compile(r"[\s─-╿]+")


@frozen
class Step:
    """A line, and patterns of what it shows, blanks and boxes aside."""

    name: str
    argument: str = ""
    shows: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        return f"/context {self.name} {self.argument}".rstrip()


SMALLER = r"[\d,]+ → [\d,]+ tokens \(\d+%\)"
FILLED = r"[\d,]+ / 1,024 \(\d+%\)"
STEPS: tuple[Step, ...] = (
    Step("help", shows=(r"/context status how full the window is", r"/context forget <id> erase one message")),
    Step("status", shows=(r"Model stub-model", rf"Tokens {FILLED}", r"KV cache f16", r"Compression on, from 80%")),
    Step("stats", shows=(rf"Tokens {FILLED}", r"Tokens by role system \d+, user \d+", r"modes mason")),
    Step("models", shows=(r"stub-model llamacpp loaded 8,192 1,024",)),
    Step("model", "stub-model", (rf"Now stub-model: {FILLED}\.",)),
    Step("memory", shows=(r"Memory [\d.]+ [MG]B / [\d.]+ GB \(\d+%\)", r"Available [\d.]+ GB")),
    Step("size", shows=(r"The context size is [\d,]+ tokens, ",)),
    Step("size", "lots", (r"Give the size in tokens, such as 8192, 8,192 or 8k",)),
    Step("auto", "off", (r"The size stays as it is from now on\.",)),
    Step("messages", shows=(r"[0-9A-Z]{6} user \d+ " + re.escape(WALL),)),
    Step("search", "granite", (r"F0RG0T · main · \d{4}-.* user: .*<b>slate</b>, \[granite\]\(x\) \| or `oak`\?",)),
    Step("snapshot", "before the wall", (r"Kept as [0-9A-Z]{6}: \d+ tokens, \d+ messages, .* brings it back\.",)),
    Step("estimate", shows=(rf"A compression \(hybrid\) would come to {SMALLER}: \d+ messages would leave",)),
    Step("compress", shows=(rf"Compressed by a summary: {SMALLER}\. \d+ messages left the window",)),
    Step("undo", shows=(rf"Took back: compress\. Now {FILLED}\.",)),
    Step("clear", shows=(rf"Cleared: {FILLED}\. /context undo brings it back\.",)),
    Step("restore", shows=(r"1 [0-9A-Z]{6} .* hand before the wall", r"/context restore 1 brings the first one back")),
    Step("restore", "1", (rf"Restored: {FILLED}\. /context undo takes it back\.",)),
    Step("pin", shows=(r"Stays in the window: assistant, “The tide",)),
    Step("unpin", shows=(r"May leave the window again: assistant, “The tide",)),
    Step("history", shows=(r"select model you", r"compress you", r"undo you", r"restore you")),
    Step("export", shows=(re.escape(SYSTEM), re.escape(WALL))),
    Step("forget", FORGOTTEN, (r"Erased for good: F0RG0T\.",)),
    Step("mode", shows=(r"mason", r"/context mode with a name takes one on")),
    Step("mode", "mason", (rf"Now in mode mason: {FILLED}\.",)),
    Step("mode", "off", (rf"No mode any more: {FILLED}\.",)),
    Step("list", shows=(r"main harbour", r"notes harbour", r"/context switch with a name or a number goes there")),
    Step("switch", "notes", (r"Now in notes: .*, from (memory|the store) in ",)),
)


@frozen
class Harbour:
    """A folder with a conversation, a store and settings of its own, and the model server that answers."""

    root: Path
    stub: SummarisingStub

    @property
    def folder(self) -> Path:
        return self.root / "harbour"

    @property
    def environment(self) -> Mapping[str, str]:
        """As `support.ullage_server.ullage` has it; nothing of the settings of whoever runs this."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ULLAGE", "OLL", "XDG"))}
        home = {"HOME": str(self.root), "XDG_CONFIG_HOME": str(self.root / "config")}
        return inherited | home | {"ULLAGE_STORAGE": str(self.root / "storage"), "TERM": "xterm"}

    @property
    def settings(self) -> dict[str, Any]:
        return {**SETTINGS, "providers": using(self.stub.url)["providers"]}


@asynccontextmanager
async def harbour(root: Path) -> AsyncIterator[Harbour]:
    """Half a window's conversation in the context "main", and an empty context "notes" beside it."""
    async with SummarisingStub(n_ctx=1024) as stub:
        place = Harbour(root, stub)
        place.folder.mkdir()
        (place.folder / "plan.md").write_text("# A harbour\n")
        config = root / "config" / "ullage" / "config.yaml"
        config.parent.mkdir(parents=True)
        config.write_text(json.dumps(place.settings))  # JSON is YAML
        async with ullage(root, place.settings) as client:
            folder = place.folder.as_uri()
            await client.request("context/open", {"workspaceUri": folder, "name": "notes"})
            main = await client.request("context/open", {"workspaceUri": folder})
            await client.request("context/update", {"contextId": main["id"], "systemPrompt": SYSTEM})
            await client.request("context/append", {"contextId": main["id"], "messages": conversation()})
            assert await client.shut_down() == 0
        yield place


def conversation() -> list[dict[str, Any]]:
    turns = []
    for stone in ("basalt", "marble", "sandstone", "limestone", "slate", "gneiss"):
        turns.append({"role": "user", "content": f"Tell me what a wall of {stone} would cost, and how it is built."})
        answer = f"A wall of {stone} is built in courses, the widest at the bottom, and costs less than it seems to."
        turns.append({"role": "assistant", "content": answer})
    turns.append({"role": "user", "content": WALL, "id": FORGOTTEN})
    turns.append({"role": "assistant", "content": "The tide will tell: granite lasts."})
    return turns


def flowing(shown: str) -> str:
    """What was shown without how it was laid out."""
    return _BOXES.sub(" ", shown).strip()
