"""A secret that is erased until a kill cuts that short, and everywhere it may not be found afterwards."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

from attrs import Factory, define

from support.killed_changes import Conversation, Outcome, turn
from support.raw_client import RawClient
from support.summarising_stub import GOOD, SummarisingStub
from ullage.store.folder import open_folder
from ullage.store.snapshot_files import SnapshotFiles

LATEST_KILL_S = 0.06
"""Writing the database anew takes longer than a commit."""

CLEANED_UP_S = 60.0


@define(eq=False)
class Secret:
    """One message that was searched for, summarised, and kept in snapshots with and without its summary."""

    conversation: Conversation
    word: str
    message_id: str
    ids: list[str] = Factory(list)
    was_answered: bool = False

    @classmethod
    async def told(cls, client: RawClient, conversation: Conversation, server: SummarisingStub, word: str) -> Secret:
        own = {"contextId": conversation.context_id}
        await conversation.say(client, {"role": "user", "content": f"The word is {word}."})
        window = await client.request("context/messages", {**own, "limit": 1}, timeout=60)
        await conversation.keep(client)
        for number in range(8):  # so that it is none of the newest, which are not summarised
            await conversation.say(client, *turn(number))
        await client.request("context/search", {"query": word, "contextIds": [conversation.context_id]}, timeout=60)
        server.summary = GOOD.replace("Build the harbour model", f"Keep {word}")
        result = await client.request("context/compress", {**own, "strategy": "hybrid"}, timeout=60)
        message_id = window["messages"][0]["id"]
        assert message_id in result["summary"]["summaryOf"]
        assert word in result["summary"]["content"]
        await conversation.keep(client)
        return cls(conversation, word, message_id, [message_id, result["summary"]["id"]])

    async def killed(self, client: RawClient, chance: random.Random) -> None:
        request = await client.begin("context/forget", self._params())
        await asyncio.sleep(chance.uniform(0, LATEST_KILL_S))
        client.process.kill()
        try:
            await client.answer(request, timeout=60)
            self.was_answered = True
        except EOFError:
            self.was_answered = False

    async def check(self, client: RawClient, storage: Path) -> Outcome:
        """Before or after: and after is everywhere. Where it is before, to forget it again is enough."""
        found = await client.request("context/search", {"query": self.word}, timeout=60)
        said = await self.conversation.shown_history(client)
        is_there = any(self.word in content for content in said)
        assert bool(found["hits"]) == is_there
        if is_there:
            assert not self.was_answered
            assert [content for content in said if content.startswith("The word is")] != []
            await client.request("context/forget", self._params(), timeout=60)
        await cleaned_up(storage)
        assert found_in(storage, self.word, *self.ids) == []
        self.conversation.said = [content for content in self.conversation.said if self.word not in content]
        assert [each for each in await self.conversation.shown_history(client) if "## Goal" not in each] == (
            self.conversation.said
        )
        return "acknowledged" if self.was_answered else "untouched" if is_there else "done"

    def _params(self) -> dict[str, str]:
        return {"contextId": self.conversation.context_id, "messageId": self.message_id}


async def cleaned_up(storage: Path) -> None:
    """Wait until no erasure is unfinished."""
    async with asyncio.timeout(CLEANED_UP_S):
        while any((storage / "erasures").iterdir()):  # noqa: ASYNC110  # another process does it, and tells nobody
            await asyncio.sleep(0.02)


def found_in(storage: Path, *words: str) -> list[str]:
    """The files that hold one of these words, also where they hold it compressed."""
    files = SnapshotFiles(open_folder(storage))
    holding = [str(path.relative_to(storage)) for path in storage.rglob("*") if path.is_file() and _holds(path, words)]
    for stored in files.listing().snapshots:
        header, content = files.read(stored.header.context_id, stored.header.id)
        if any(word in f"{header}{content}" for word in words):
            holding.append(f"snapshot {header.id}")
    return holding


def _holds(path: Path, words: tuple[str, ...]) -> bool:
    try:
        content = path.read_bytes()
    except FileNotFoundError:  # removed since
        return False
    return any(word.encode() in content for word in words)


@define(eq=False)
class Import:
    """What another context said, put behind what a conversation holds."""

    conversation: Conversation
    text: str
    before: Any = None
    was_answered: bool = False

    @property
    def contents(self) -> list[str]:
        return [message["content"] for message in json.loads(self.text)["messages"]]

    @classmethod
    async def of(cls, client: RawClient, source: Conversation, conversation: Conversation) -> Import:
        params = {"contextId": source.context_id, "format": "json"}
        return cls(conversation, (await client.request("context/export", params, timeout=60))["text"])

    async def killed(self, client: RawClient, chance: random.Random) -> None:
        self.before = await self.conversation.shown(client)
        request = await client.begin("context/import", self._params())
        await asyncio.sleep(chance.uniform(0, LATEST_KILL_S / 2))
        client.process.kill()
        try:
            await client.answer(request, timeout=60)
            self.was_answered = True
        except EOFError:
            self.was_answered = False

    async def check(self, client: RawClient) -> Outcome:
        """All of it or nothing; taken back by its id, the window is as it was."""
        said = await self.conversation.shown_history(client)
        is_there = said != self.conversation.said
        assert is_there or not self.was_answered
        if not is_there:
            assert await self.conversation.shown(client) == self.before
            await client.request("context/import", self._params(), timeout=60)
        self.conversation.said += self.contents
        assert await self.conversation.shown_history(client) == self.conversation.said
        kind, operation_id = await self.conversation.last_operation(client)
        assert kind == "import"
        undo = {"contextId": self.conversation.context_id, "operationId": operation_id}
        await client.request("context/undo", undo, timeout=60)
        assert await self.conversation.shown(client) == self.before
        return "acknowledged" if self.was_answered else "done" if is_there else "untouched"

    def _params(self) -> dict[str, str]:
        return {"contextId": self.conversation.context_id, "format": "json", "text": self.text}
