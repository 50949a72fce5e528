"""Each line that a person types, against the request that it stands for: the same answer, and its figures shown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from attrs import frozen

from support.raw_client import RawClient, RpcError
from support.twins import MODEL, Twins, alike, alike_text, conversation, conversing, twins_of
from support.ullage_server import opened, ullage, window_of
from ullage.contexts.commands.figures import short_id, size_text
from ullage.contexts.commands.lines import LINES
from ullage.contexts.commands.markdown import plain
from ullage.conversation.ids import encode

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODY = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
"""An id that nothing has."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RawClient]:
    """One server for all that leaves the model's size alone, which every context shares."""
    async with conversing(tmp_path_factory.mktemp("lines")) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def twins(client: RawClient) -> Twins:
    return await twins_of(client)


@pytest_asyncio.fixture(loop_scope="module")
async def alone(tmp_path: Path) -> AsyncIterator[Twins]:
    """The only contexts of a server of their own."""
    async with conversing(tmp_path) as client:
        yield await twins_of(client)


def filled(result: Any) -> str:
    """``12,847 / 32,768``, of a result with a usage."""
    usage = result["usage"]
    return f"{usage['tokens']:,} / {usage['limit']:,}"


def reduced(result: Any) -> list[str]:
    return [f"{result['originalTokens']:,} → {result['compressedTokens']:,} tokens", f"{result['removed']} messages"]


def shown_in(figure: str, markdown: str) -> bool:
    """Whether a person can read it; columns are as wide as they need to be."""
    return "".join(figure.split()) in "".join(plain(markdown).split())


@frozen
class Stands:
    """``line`` stands for ``method`` with ``params``; ``figures`` of the result are what a person has to read."""

    line: str
    method: str
    params: dict[str, Any]
    figures: Callable[[Any], list[str]]


ALIKE = (
    Stands("/context", "context/status", {}, lambda r: [filled(r), r["model"]["name"], "ollama", "Snapshots 1"]),
    Stands("status", "context/status", {}, lambda r: [filled(r), r["kvCache"]["type"], "Compression off"]),
    Stands(
        "stats",
        "context/stats",
        {},
        lambda r: [filled(r), f"user {r['tokensByRole']['user']:,}", "context.targetSize 4096 editor"],
    ),
    Stands("size", "context/sizing", {}, lambda r: [f"{r['tokens']:,} tokens", r["explanation"]]),
    Stands(
        "snapshot before the storm",
        "context/snapshot/create",
        {"summary": "before the storm"},
        lambda r: [f"{r['tokens']:,} tokens", f"{r['messages']} messages", size_text(r["bytes"]), short_id(r["id"])],
    ),
    Stands(
        "restore",
        "context/snapshot/list",
        {},
        lambda r: [short_id(r["snapshots"][0]["id"]), f"{r['snapshots'][0]['tokens']:,}", "the start"],
    ),
    Stands("clear", "context/clear", {}, lambda r: [filled(r)]),
    Stands("compress truncate", "context/compress", {"strategy": "truncate"}, reduced),
    Stands("compress", "context/compress", {}, reduced),
    Stands("estimate truncate", "context/estimateCompression", {"strategy": "truncate"}, reduced),
    Stands("mode poet", "context/update", {"mode": "poet"}, lambda r: ["poet", filled(r)]),
    Stands("memory", "context/memory", {}, lambda r: [size_text(r["total"]), r["kind"]]),
    Stands("models", "context/models", {}, lambda r: [r["models"][0]["name"], "131,072"]),
    Stands("model", "context/models", {}, lambda r: [r["models"][0]["name"]]),
    Stands(f"model {MODEL}", "context/model/select", {"model": MODEL}, lambda r: [r["model"], filled(r)]),
    Stands("list", "context/list", {}, lambda r: [f"{c['name']} project {c['priority']}" for c in r["contexts"]]),
    Stands("switch", "context/list", {}, lambda r: [filled(c) for c in r["contexts"]]),
    Stands(
        "messages",
        "context/messages",
        {"limit": 20},
        lambda r: [f"{short_id(m['id'])} {m['role']} {m['tokens']}" for m in r["messages"]] + ["there are older ones"],
    ),
    Stands("search Delfzijl", "context/search", {"query": "Delfzijl", "limit": 20}, lambda _: ["is Delfzijl."]),
    Stands("export", "context/export", {"format": "markdown"}, lambda r: [r["text"]]),
    Stands("export json", "context/export", {"format": "json"}, lambda r: [r["text"]]),
)
"""Those that need no id; the others follow below."""


