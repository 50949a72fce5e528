"""Editors that only speak the standard protocol: every line as a command, its answer shown as text."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from support.raw_client import RawClient, RpcError
from support.twins import TARGET, Twins, alike, conversing, twins_of
from support.ullage_server import opened, ullage, window_of
from ullage.contexts.commands.figures import short_id
from ullage.contexts.commands.lines import EXECUTABLE, LINES
from ullage.contexts.commands.markdown import plain

pytestmark = pytest.mark.asyncio(loop_scope="module")

INFO = 3
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "search": ("harbour",),
    "size": (TARGET,),
    "snapshot": ("before",),
    "estimate": ("truncate",),
    "auto": ("on",),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RawClient]:
    async with conversing(tmp_path_factory.mktemp("commands")) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def twins(client: RawClient) -> Twins:
    """``asked`` is the active one."""
    return await twins_of(client)


async def executed(client: RawClient, name: str, *arguments: Any) -> tuple[Any, str]:
    """The result, and the message that the person was shown."""
    params = {"command": f"ullage.server.{name}", "arguments": list(arguments)}
    result = await client.request("workspace/executeCommand", params)
    shown = await client.notification("window/showMessage")
    assert shown["type"] == INFO
    return result, shown["message"]


async def refused(client: RawClient, name: str, arguments: list[Any]) -> RpcError:
    with pytest.raises(RpcError) as caught:
        await client.request("workspace/executeCommand", {"command": name, "arguments": arguments})
    assert caught.value.message.endswith(".")
    return caught.value


def markup_in(text: str) -> list[str]:
    return re.findall(r"\*\*|^\| ?---|^`{3}|\\[\\`*\[\]<>|]", text, re.MULTILINE)


async def test_the_capabilities_name_every_line(client: RawClient) -> None:
    [told] = [answers[0]["result"] for answers in client.answers.values() if "serverInfo" in str(answers[0])]
    assert told["capabilities"]["executeCommandProvider"]["commands"] == list(EXECUTABLE)
    assert set(EXECUTABLE) == {f"ullage.server.{line.name}" for line in LINES}


@pytest.mark.parametrize("name", [line.name for line in LINES if line.name != "forget"])
async def test_each_command_answers_as_its_line_does_and_is_shown_as_plain_text(twins: Twins, name: str) -> None:
    arguments = ARGUMENTS.get(name, ())
    if name == "undo":
        await twins.line("clear")
        await twins.request("context/clear")
    result, shown = await executed(twins.client, name, *arguments)
    line = await twins.line(" ".join([name, *map(str, arguments)]))
    if name in ("search", "history"):  # they tell of more than what twins share
        assert type(result["data"]) is type(line["data"])
    else:
        assert alike(result["data"]) == alike(line["data"])
    assert shown == plain(result["markdown"])
    if name != "export":
        assert markup_in(shown) == []


async def test_forget_erases_the_message_that_was_named(twins: Twins) -> None:
    message_id = await twins.newest(twins.lined, "context/messages", "messages")
    named = {"contextId": twins.lined, "argument": short_id(message_id)}
    result, shown = await executed(twins.client, "forget", named)
    assert result["data"] is None
    assert shown.startswith(f"Erased for good: {short_id(message_id)}.")
    assert await twins.newest(twins.lined, "context/messages", "messages") != message_id


@pytest.mark.parametrize(
    "arguments",
    [
        ["before the storm"],
        [{"argument": "before the storm"}],
        [{"argument": " before the storm ", "contextId": None, "line": None, "unknown": [1]}],
        [{"line": "/context snapshot before the storm"}],
        [{"line": "snapshot before the storm"}],
        [{"line": "/SNAPSHOT before the storm"}],
    ],
    ids=str,
)
async def test_every_form_of_arguments_means_the_same(twins: Twins, arguments: list[Any]) -> None:
    result, _ = await executed(twins.client, "snapshot", *arguments)
    assert (result["data"]["contextId"], result["data"]["summary"]) == (twins.asked, "before the storm")


async def test_a_number_will_do_for_the_text_of_a_number(twins: Twins) -> None:
    for argument in (TARGET, {"argument": TARGET}, str(TARGET)):
        assert (await executed(twins.client, "size", argument))[0]["data"]["tokens"] == TARGET


@pytest.mark.parametrize("params", [{}, {"arguments": []}, {"arguments": [None]}, {"arguments": [{}]}], ids=str)
async def test_a_command_without_arguments_is_the_line_alone(twins: Twins, params: dict[str, Any]) -> None:
    result = await twins.client.request("workspace/executeCommand", {"command": "ullage.server.status", **params})
    assert result["data"]["context"]["id"] == twins.asked
    await twins.client.notification("window/showMessage")


async def test_an_object_can_name_another_context_than_the_active_one(twins: Twins) -> None:
    result, _ = await executed(twins.client, "status", {"contextId": twins.lined})
    assert result["data"]["context"]["id"] == twins.lined
    assert (await executed(twins.client, "status"))[0]["data"]["context"]["id"] == twins.asked


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("size", ["8k", "9k"]),
        ("size", [1.5]),
        ("size", [["8k"]]),
        ("size", [{"argument": 1.5}]),
        ("size", [{"argument": ["8k"]}]),
        ("size", [{"line": 8192}]),
        ("size", [{"line": "size 8k", "argument": "8k"}]),
        ("size", [{"line": "clear"}]),
        ("size", [{"contextId": 5}]),
        ("size", [{"contextId": {}, "argument": "8k"}]),
        ("size", ["plenty"]),
        ("size", [True]),
        ("size", [2**63]),
        ("clear", ["everything"]),
        ("clear", [0]),
        ("search", []),
        ("forget", []),
        ("restore", ["ZZZZZZ"]),
    ],
    ids=str,
)
async def test_bad_arguments_are_refused_by_their_path_and_change_nothing(
    twins: Twins, name: str, arguments: list[Any]
) -> None:
    before = await window_of(twins.client, twins.asked)
    error = await refused(twins.client, f"ullage.server.{name}", arguments)
    assert (error.code, error.data) == (-32602, {"path": "arguments"})
    assert await window_of(twins.client, twins.asked) == before
    assert (await twins.request("context/status"))["usage"]["limit"] == TARGET


@pytest.mark.parametrize("name", ["ullage.server.", "ullage.server.fly", "ullage.status", "size", "", "x" * 10_000])
async def test_an_unknown_command_is_refused_by_its_path(client: RawClient, name: str) -> None:
    error = await refused(client, name, [])
    assert (error.code, error.data) == (-32602, {"path": "command"})
    assert len(error.message) < 300


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({}, "command"),
        ({"command": None}, "command"),
        ({"command": 5}, "command"),
        ({"command": ["ullage.server.status"]}, "command"),
        ({"command": "ullage.server.status", "arguments": "x"}, "arguments"),
        ({"command": "ullage.server.status", "arguments": {"contextId": "x"}}, "arguments"),
        ({"command": "ullage.server.status", "arguments": 2**63}, "arguments"),
    ],
    ids=str,
)
async def test_params_that_are_no_command_are_refused_by_their_path(
    client: RawClient, params: dict[str, Any], path: str
) -> None:
    with pytest.raises(RpcError) as caught:
        await client.request("workspace/executeCommand", params)
    assert (caught.value.code, caught.value.data) == (-32602, {"path": path})


async def test_what_fails_shows_nothing_but_its_error(twins: Twins) -> None:
    error = await refused(twins.client, "ullage.server.undo", [])
    assert (error.code, error.data["kind"]) == (-32803, "nothingToUndo")
    assert [each for each in twins.client.notifications if each["method"] == "window/showMessage"] == []


async def test_what_was_said_is_shown_as_text_and_steers_nothing(client: RawClient) -> None:
    hostile = "a | [b](command:rm) ![c](d) <e> `f` \x1b[2J **g**\n# h"
    context_id = await opened(client, "hostile")
    said = [{"role": "user", "content": hostile}]
    await client.request("context/append", {"contextId": context_id, "messages": said})
    result, shown = await executed(client, "messages", {"contextId": context_id})
    assert result["data"]["messages"][0]["content"] == hostile
    assert "a | [b](command:rm) ![c](d) <e> `f` [2J **g** # h" in shown
    assert "\x1b" not in shown


async def test_a_context_without_a_model_server_is_shown_all_the_same(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        await opened(client)
        result, shown = await executed(client, "status")
        assert result["data"]["model"]["provider"] is None
        assert "no model server answers" in shown
