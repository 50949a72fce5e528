"""A connection's beginning and end, also where one side does not keep to it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from support.raw_client import RawClient, RpcError
from ullage import __version__

TOY = [sys.executable, str(Path(__file__).parent.parent / "support" / "toy_server.py")]
INITIALIZE = {"processId": None, "rootUri": None, "capabilities": {}}


async def refused(client: RawClient, method: str, params: object = None) -> int:
    with pytest.raises(RpcError) as caught:
        await client.request(method, params)
    return caught.value.code


async def test_initialize_tells_what_the_server_is_and_can(raw: RawClient) -> None:
    operations = {"workspace": {"fileOperations": {"didRename": True}}}
    result = await raw.initialize(capabilities=operations)
    assert result["serverInfo"] == {"name": "ullage", "version": __version__}
    capabilities = result["capabilities"]
    assert capabilities["experimental"]["ullage"]["version"] == __version__
    assert {"context/open", "context/chat"} <= set(capabilities["experimental"]["ullage"]["requests"])
    assert capabilities["textDocumentSync"]["change"] == 0
    assert capabilities["workspace"]["workspaceFolders"] == {"supported": True, "changeNotifications": True}
    (renamed,) = capabilities["workspace"]["fileOperations"]["didRename"]["filters"]
    assert renamed == {"scheme": "file", "pattern": {"glob": "**/*", "matches": "folder"}}
    assert capabilities["executeCommandProvider"] == {"commands": []}


async def test_nothing_is_served_before_initialize(raw: RawClient) -> None:
    for method in ("context/list", "shutdown", "no/such"):
        assert await refused(raw, method) == -32002
    await raw.notify("initialized", {})
    await raw.initialize()
    assert await raw.request("context/list") == {"took": "NoParams"}


async def test_a_refused_initialize_may_be_tried_again(raw: RawClient) -> None:
    assert await refused(raw, "initialize", {"processId": "x"}) == -32602
    assert await refused(raw, "context/list") == -32002
    await raw.initialize()


async def test_initialize_happens_once(client: RawClient) -> None:
    assert await refused(client, "initialize", INITIALIZE) == -32600


async def test_two_initializes_at_once_are_one(raw: RawClient) -> None:
    first, second = await raw.begin("initialize", INITIALIZE), await raw.begin("initialize", INITIALIZE)
    with pytest.raises(RpcError) as caught:
        await raw.answer(second)
    assert caught.value.code == -32600
    assert (await raw.answer(first))["serverInfo"]


async def test_nothing_is_served_after_shutdown(client: RawClient) -> None:
    await client.request("shutdown")
    for method in ("context/list", "initialize", "shutdown"):
        assert await refused(client, method) == -32600


async def test_exit_after_shutdown_is_success(client: RawClient) -> None:
    assert await client.shut_down() == 0


async def test_exit_without_shutdown_is_failure(client: RawClient) -> None:
    await client.notify("exit")
    assert await client.wait(2) == 1


async def test_exit_works_before_initialize(raw: RawClient) -> None:
    await raw.notify("exit")
    assert await raw.wait(5) == 1


async def test_the_hooks_hear_of_everything_once(client: RawClient) -> None:
    await client.notify("workspace/didChangeConfiguration", {"settings": {"ullage": {}}})
    await client.notify("workspace/didChangeWorkspaceFolders", {"event": {"added": [], "removed": []}})
    await client.notify("workspace/didRenameFiles", {"files": [{"oldUri": "file:///a", "newUri": "file:///b"}]})
    assert await client.shut_down() == 0
    heard = {each["params"]["hook"]: each["params"]["with"] for each in client.notifications}
    assert heard == {
        "initialized": [],
        "configuration_changed": ["dict"],
        "folders_changed": ["WorkspaceFoldersChangeEvent"],
        "folders_renamed": ["RenameFilesParams"],
        "shutdown": [],
        "exit": [],
    }
    assert len(client.notifications) == 6


async def test_shutdown_cancels_work_in_flight_and_is_answered_within_two_seconds(client: RawClient) -> None:
    sleeping = await client.begin("toy/sleep", {"seconds": 60})
    stubborn = await client.begin("toy/sleep", {"seconds": 60, "stubborn": True})
    await client.request("shutdown", timeout=2)
    assert [each["error"]["code"] for each in client.answers[sleeping]] == [-32800]
    assert [each["result"] for each in client.answers[stubborn]] == ["slept"]
    assert (await client.notification("toy/heard"))["hook"] == "initialized"
    assert (await client.notification("toy/heard"))["hook"] == "shutdown"


@pytest.mark.parametrize("orderly", [True, False])
async def test_a_thread_that_hangs_keeps_nobody(client: RawClient, orderly: bool) -> None:
    await client.begin("toy/hang", {})
    begun = time.monotonic()
    if orderly:
        await client.request("shutdown")
    await client.notify("exit")
    assert await client.wait(3) == (0 if orderly else 1)
    assert time.monotonic() - begun < 3


async def test_the_end_of_input_ends_the_server(client: RawClient) -> None:
    await client.begin("toy/sleep", {"seconds": 60})
    await client.close_input()
    assert await client.wait(5) == 1
    assert {each["params"]["hook"] for each in client.notifications} >= {"shutdown", "exit"}


async def test_the_end_of_input_in_the_middle_of_a_frame_ends_the_server(client: RawClient) -> None:
    await client.send_bytes(b"Content-Length: 100\r\n\r\n{")
    await client.close_input()
    assert await client.wait(5) == 1


async def test_a_client_that_reads_no_more_ends_the_server(client: RawClient) -> None:
    client.process._transport.get_pipe_transport(1).close()
    await client.begin("toy/flood", {})
    assert await client.wait(5) == 1


async def test_the_death_of_the_parent_ends_the_server(raw: RawClient) -> None:
    parent = await asyncio.create_subprocess_exec("sleep", "60")
    await raw.initialize(processId=parent.pid)
    parent.kill()
    await parent.wait()
    assert await raw.wait(5) == 1


async def test_a_parent_that_can_not_be_seen_is_not_waited_for(raw: RawClient) -> None:
    gone = await asyncio.create_subprocess_exec("true")
    await gone.wait()
    await raw.initialize(processId=gone.pid)
    with pytest.raises(TimeoutError):
        await raw.wait(1.5)
    assert await raw.request("context/list") == {"took": "NoParams"}


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_server_in_order(client: RawClient, number: signal.Signals) -> None:
    os.kill(client.process.pid, number)
    assert await client.wait(3) == 1
    assert {each["params"]["hook"] for each in client.notifications} >= {"shutdown", "exit"}
    assert b"Traceback" not in client.stderr


async def test_two_servers_live_side_by_side() -> None:
    async with RawClient.start(TOY) as one, RawClient.start(TOY) as other:
        await asyncio.gather(one.initialize(), other.initialize())
        assert await one.shut_down() == 0
        assert await other.request("context/list") == {"took": "NoParams"}
