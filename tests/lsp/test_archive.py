"""What was said, taken elsewhere, brought back, found and erased: over the wire, to the end."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from support.archiving import PATIENCE_S, exported, found, imported, page_of, refused
from support.raw_client import RawClient
from support.storage_search import files_with
from support.stub_servers import Answer
from support.summarising_stub import GOOD, SummarisingStub
from support.ullage_server import appended, opened, ullage, using, window_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "swordfishhalyard4711"
TRACE = SECRET[8:]
"""What is looked for in files: the search index leaves the letters of a word out that the word before it begins with,
and everything else holds the whole."""

FORMATS = ("json", "markdown")
_numbers = count()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RawClient]:
    async with ullage(tmp_path_factory.mktemp("archive")) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def context_id(client: RawClient) -> str:
    return await opened(client, f"project-{next(_numbers)}")


def without_ids(page: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in message.items() if key != "id"} for message in page]


# From one context to another


async def everything_said(client: RawClient, context_id: str) -> None:
    """A system prompt, a pin, a call with its result, odd texts, and some of it not in the window any more."""
    call = {"id": "c1", "name": "read_file", "arguments": '{"path": "a.txt"}'}
    await appended(client, context_id, "Gone from the window.", "This too.")
    await client.request("context/clear", {"contextId": context_id})
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "# Not a heading\n```\n<!-- ullage:1 end -->\n", "pinned": True},
        {"role": "assistant", "content": "", "toolCalls": [call]},
        {"role": "tool", "content": "é\u0000\u2028🙂\r\n", "toolCallId": "c1", "name": "read_file"},
        {"role": "assistant", "content": "**User:** no heading either"},
    ]
    await client.request("context/append", {"contextId": context_id, "messages": messages})


@pytest.mark.parametrize("format_", FORMATS)
async def test_an_import_brings_back_what_was_exported(client: RawClient, context_id: str, format_: str) -> None:
    await everything_said(client, context_id)
    text = await exported(client, context_id, format_)
    other = await opened(client, f"elsewhere-{next(_numbers)}")
    assert (await imported(client, other, format_, text))["messages"] == 7
    for view in ("window", "history"):
        there, here = [await page_of(client, each, view) for each in (other, context_id)]
        assert without_ids(there) == without_ids(here)
        assert {m["id"] for m in there}.isdisjoint(m["id"] for m in here)


@pytest.mark.parametrize("format_", FORMATS)
async def test_an_export_of_an_import_says_the_same(client: RawClient, context_id: str, format_: str) -> None:
    await everything_said(client, context_id)
    text = await exported(client, context_id, format_)
    other = await opened(client, f"elsewhere-{next(_numbers)}")
    await imported(client, other, format_, text)
    again = await exported(client, other, format_)
    varying = r'[0-9A-Z]{26}|"exportedAt": ?\d+|ullage:\d+|\d{4}-\d\d-\d\dT[\d:.Z+-]+'
    assert re.sub(varying, "", again) == re.sub(varying, "", text)


async def test_an_import_is_undone_by_its_id_and_stays_in_the_history(client: RawClient, context_id: str) -> None:
    await appended(client, context_id, "Here before.")
    text = json.dumps([{"role": "user", "content": "Come from elsewhere."}])
    await imported(client, context_id, "json", text)
    page = await client.request("context/history", {"contextIds": [context_id]})
    operation = page["operations"][-1]
    assert (operation["kind"], operation["detail"]["messages"]) == ("import", 1)
    await client.request("context/undo", {"contextId": context_id, "operationId": operation["id"]})
    assert await window_of(client, context_id) == ["Here before."]
    assert len(await window_of(client, context_id, "history")) == 2


async def test_an_import_past_the_threshold_makes_room_by_itself(tmp_path: Path) -> None:
    async with SummarisingStub(n_ctx=1024) as server, ullage(tmp_path, using(server.url)) as client:
        context_id = await opened(client)
        await client.request("context/status", {"contextId": context_id})
        words = " ".join(f"word{n}" for n in range(25))
        roles = ("user", "assistant")
        said = [{"role": roles[n % 2], "content": f"{n}: {words}"} for n in range(40)]
        reply = await imported(client, context_id, "json", json.dumps(said))
        assert reply["usage"]["pressure"] > 1
        answer = await client.request("context/chat", {"contextId": context_id, "text": "And now?"}, timeout=PATIENCE_S)
        assert answer["usage"]["pressure"] <= 1
        assert len(await window_of(client, context_id, "history")) >= 42


# The whole way


@pytest.mark.parametrize("format_", FORMATS)
async def test_what_was_taken_elsewhere_is_found_and_once_forgotten_is_nowhere(tmp_path: Path, format_: str) -> None:
    """The secret is in the log, in snapshots, in a damaged one and a damaged store, in a summary, in the search index
    and in a copy of the conversation. Once the server has answered there is nothing left of it, although the server
    and another one beside it still run."""
    quoting = GOOD.replace("The port is 8443", f"The word is {SECRET}")
    home, storage = tmp_path / "home", tmp_path / "home" / "storage"
    async with (
        SummarisingStub(n_ctx=1024, summary=quoting) as server,
        ullage(home, using(server.url, compression={"enabled": False})) as client,
        ullage(home) as beside,
    ):
        said, copy = await opened(client, "said"), await opened(client, "copy")
        await client.request("context/chat", {"contextId": said, "text": f"The word is {SECRET}. Keep it."})
        await client.request("context/snapshot/create", {"contextId": said})
        await spoil(client, storage, said)
        await imported(client, copy, format_, await exported(client, said, format_))
        await summarised(client, said)
        hits = await found(client, SECRET)
        assert {hit["contextId"] for hit in hits} == {said, copy}
        assert all(f"**{SECRET}**" in hit["excerpt"] for hit in hits)
        assert len(await found(beside, SECRET)) == len(hits)
        broken_store(storage)
        assert len(files_with(storage, TRACE)) >= 5
        for context_id in (said, copy):
            question = next(m for m in await page_of(client, context_id) if SECRET in m["content"])
            await client.request("context/forget", {"contextId": context_id, "messageId": question["id"]})
        assert files_with(storage, TRACE) == []
        assert await found(client, SECRET) == await found(beside, SECRET) == []
        assert [m["role"] for m in await page_of(client, copy)] == ["assistant"]
        assert SECRET not in await exported(client, said, format_)
        listed = await client.request("context/snapshot/list", {"contextId": said})
        assert [snapshot["messages"] for snapshot in listed["snapshots"]] == [1, 17]
        assert await client.shut_down() == 0
        assert SECRET not in client.stderr.decode()
    assert files_with(storage, TRACE) == []


async def spoil(client: RawClient, storage: Path, context_id: str) -> None:
    """Flip a bit of a new snapshot's checksum, and let the server find that."""
    snapshot = await client.request("context/snapshot/create", {"contextId": context_id})
    path = storage / "snapshots" / context_id / f"{snapshot['id']}.json"
    raw = bytearray(path.read_bytes())
    raw[-10] ^= 1
    path.write_bytes(bytes(raw))
    verdict = await client.request("context/snapshot/verify", {"snapshotId": snapshot["id"]})
    assert verdict["ok"] is False
    [broken] = path.parent.glob("*.broken")
    assert broken.relative_to(storage).as_posix() in files_with(storage, TRACE)