@pytest.mark.parametrize("case", ALIKE, ids=lambda case: case.line)
async def test_a_line_answers_what_the_request_answers_that_it_stands_for(twins: Twins, case: Stands) -> None:
    result = await twins.line(case.line)
    direct = await twins.request(case.method, **case.params)
    if case.method != "context/search":  # it looks into every context, and finds what both hold
        assert alike(result["data"]) == alike(direct)
    assert alike(result["data"]).keys() == alike(direct).keys()
    for figure in case.figures(result["data"]):
        assert shown_in(figure, result["markdown"])


@pytest.mark.parametrize("enabled", [True, False])
async def test_auto_stands_for_letting_memory_decide_the_size_or_not(alone: Twins, enabled: bool) -> None:
    result = await alone.line(f"auto {'on' if enabled else 'off'}")
    assert alike(result["data"]) == alike(await alone.request("context/autoSize", enabled=enabled))
    assert ("Memory decides the size" if enabled else "The size stays as it is") in result["markdown"]
    assert (await alone.request("context/status"))["autoSize"] is enabled


async def test_auto_by_itself_turns_it_round(alone: Twins) -> None:
    for enabled in (False, True):
        await alone.line("auto")
        assert (await alone.request("context/status"))["autoSize"] is enabled


@pytest.mark.parametrize("typed", ["size 8192", "/context size 8192", "/CONTEXT  Size 8,192 tokens", "/size 8k"])
async def test_property_27_size_command_gives_the_model_the_size_that_was_typed(alone: Twins, typed: str) -> None:
    result = await alone.line(typed)
    status = await alone.request("context/status")
    assert status["usage"]["limit"] == result["data"]["tokens"] == 8192
    assert shown_in("8,192 tokens", result["markdown"])
    assert alike(result["data"]) == alike(await alone.request("context/resize", tokens=8192))


async def test_property_28_restore_command_brings_the_chosen_windows_words_back(twins: Twins) -> None:
    """Whichever of three snapshots it is, by number, end of its id, or whole id."""
    windows: dict[str, list[str]] = {}
    for number in range(3):
        made = await twins.line(f"snapshot number {number}")
        windows[made["data"]["id"]] = await window_of(twins.client, twins.lined)
        said = [{"role": "user", "content": f"And {number}."}]
        await twins.client.request("context/append", {"contextId": twins.lined, "messages": said})
    after = await window_of(twins.client, twins.lined)
    listed = (await twins.line("restore"))["data"]["snapshots"]
    assert [each["summary"] for each in listed] == ["number 2", "number 1", "number 0", "the start"]
    for number, snapshot in enumerate(listed[:3], 1):
        for name in (str(number), short_id(snapshot["id"]), snapshot["id"]):
            result = await twins.line(f"restore {name}")
            assert await window_of(twins.client, twins.lined) == windows[snapshot["id"]]
            assert result["data"]["usage"]["messages"] == len(windows[snapshot["id"]])
            await twins.line("undo")
            assert await window_of(twins.client, twins.lined) == after


async def test_restore_stands_for_a_restore_of_that_snapshot(twins: Twins) -> None:
    ids = [await twins.newest(each, "context/snapshot/list", "snapshots") for each in (twins.lined, twins.asked)]
    for context_id in (twins.lined, twins.asked):
        await twins.client.request("context/clear", {"contextId": context_id})
    result = await twins.line(f"restore {short_id(ids[0])}")
    assert alike(result["data"]) == alike(await twins.request("context/snapshot/restore", snapshotId=ids[1]))
    assert shown_in(filled(result["data"]), result["markdown"])
    assert len(await window_of(twins.client, twins.lined)) == len(conversation())


async def test_property_29_clear_command_keeps_system_prompt_and_pins(twins: Twins) -> None:
    await twins.line("mode poet")
    page = await twins.client.request("context/messages", {"contextId": twins.lined, "limit": 4})
    await twins.line(f"pin {page['messages'][2]['id']}")
    result = await twins.line("clear")
    kept = await window_of(twins.client, twins.lined)
    assert kept == ["Be brief.", "The harbour is Delfzijl.", page["messages"][2]["content"]]
    assert result["data"]["usage"]["messages"] == len(kept)
    exported = await twins.client.request("context/export", {"contextId": twins.lined, "format": "json"})
    assert '"systemPrompt": "Rhyme."' in exported["text"]
    assert len(await window_of(twins.client, twins.lined, "history")) == len(conversation())
    assert len(await window_of(twins.client, twins.asked)) == len(conversation())
    await twins.line("undo")
    assert len(await window_of(twins.client, twins.lined)) == len(conversation())


