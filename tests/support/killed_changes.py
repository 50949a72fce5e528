"""One conversation that is changed until a kill cuts a change short, and what has to be there afterwards."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from typing import Any, Literal

import pytest
from attrs import Factory, define, frozen

from support.raw_client import RawClient, RpcError
from support.ullage_server import opened

Change = Literal["snapshot", "restore", "delete", "truncate", "hybrid", "clear", "undo"]
CHANGES: tuple[Change, ...] = ("snapshot", "restore", "delete", "truncate", "hybrid", "clear", "undo")
UNDOABLE: tuple[Change, ...] = ("restore", "truncate", "hybrid", "clear")

OPERATIONS = {"truncate": "compress", "hybrid": "compress"}
"""What changes are called in the log, where that is another name."""

Outcome = Literal["acknowledged", "done", "untouched"]
"""Done: in full, though nobody was told any more."""

LATEST_KILLS_S = (0.008, 0.03)
LATEST_KILLS_OF_SUMMARY_S = (0.03, 0.15)
"""Half of the kills come early, since most changes take a few milliseconds; a summary asks the model server first."""

TURNS = 10
WORDS = " ".join(f"word{n}" for n in range(12))


@frozen
class Shown:
    """What a client sees of a window: each message as it is sent to the model, and what they cost together."""

    messages: tuple[tuple[str, str, bool], ...]
    tokens: int

    @property
    def ids(self) -> list[str]:
        return [id_ for id_, _, _ in self.messages]


@frozen
class Killed:
    """A change that was on its way when the server was killed. ``result`` is None where no answer came."""

    change: Change
    before: Shown
    after: Shown | None
    result: Mapping[str, Any] | None
    was_answered: bool
    last_operation: tuple[str, str]


@define(eq=False)
class Conversation:
    """What a client knows of one context: everything that was acknowledged. ``earlier`` is the window before the last
    change that stands, with what was said since."""

    context_id: str
    said: list[str] = Factory(list)
    snapshots: dict[str, tuple[Mapping[str, Any], Shown]] = Factory(dict)
    unsure: set[str] = Factory(set)
    earlier: Shown | None = None

    @classmethod
    async def begun(cls, client: RawClient, folder: str) -> Conversation:
        """With a system prompt, a pin, a tool call with its long result, some turns, and a snapshot of all that."""
        made = cls(await opened(client, folder))
        await client.request("context/status", {"contextId": made.context_id})
        call = {"id": "c1", "name": "look", "arguments": "{}"}
        await made.say(
            client,
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Port 8443, always.", "pinned": True},
            {"role": "assistant", "content": "Looking.", "toolCalls": [call]},
            {"role": "tool", "content": f"Found: {WORDS} {WORDS}", "toolCallId": "c1"},
        )
        for number in range(TURNS):
            await made.say(client, *turn(number))
        await made.keep(client)
        return made

    async def say(self, client: RawClient, *messages: Mapping[str, Any]) -> None:
        params = {"contextId": self.context_id, "messages": list(messages)}
        await client.request("context/append", params, timeout=60)
        self.said += [message["content"] for message in messages]

    async def keep(self, client: RawClient) -> None:
        params = {"contextId": self.context_id}
        info = await client.request("context/snapshot/create", params, timeout=60)
        self.snapshots[info["id"]] = (info, await self.shown(client))

    async def shown(self, client: RawClient) -> Shown:
        params = {"contextId": self.context_id, "limit": 1000}
        page = await client.request("context/messages", params, timeout=60)
        status = await client.request("context/status", {"contextId": self.context_id}, timeout=60)
        seen = tuple((m["id"], m["content"], bool(m.get("pinned"))) for m in page["messages"])
        assert status["usage"]["messages"] == len(seen)
        return Shown(seen, status["usage"]["tokens"])

    async def shown_history(self, client: RawClient) -> list[str]:
        """Everything that was ever said, summaries included."""
        params = {"contextId": self.context_id, "view": "history", "limit": 1000}
        return [m["content"] for m in (await client.request("context/messages", params, timeout=60))["messages"]]

    async def last_operation(self, client: RawClient) -> tuple[str, str]:
        """Its kind and its id."""
        params = {"contextIds": [self.context_id], "limit": 1}
        [last] = (await client.request("context/history", params, timeout=60))["operations"]
        return last["kind"], last["id"]

    # Before the kill

    async def prepare(self, client: RawClient, change: Change, chance: random.Random) -> None:
        """A change that stands, so that there is something to undo, and something said after it. Now and then nothing:
        then the change that is killed is the first that this server writes."""
        if change == "delete":
            await self.keep(client)
        if change == "undo" or chance.random() < 0.5:
            before = await self.shown(client)
            await self.change(client, chance.choice(UNDOABLE) if change == "undo" else "restore")
            standing = await self.shown(client)
            await self.say(client, *turn(len(self.said)))
            after = await self.shown(client)
            self.earlier = Shown((*before.messages, *after.messages[len(standing.messages) :]), 0)

    async def change(self, client: RawClient, change: Change) -> None:
        await client.request(*self.request(change), timeout=60)

    def request(self, change: Change) -> tuple[str, dict[str, Any]]:
        own = {"contextId": self.context_id}
        match change:
            case "snapshot":
                return "context/snapshot/create", own
            case "restore":
                return "context/snapshot/restore", {"snapshotId": next(iter(self.snapshots))}
            case "delete":
                return "context/snapshot/delete", {"snapshotId": list(self.snapshots)[-1]}
            case "truncate" | "hybrid":
                return "context/compress", {**own, "strategy": change}
            case _:
                return f"context/{change}", own

    async def killed(self, client: RawClient, change: Change, chance: random.Random) -> Killed:
        """Send a change, and kill the server a moment later."""
        before, last = await self.shown(client), await self.last_operation(client)
        request = await client.begin(*self.request(change))
        latest_s = chance.choice(LATEST_KILLS_OF_SUMMARY_S if change == "hybrid" else LATEST_KILLS_S)
        await asyncio.sleep(chance.uniform(0, latest_s))
        client.process.kill()
        try:
            result, was_answered = await client.answer(request, timeout=60), True
        except EOFError:
            result, was_answered = None, False
        after = self._expected(change, before)
        self._note_snapshots(change, result, before, was_answered=was_answered)
        return Killed(change, before, after, result, was_answered, last)

    def _note_snapshots(
        self, change: Change, result: Mapping[str, Any] | None, before: Shown, *, was_answered: bool
    ) -> None:
        if change == "snapshot" and result is not None:
            self.snapshots[result["id"]] = (result, before)
        if change == "delete":
            gone = list(self.snapshots)[-1]
            del self.snapshots[gone]
            if not was_answered:
                self.unsure.add(gone)

    def _expected(self, change: Change, before: Shown) -> Shown | None:
        """The window after a change; None where only the model or the planner knows."""
        match change:
            case "snapshot" | "delete":
                return before
            case "clear":
                return Shown(tuple(m for m in before.messages if m[2] or m[1] == "Be brief."), 0)
            case "restore":
                return next(iter(self.snapshots.values()))[1]
            case "undo":
                return self.earlier
            case _:
                return None

    # After it

    async def check(self, client: RawClient, storage: Path, killed: Killed) -> Outcome:
        """Hold everything against what was acknowledged, and take the changes back that stand."""
        await self._check_history(client)
        await self._check_snapshots(client, killed)
        assert_sound(storage)
        outcome = await self._outcome(client, killed)
        if outcome != "untouched" and killed.change in UNDOABLE:
            await self.change(client, "undo")
            assert await self.shown(client) == killed.before
        await self._undo_what_stands(client, undone=killed.change == "undo" and outcome != "untouched")
        return outcome

    async def _check_history(self, client: RawClient) -> None:
        params = {"contextId": self.context_id, "view": "history", "limit": 1000}
        page = await client.request("context/messages", params, timeout=60)
        assert [m["content"] for m in page["messages"] if not m.get("summaryOf")] == self.said

    async def _check_snapshots(self, client: RawClient, killed: Killed) -> None:
        page = await client.request("context/snapshot/list", {"contextId": self.context_id}, timeout=60)
        assert page["unreadable"] == []
        listed = {info["id"]: info for info in page["snapshots"]}
        assert {id_: listed.get(id_) for id_ in self.snapshots} == {id_: i for id_, (i, _) in self.snapshots.items()}
        extra = set(listed) - set(self.snapshots) - self.unsure
        assert len(extra) <= (killed.change == "snapshot" and not killed.was_answered)
        for id_ in listed:
            verdict = await client.request("context/snapshot/verify", {"snapshotId": id_}, timeout=60)
            assert verdict == {"ok": True, "reason": None}
        for id_ in extra | self.unsure & set(listed):
            await client.request("context/snapshot/delete", {"snapshotId": id_}, timeout=60)
        self.unsure.clear()

    async def _outcome(self, client: RawClient, killed: Killed) -> Outcome:
        now, last = await self.shown(client), await self.last_operation(client)
        is_done = last != killed.last_operation
        if killed.was_answered or is_done:
            self._assert_after(now, killed)
        else:
            assert now == killed.before
        if killed.change != "delete":  # which changes files alone
            assert is_done or not killed.was_answered
            assert not is_done or last[0] == OPERATIONS.get(killed.change, killed.change)
        return "acknowledged" if killed.was_answered else "done" if is_done else "untouched"

    def _assert_after(self, now: Shown, killed: Killed) -> None:
        if killed.after is not None:
            assert now.messages == killed.after.messages
            return
        kept = [id_ for id_ in now.ids if id_ in set(killed.before.ids)]
        assert kept == [id_ for id_ in killed.before.ids if id_ in set(kept)]
        assert len(now.ids) - len(kept) <= (killed.change == "hybrid")
        assert now.tokens < killed.before.tokens
        if killed.result is not None:
            assert now.tokens == killed.result["compressedTokens"]

    async def _undo_what_stands(self, client: RawClient, *, undone: bool) -> None:
        if self.earlier is not None and not undone:
            await self.change(client, "undo")
            assert (await self.shown(client)).messages == self.earlier.messages
        self.earlier = None
        with pytest.raises(RpcError) as nothing:
            await self.change(client, "undo")
        assert nothing.value.data["kind"] == "nothingToUndo"


def turn(number: int) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": f"Question {number}: {WORDS}"},
        {"role": "assistant", "content": f"Answer {number}: {WORDS}"},
    ]


def assert_sound(storage: Path) -> None:
    with closing(connect(storage / "store.db", timeout=30)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def drafts(storage: Path) -> list[str]:
    """Files that were being written."""
    return sorted(str(path.relative_to(storage)) for path in storage.rglob("*.tmp"))