def broken_store(storage: Path) -> None:
    """As an earlier start sets a damaged one aside: the database, and its log beside it."""
    for ending in ("", "-wal"):
        shutil.copy(storage / f"store.db{ending}", storage / f"store.db.broken-20260101{ending}")


async def summarised(client: RawClient, context_id: str) -> None:
    """Talk until the question that holds the secret is only in a summary."""
    words = " ".join(f"word{n}" for n in range(25))
    said = [{"role": role, "content": f"{n}: {words}"} for n in range(8) for role in ("user", "assistant")]
    await client.request("context/append", {"contextId": context_id, "messages": said})
    result = await client.request("context/compress", {"contextId": context_id}, timeout=PATIENCE_S)
    assert SECRET in result["summary"]["content"]


async def test_what_was_forgotten_is_not_brought_back_by_undo_or_restore(client: RawClient, context_id: str) -> None:
    [first, _] = await appended(client, context_id, f"Once: {SECRET}-once", "Else.")
    kept = await client.request("context/snapshot/create", {"contextId": context_id})
    await client.request("context/clear", {"contextId": context_id})
    await client.request("context/forget", {"contextId": context_id, "messageId": first["id"]})
    await client.request("context/undo", {"contextId": context_id})
    assert await window_of(client, context_id) == ["Else."]
    await client.request("context/snapshot/restore", {"snapshotId": kept["id"]})
    assert await window_of(client, context_id) == ["Else."]