async def test_undo_stands_for_an_undo_of_the_latest_change(twins: Twins) -> None:
    for context_id in (twins.lined, twins.asked):
        await twins.client.request("context/clear", {"contextId": context_id})
    result = await twins.line("undo")
    assert alike(result["data"]) == alike(await twins.request("context/undo"))
    assert shown_in(f"Took back: clear. Now {filled(result['data'])}", result["markdown"])


async def test_undo_takes_an_id_of_the_history(twins: Twins) -> None:
    await twins.line("clear")
    operations = (await twins.line("history"))["data"]["operations"]
    clear = next(each["id"] for each in operations if each["kind"] == "clear")
    assert (await twins.line(f"undo {short_id(clear)}"))["data"]["undone"]["id"] == clear


async def test_history_stands_for_the_newest_operations_of_this_context(twins: Twins) -> None:
    result = await twins.line("history")
    direct = await twins.client.request("context/history", {"contextIds": [twins.lined], "limit": 20})
    assert result["data"] == direct
    assert all(short_id(each["id"]) in result["markdown"] for each in direct["operations"])


@pytest.mark.parametrize("pinned", [True, False])
async def test_pin_and_unpin_stand_for_a_pin_of_that_message(twins: Twins, pinned: bool) -> None:
    ids = []
    for context_id in (twins.lined, twins.asked):
        page = await twins.client.request("context/messages", {"contextId": context_id})
        ids.append(page["messages"][2 if pinned else 1]["id"])
    result = await twins.line(f"{'pin' if pinned else 'unpin'} {short_id(ids[0])}")
    assert alike(result["data"]) == alike(await twins.request("context/pin", messageId=ids[1], pinned=pinned))
    assert ("Stays in the window" if pinned else "May leave the window again") in result["markdown"]


async def test_forget_stands_for_erasing_that_message(twins: Twins) -> None:
    message_id = await twins.newest(twins.lined, "context/messages", "messages")
    result = await twins.line(f"forget {short_id(message_id)}")
    assert (result["data"], short_id(message_id) in result["markdown"]) == (None, True)
    page = await twins.client.request("context/messages", {"contextId": twins.lined, "view": "history"})
    assert message_id not in [message["id"] for message in page["messages"]]


async def test_switch_stands_for_a_switch_to_the_context_of_this_name(alone: Twins) -> None:
    [name] = [c["name"] for c in (await alone.line("list"))["data"]["contexts"] if c["id"] == alone.asked]
    there = await alone.line(f"switch {name}")
    back = await alone.client.request("context/switch", {"contextId": alone.lined})
    assert alike(there["data"]) == alike(back)
    assert (there["data"]["context"]["id"], back["previousContextId"]) == (alone.asked, alone.asked)
    assert shown_in(filled(there["data"]["context"]), there["markdown"])


async def test_a_context_of_the_same_workspace_goes_before_others_of_its_name(client: RawClient) -> None:
    here = await opened(client, "here", name="night")
    await opened(client, "there", name="night")
    present = await opened(client, "here", name="day")
    result = await client.request("context/command", {"contextId": present, "line": "switch night"})
    assert result["data"]["context"]["id"] == here


async def test_help_and_the_list_of_modes_stand_for_no_request(twins: Twins) -> None:
    help_, modes = await twins.line("help"), await twins.line("mode")
    assert (help_["data"], modes["data"]) == (None, None)
    assert all(line.usage in plain(help_["markdown"]) for line in LINES)
    assert all(name in modes["markdown"] for name in ("poet", "reviewer"))


async def test_a_line_means_the_active_context_where_none_is_named(twins: Twins) -> None:
    for context_id in (twins.lined, twins.asked):
        await twins.client.request("context/switch", {"contextId": context_id})
        result = await twins.client.request("context/command", {"line": "status"})
        assert result["data"]["context"]["id"] == context_id


