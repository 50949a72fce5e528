"""What hostile files hold that are to be imported: refused by the place in them, or taken within bounds."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from itertools import count, pairwise
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from support.archiving import PATIENCE_S, exported, found, imported, refused
from support.raw_client import RawClient, RpcError
from support.ullage_server import appended, opened, ullage, window_of
from ullage.conversation.transfer.records import LARGEST_TEXT, MOST_MESSAGES

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORMATS = ("json", "markdown")
SECRET = "swordfishhalyard4711"

_numbers = count()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RawClient]:
    async with ullage(tmp_path_factory.mktemp("imports")) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def context_id(client: RawClient) -> str:
    """An empty one."""
    return await opened(client, f"project-{next(_numbers)}")


JSON_REFUSED: dict[str, tuple[str, str]] = {
    # name: the text, and the path of the error
    "nothing": ("", "text"),
    "a number": ("7", "text"),
    "null": ("null", "text"),
    "text": ('"hello"', "text"),
    "an object of nothing": ("{}", "text"),
    "half a list": ('[{"role": "user"', "text"),
    "no JSON": ("# A heading", "text"),
    "a byte order mark": ("\ufeff[]", "text"),
    "no messages": ("[]", "messages"),
    "messages that are an object": ('{"messages": {"role": "user"}}', "messages"),
    "messages that are null": ('{"messages": null}', "messages"),
    "a message that is text": ('["hello"]', "messages[0]"),
    "a message in a list": ('[[{"role": "user", "content": ""}]]', "messages[0]"),
    "no role": ('[{"content": "x"}]', "messages[0].role"),
    "a role of another world": ('[{"role": "narrator", "content": "x"}]', "messages[0].role"),
    "a role that is a list": ('[{"role": ["user"], "content": "x"}]', "messages[0].role"),
    "no content": ('[{"role": "user"}]', "messages[0].content"),
    "content that is a number": ('[{"role": "user", "content": 5}]', "messages[0].content"),
    "half of a surrogate pair": (r'[{"role": "user", "content": "\ud800"}]', "messages[0].content"),
    "half of a pair in a name": (r'[{"role": "user", "content": "x", "name": "\udfff"}]', "messages[0].name"),
    "half of a pair in a key": (r'[{"role": "user", "\ud800": "x"}]', "messages[0].content"),
    "a result without its call": ('[{"role": "tool", "content": "x"}]', "messages[0].toolCallId"),
    "calls that are the person's": (
        '[{"role": "user", "content": "x", "toolCalls": [{"id": "1", "name": "n", "arguments": ""}]}]',
        "messages[0].toolCalls",
    ),
    "calls that are text": ('[{"role": "assistant", "content": "", "toolCalls": "x"}]', "messages[0].toolCalls"),
    "a time before the beginning": ('[{"role": "user", "content": "x", "createdAt": -1}]', "messages[0].createdAt"),
    "a time that is NaN": ('[{"role": "user", "content": "x", "createdAt": NaN}]', "messages[0].createdAt"),
    "a time without end": ('[{"role": "user", "content": "x", "createdAt": 1e999}]', "messages[0].createdAt"),
    "a number of 10,000 digits": (f'[{{"role": "user", "content": "x", "createdAt": {"9" * 10_000}}}]', "text"),
    "a list that nests without end": ("[" * 1_000_000, "text"),
    "an object that nests without end": ('{"a":' * 200_000 + "1" + "}" * 200_000, "text"),
    "another format": ('{"format": "zip", "messages": []}', "format"),
    "a version that is text": ('{"format": "ullage-conversation", "version": "1"}', "version"),
    "a version that is true": ('{"format": "ullage-conversation", "version": true}', "version"),
    "a context that is a list": ('{"format": "ullage-conversation", "version": 1, "context": [1]}', "context"),
    "marks that are no marks": (
        '{"format": "ullage-conversation", "version": 1, "messages": [{"role": "user", "content": "", "pinned": 1}]}',
        "messages[0].pinned",
    ),
}

MARKDOWN_REFUSED: dict[str, tuple[str, str]] = {
    "nothing": ("", "text"),
    "only a title": ("# A heading\n\nand no speaker", "text"),
    "noise": ("\x00\x1b" * 1000, "text"),
    "our own without its end": ('<!-- ullage:1 conversation {"version": 1} -->\n', "text"),
    "our own with a part of another kind": (
        '<!-- ullage:1 conversation {"version": 1} -->\n<!-- ullage:1 bomb {} -->\n<!-- ullage:1 end -->\n',
        "text",
    ),
}


@pytest.mark.parametrize("name", JSON_REFUSED)
async def test_json_that_is_no_conversation_is_refused_by_its_place(
    client: RawClient, context_id: str, name: str
) -> None:
    text, path = JSON_REFUSED[name]
    error = await refused(client, "context/import", contextId=context_id, format="json", text=text)
    assert (error.code, error.data) == (-32602, {"path": path})
    assert await window_of(client, context_id, "history") == []


@pytest.mark.parametrize("name", MARKDOWN_REFUSED)
async def test_markdown_that_is_no_conversation_is_refused_by_its_place(
    client: RawClient, context_id: str, name: str
) -> None:
    text, path = MARKDOWN_REFUSED[name]
    error = await refused(client, "context/import", contextId=context_id, format="markdown", text=text)
    assert (error.code, error.data) == (-32602, {"path": path})
    assert await window_of(client, context_id, "history") == []


@pytest.mark.parametrize(
    "text",
    [
        '[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}]',
        '{"format": "ullage-conversation", "version": 2, "messages": []}',
    ],
    ids=["an image", "a newer version"],
)
async def test_what_is_not_supported_yet_is_said(client: RawClient, context_id: str, text: str) -> None:
    error = await refused(client, "context/import", contextId=context_id, format="json", text=text)
    assert (error.code, error.data["kind"]) == (-32803, "notSupported")


async def test_nothing_of_a_refused_import_is_quoted(client: RawClient, context_id: str) -> None:
    for format_, text in (
        ("json", f'[{{"role": "{SECRET}", "content": "{SECRET}"}}]'),
        ("json", f'{{"{SECRET}": '),
        ("markdown", f"# {SECRET}\n"),
        ("markdown", f'<!-- ullage:1 conversation {{"version": 1}} -->\n<!-- ullage:1 message {SECRET} -->\n'),
    ):
        error = await refused(client, "context/import", contextId=context_id, format=format_, text=text)
        assert SECRET not in str(error)
    assert SECRET not in client.stderr.decode()


@pytest.mark.parametrize("format_", FORMATS)
async def test_a_text_of_ten_megabytes_is_taken_and_given_back(
    client: RawClient, context_id: str, format_: str
) -> None:
    long = "harbour word " * (10_000_000 // 13)
    document = json.dumps([{"role": "user", "content": long}]) if format_ == "json" else f"## User\n\n{long}\n"
    assert (await imported(client, context_id, format_, document))["messages"] == 1
    page = await client.request("context/messages", {"contextId": context_id}, timeout=PATIENCE_S)
    assert page["messages"][0]["content"].rstrip() == long.rstrip()
    assert len(await exported(client, context_id, format_)) > len(long)
    await client.request("context/delete", {"contextId": context_id}, timeout=PATIENCE_S)


async def test_a_text_beyond_all_bounds_is_refused_by_its_place(client: RawClient, context_id: str) -> None:
    text = json.dumps([{"role": "user", "content": "x" * (LARGEST_TEXT + 1)}])
    error = await refused(client, "context/import", contextId=context_id, format="json", text=text)
    assert (error.code, error.data) == (-32602, {"path": "messages[0].content"})


async def test_more_messages_than_can_be_taken_are_to_be_imported_in_parts(client: RawClient, context_id: str) -> None:
    text = "[" + ",".join(['{"role":"user","content":""}'] * (MOST_MESSAGES + 1)) + "]"
    error = await refused(client, "context/import", contextId=context_id, format="json", text=text)
    assert (error.code, error.data) == (-32602, {"path": "messages"})
    assert "in parts" in error.message
    assert await window_of(client, context_id, "history") == []


BOMBS: dict[str, tuple[str, str, str, int]] = {
    # name: the format, how the text begins, what comes again and again, how often
    "millions of empty objects": ("json", "[{}", ",{}", 20_000_000),
    "millions of empty lists in one message": ("json", '[{"role": "user", "content": [[]', ",[]", 18_000_000),
    "millions of headings": ("markdown", "", "## User\na\n", 4_000_000),
    "millions of markers": (
        "markdown",
        '<!-- ullage:1 conversation {"version": 1} -->\n',
        "<!-- ullage:1 message -->\n",
        2_000_000,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
async def test_a_file_of_millions_of_nothing_is_refused_before_it_is_made(tmp_path: Path, name: str) -> None:
    """It would take gigabytes, and keep everybody waiting meanwhile."""
    format_, beginning, again, times = BOMBS[name]
    async with ullage(tmp_path) as client:
        context_id, process = await opened(client), psutil.Process(client.process.pid)
        before = most = process.memory_info().rss
        params = {"contextId": context_id, "format": format_, "text": beginning + again * times}
        importing, waits = await client.begin("context/import", params), [time.perf_counter()]
        while importing not in client.answers:
            await client.request("context/list", timeout=PATIENCE_S)
            most = max(most, process.memory_info().rss)
            waits.append(time.perf_counter())
        with pytest.raises(RpcError, match="in parts") as caught:
            await client.answer(importing)
        assert caught.value.code == -32602
        assert most - before < 600 * 2**20
        longest = max(later - earlier for earlier, later in pairwise(waits))
        assert longest < (waits[-1] - waits[0]) / 2  # nobody waits for all of it


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_hundred_thousand_messages_are_taken_while_others_are_answered(tmp_path: Path) -> None:
    roles = ("user", "assistant")
    said = [{"role": roles[n % 2], "content": f"Message {n}."} for n in range(100_000)]
    async with ullage(tmp_path) as client:
        context_id, other = await opened(client), await opened(client, "other")
        params = {"contextId": context_id, "format": "json", "text": json.dumps(said)}
        importing = await client.begin("context/import", params)
        answered = 0
        while importing not in client.answers:
            await appended(client, other, f"Meanwhile {answered}.")
            answered += 1
        assert (await client.answer(importing))["messages"] == len(said)
        assert answered > 3
        assert len(await window_of(client, other)) == min(answered, 1000)
        text = await exported(client, context_id, "json")
        assert [m["content"] for m in json.loads(text)["messages"]] == [m["content"] for m in said]
        assert (await found(client, '"Message 77777"', limit=5))[0]["message"]["content"] == "Message 77777."
