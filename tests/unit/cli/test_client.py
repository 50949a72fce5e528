"""The client against servers that behave, and servers that do not."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.terminal_with_fake_server import FAKE_SERVER
from ullage.cli.client import Client, ServerError, ServerGone, start


@asynccontextmanager
async def fake(mode: str = "normal", tell_person: Callable[[str], None] = print) -> AsyncIterator[Client]:
    client = await start(tell_person, command=(sys.executable, FAKE_SERVER, mode))
    try:
        yield client
    finally:
        await client.stop()


async def test_a_request_is_answered_with_its_result() -> None:
    async with fake() as client:
        answers = await asyncio.gather(*(client.request("echo", {"number": n}) for n in range(20)))
    assert answers == [{"number": n} for n in range(20)]


async def test_a_refusal_carries_the_sentence_and_the_kind() -> None:
    async with fake() as client:
        with pytest.raises(ServerError) as refusal:
            await client.request("context/sail")
    assert (refusal.value.code, refusal.value.kind) == (-32601, "notSupported")
    assert refusal.value.message == "The server knows no such request."


async def test_notifications_reach_those_who_listen() -> None:
    heard: list[str] = []
    async with fake() as client:
        client.listen("$/progress", lambda params: heard.append(params["value"]["delta"]))
        await client.request("context/chat", {"text": "What is a quay?", "partialResultToken": 1})
    assert "".join(heard) == "A quay is a landing place."


async def test_who_stopped_listening_hears_nothing() -> None:
    heard: list[object] = []
    async with fake() as client:
        client.listen("$/progress", heard.append)()
        await client.request("context/chat", {"text": "What is a quay?"})
    assert heard == []


async def test_a_cancelled_call_still_gets_its_answer() -> None:
    async with fake("endless") as client:
        began = asyncio.Event()
        client.listen("$/progress", lambda _: began.set())
        call = client.call("context/chat", {"text": "What is a quay?"})
        await began.wait()
        call.cancel()
        result = await call.answer()
    assert result["stopReason"] == "cancelled"


async def test_cancelling_who_waits_cancels_the_request() -> None:
    async with fake("endless") as client:
        task = asyncio.create_task(client.request("context/chat", {"text": "What is a quay?"}))
        began = asyncio.Event()
        client.listen("$/progress", lambda _: began.set())
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await client.request("echo", {}) == {}  # it goes on only once the cancel came


async def test_the_death_of_the_server_ends_every_wait_with_its_last_words() -> None:
    async with fake() as client:
        waiting = asyncio.gather(client.request("die"), client.request("echo", {}), return_exceptions=True)
        first, second = await asyncio.wait_for(waiting, 5)
    assert isinstance(first, ServerGone)
    assert isinstance(second, ServerGone)
    assert first.tail == "the boiler burst"


async def test_a_dead_server_takes_no_further_request() -> None:
    async with fake() as client:
        with pytest.raises(ServerGone):
            await client.request("die")
        client.notify("initialized")
        with pytest.raises(ServerGone):
            await client.request("echo", {})


async def test_a_command_that_is_no_server_is_told_as_gone() -> None:
    client = await start(print, command=(sys.executable, "-c", "raise SystemExit('no such harbour')"))
    with pytest.raises(ServerGone) as gone:
        await client.initialize()
    await client.stop()
    assert gone.value.tail == "no such harbour"


async def test_garbage_on_standard_output_ends_the_server() -> None:
    async with fake() as client:
        with pytest.raises(ServerGone, match="not of the protocol"):
            await asyncio.wait_for(client.request("garbage"), 5)


async def test_an_error_about_an_unreadable_request_reaches_who_waits() -> None:
    async with fake() as client:
        with pytest.raises(ServerError, match=r"Send JSON\."):
            await asyncio.wait_for(client.request("unreadable"), 5)


async def test_a_server_that_ignores_shutdown_is_killed_in_time() -> None:
    client = await start(print, command=(sys.executable, FAKE_SERVER, "deaf"))
    await client.initialize()
    began = time.perf_counter()
    await client.stop()
    assert time.perf_counter() - began < 3


@pytest.mark.parametrize(
    ("method", "params", "answer"),
    [
        ("workspace/configuration", {"items": [{}, {}]}, {"result": [None, None]}),
        ("window/workDoneProgress/create", {"token": 1}, {"result": None}),
        ("client/registerCapability", {"registrations": []}, {"result": None}),
        ("window/showMessageRequest", {"type": 1, "message": "Shrink it?"}, {"result": None}),
    ],
)
async def test_the_servers_own_requests_are_answered(method: str, params: dict[str, object], answer: object) -> None:
    async with fake(tell_person=lambda _: None) as client:
        assert await client.request("ask", {"method": method, "params": params}) == answer


async def test_an_unknown_request_of_the_server_is_refused() -> None:
    async with fake() as client:
        answer = await client.request("ask", {"method": "window/paint", "params": {}})
    assert answer["error"]["code"] == -32601


async def test_a_decision_is_shown_to_the_person() -> None:
    shown: list[str] = []
    async with fake(tell_person=shown.append) as client:
        await client.request("ask", {"method": "window/showMessageRequest", "params": {"message": "Shrink it?"}})
    assert shown == ["Shrink it?"]


async def test_a_message_of_the_server_is_shown_to_the_person() -> None:
    shown: list[str] = []
    async with fake("warns", tell_person=shown.append) as client:
        await client.initialize()
    assert shown == ["Setting context.targetSize (user file): must be a whole number"]


async def test_the_storage_folder_goes_through_the_environment(tmp_path: Path) -> None:
    code = "import os, sys; sys.exit(os.environ['ULLAGE_STORAGE'])"
    client = await start(print, storage=tmp_path, command=(sys.executable, "-c", code))
    with pytest.raises(ServerGone) as gone:
        await client.initialize()
    await client.stop()
    assert gone.value.tail == str(tmp_path)