async def test_forgetting_twice_or_in_another_context_is_an_unknown_message(client: RawClient, context_id: str) -> None:
    [message] = await appended(client, context_id, "Only here.")
    other = await opened(client, f"other-{next(_numbers)}")
    error = await refused(client, "context/forget", contextId=other, messageId=message["id"])
    assert error.data["kind"] == "unknownMessage"
    await client.request("context/forget", {"contextId": context_id, "messageId": message["id"]})
    error = await refused(client, "context/forget", contextId=context_id, messageId=message["id"])
    assert error.data["kind"] == "unknownMessage"


async def test_nothing_is_forgotten_under_an_answer(tmp_path: Path) -> None:
    pause = asyncio.Event()
    async with SummarisingStub() as server, ullage(tmp_path, using(server.url)) as client:
        context_id = await opened(client)
        [message] = await appended(client, context_id, "Before.")
        server.answers.append(Answer(pause=pause))
        params = {"contextId": context_id, "text": "Hello", "partialResultToken": "t"}
        answering = await client.begin("context/chat", params)
        await client.notification("$/progress")
        error = await refused(client, "context/forget", contextId=context_id, messageId=message["id"])
        assert (error.data["kind"], error.data["reason"]) == ("contextBusy", "answering")
        pause.set()
        assert (await client.answer(answering))["stopReason"] == "stop"
        await client.request("context/forget", {"contextId": context_id, "messageId": message["id"]})
        assert len(await window_of(client, context_id)) == 2


async def test_a_context_that_another_server_writes_is_not_forgotten_in(tmp_path: Path) -> None:
    async with ullage(tmp_path) as holder, ullage(tmp_path) as other:
        context_id = await opened(holder)
        [message] = await appended(holder, context_id, "Mine.")
        await opened(other)
        error = await refused(other, "context/forget", contextId=context_id, messageId=message["id"])
        assert (error.data["kind"], error.data["reason"]) == ("contextBusy", "elsewhere")
        assert await window_of(holder, context_id) == ["Mine."]


# Finding


@pytest.mark.parametrize(
    "query",
    [
        '"', '""', '"""', "*", "a*b", "* *", "AND", "quay AND", "NOT quay", "NEAR(quay, 5)", "content:quay", "^quay",
        "{quay}", "quay OR (", "-quay", "+", ";--", "\x00", "quay\x00", "\ud7ff", "🙂", "漢字", "ア",
        "%_", "\\", "'", "(" * 900,
    ],
)  # fmt: skip  # a line each would be a page
async def test_no_query_is_taken_for_a_language(client: RawClient, context_id: str, query: str) -> None:
    await appended(client, context_id, "A quay in Delft.")
    hits = await found(client, query, contextIds=[context_id])
    assert all(hit["contextId"] == context_id for hit in hits)


@pytest.mark.parametrize("query", ["", " \n\t", "x" * 1001, "quay " * 200_000])
async def test_a_query_that_can_not_be_looked_for_is_refused_by_its_path(client: RawClient, query: str) -> None:
    error = await refused(client, "context/search", query=query)
    assert (error.code, error.data) == (-32602, {"path": "query"})


async def test_search_keeps_to_the_contexts_and_the_number_that_were_asked_for(
    client: RawClient, context_id: str
) -> None:
    await appended(client, context_id, *(f"The lighthouse, {n}." for n in range(5)))
    other = await opened(client, f"other-{next(_numbers)}")
    await appended(client, other, "Another lighthouse.")
    assert len(await found(client, "lighthouse", contextIds=[context_id], limit=3)) == 3
    assert [hit["contextId"] for hit in await found(client, "lighthouse", contextIds=[other])] == [other]
    assert await found(client, "lighthouse", contextIds=[]) == []
    error = await refused(client, "context/search", query="lighthouse", contextIds=[other, "nobody"])
    assert error.data["kind"] == "unknownContext"


async def test_what_left_the_window_is_found_and_shown_as_its_message(client: RawClient, context_id: str) -> None:
    [message] = await appended(client, context_id, "Belay the halyard, then belay again.")
    await client.request("context/clear", {"contextId": context_id})
    [hit] = await found(client, "belay HALYARD", contextIds=[context_id])
    assert hit["message"] == message
    assert hit["excerpt"].count("**") == 6


async def test_a_context_that_was_deleted_is_found_no_more(client: RawClient, context_id: str) -> None:
    await appended(client, context_id, "The drydockword is closed.")
    assert len(await found(client, "drydockword")) == 1
    await client.request("context/delete", {"contextId": context_id})
    assert await found(client, "drydockword") == []