async def refused(client: RawClient, params: dict[str, Any]) -> RpcError:
    with pytest.raises(RpcError) as caught:
        await client.request("context/command", params)
    assert caught.value.message.endswith(".")
    return caught.value


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/context fly", "`/context help` lists them"),
        ("/context compres", "the nearest is `/context compress [strategy]`"),
        ("What is a quay?", "There is no such command"),
        ("/context forget", "Something is missing: `/context forget <id>`"),
        ("/context search", "Something is missing: `/context search <words>`"),
        ("/context clear everything", "Nothing follows `/context clear`"),
        ("/context size plenty", "such as 8192"),
        ("/context size 0", "from 1 to 2,147,483,647"),
        ("/context size -1", "from 1 to 2,147,483,647"),
        ("/context size 2147483648", "from 1 to 2,147,483,647"),
        ("/context auto perhaps", "Say on or off"),
        ("/context compress shred", "Say truncate, summarize, hybrid"),
        ("/context export pdf", "Say markdown or json"),
        ("/context restore 99", "No such number"),
        ("/context restore ZZZZZZ", "No id ends so"),
        ("/context forget 1", "at least the last 6"),
        ("/context undo ZZZZZZ", "No id ends so"),
        ("/context switch no such name", "No id ends so"),
        ("/context mode pirate", "(there are: poet, reviewer)"),
        ("/context snapshot " + "x" * 100_000, "summary"),
    ],
    ids=lambda text: text[:30],
)
async def test_a_line_that_can_not_be_carried_out_is_refused_with_what_to_do(
    twins: Twins, line: str, told: str
) -> None:
    before = await window_of(twins.client, twins.lined)
    error = await refused(twins.client, {"contextId": twins.lined, "line": line})
    assert (error.code, error.data) == (-32602, {"path": "line"})
    assert told in error.message
    assert await window_of(twins.client, twins.lined) == before


async def test_nothing_of_a_refused_line_is_quoted(client: RawClient) -> None:
    assert "swordfish" not in str(await refused(client, {"line": "my password is swordfish"}))


async def test_an_end_that_two_ids_share_is_refused_and_a_whole_id_is_not(twins: Twins) -> None:
    ids = [encode(number, number << 40 | 5) for number in (1, 2)]
    assert short_id(ids[0]) == short_id(ids[1])
    said = [{"role": "user", "content": "Alike.", "id": id_} for id_ in ids]
    await twins.client.request("context/append", {"contextId": twins.lined, "messages": said})
    error = await refused(twins.client, {"contextId": twins.lined, "line": f"forget {short_id(ids[0])}"})
    assert error.message.startswith("2 ids end so. Give more")
    await twins.line(f"forget {ids[0]}")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (f"restore {NOBODY}", "unknownSnapshot"),
        (f"forget {NOBODY}", "unknownMessage"),
        (f"pin {NOBODY}", "unknownMessage"),
        (f"undo {NOBODY}", "nothingToUndo"),
        (f"switch {NOBODY}", "unknownContext"),
        ("undo", "nothingToUndo"),
        ("model nothing-of-this-name", "modelUnavailable"),
    ],
)
async def test_what_the_request_itself_refuses_is_the_lines_error(twins: Twins, line: str, kind: str) -> None:
    error = await refused(twins.client, {"contextId": twins.lined, "line": line})
    assert (error.code, error.data["kind"]) == (-32803, kind)


async def test_without_an_open_context_lines_about_one_say_so_and_others_answer(tmp_path: Path) -> None:
    about_none = ("switch", "list", "models", "memory", "search", "help")
    async with ullage(tmp_path) as client:
        for name in [line.name for line in LINES]:
            params = {"line": f"/context {name}" + (" words" if name in ("search", "forget") else "")}
            if name in about_none:
                assert (await client.request("context/command", params))["markdown"]
                continue
            error = await refused(client, params)
            assert (error.code, error.data["kind"]) == (-32803, "unknownContext")
            assert "Open one" in error.message


async def test_a_context_that_there_is_not_is_said(client: RawClient) -> None:
    error = await refused(client, {"line": "status", "contextId": NOBODY})
    assert error.data["kind"] == "unknownContext"


@pytest.mark.parametrize(
    "line", ["\ud7ff" * 3, "/context " + "a " * 500_000, "\x00\x1b[2J", "/" * 10_000, "/context size " + "9" * 100_000]
)
async def test_hostile_lines_are_refused_in_a_sentence(twins: Twins, line: str) -> None:
    error = await refused(twins.client, {"contextId": twins.lined, "line": line})
    assert error.code == -32602
    assert len(error.message) < 300


async def test_exports_of_twins_differ_in_names_times_and_ids_alone(twins: Twins) -> None:
    texts = [(await twins.line("export"))["data"]["text"], (await twins.request("context/export", format="markdown"))]
    assert texts[0] != texts[1]["text"]
    assert alike_text(texts[0]) == alike_text(texts[1]["text"])
