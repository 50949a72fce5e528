"""Requests in both directions: one answer each, whatever is cancelled, fails, or comes late."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from support.raw_client import RawClient, RpcError, frame


async def failure(client: RawClient, id_: int | str) -> RpcError:
    with pytest.raises(RpcError) as caught:
        await client.answer(id_)
    return caught.value


async def test_a_cancelled_request_says_so(client: RawClient) -> None:
    sleeping = await client.begin("toy/sleep", {"seconds": 60})
    await client.cancel(sleeping)
    assert (await failure(client, sleeping)).code == -32800


async def test_a_handler_that_completes_although_cancelled_has_its_result_sent(client: RawClient) -> None:
    stubborn = await client.begin("toy/sleep", {"seconds": 60, "stubborn": True})
    await client.cancel(stubborn)
    assert await client.answer(stubborn) == "slept"


async def test_a_request_and_its_cancel_in_one_write_get_one_answer(client: RawClient) -> None:
    for id_ in range(100, 200):
        request = {"jsonrpc": "2.0", "id": id_, "method": "toy/sleep", "params": {"seconds": 60}}
        cancel = {"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": id_}}
        await client.send_bytes(frame(request) + frame(cancel))
    assert {(await failure(client, id_)).code for id_ in range(100, 200)} == {-32800}


async def test_ids_that_look_alike_are_different(client: RawClient) -> None:
    for id_ in (7, "7"):
        await client.send({"jsonrpc": "2.0", "id": id_, "method": "toy/sleep", "params": {"seconds": 60}})
    await client.cancel("7")
    assert (await failure(client, "7")).code == -32800
    assert 7 not in client.answers


async def test_an_id_in_use_is_refused_and_free_again_afterwards(client: RawClient) -> None:
    sleep = {"jsonrpc": "2.0", "id": "twice", "method": "toy/sleep", "params": {"seconds": 60}}
    await client.send(sleep)
    await client.send(sleep)
    assert (await failure(client, "twice")).code == -32600
    client.answers.clear()
    await client.cancel("twice")
    assert (await failure(client, "twice")).code == -32800
    client.answers.clear()
    await client.send({"jsonrpc": "2.0", "id": "twice", "method": "context/list"})
    assert await client.answer("twice")


async def test_a_failure_for_a_person_keeps_its_kind_and_data(client: RawClient) -> None:
    error = await failure(client, await client.begin("toy/fail", {"how": "known"}))
    assert (error.code, error.message) == (-32803, "No model server answers; start one.")
    assert error.data == {"kind": "providerUnavailable", "tried": ["127.0.0.1:11434"]}


@pytest.mark.parametrize("how", ["crash", "unencodable"])
async def test_a_defect_tells_the_client_nothing(client: RawClient, how: str) -> None:
    error = await failure(client, await client.begin("toy/fail", {"how": how}))
    assert (error.code, error.message, error.data) == (-32603, "Internal error", None)
    assert not client.notifications or all(each["method"] == "toy/heard" for each in client.notifications)


async def test_the_client_is_asked_and_answers(client: RawClient) -> None:
    asking = await client.begin("toy/ask", {"timeoutS": 10})
    question = await client.server_request("workspace/configuration")
    assert question["params"] == {"items": [{"section": "ullage"}]}
    await client.reply(question, [{"context": {"targetSize": 8192}}])
    assert await client.answer(asking) == [{"context": {"targetSize": 8192}}]


async def test_a_late_answer_to_a_question_taken_back_does_no_harm(client: RawClient) -> None:
    assert await client.request("toy/ask", {"timeoutS": 0.05}) == "no answer"
    question = await client.server_request("workspace/configuration")
    assert await client.notification("$/cancelRequest") == {"id": question["id"]}
    await client.reply(question, [{}])
    await client.reply(question, [{}])
    assert await client.request("context/list")
    assert b"ERROR" not in client.stderr


async def test_a_question_answered_with_an_error_fails_its_request(client: RawClient) -> None:
    asking = await client.begin("toy/ask", {"timeoutS": 10})
    question = await client.server_request("workspace/configuration")
    await client.send({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -32601, "message": "a secret"}})
    error = await failure(client, asking)
    assert error.code == -32603
    assert b"secret" not in client.stderr


async def test_large_frames_pass_both_ways(client: RawClient) -> None:
    value = {"text": "x" * 10_000_000}
    assert await client.request("toy/echo", {"value": value}, timeout=30) == value


async def test_a_client_that_writes_much_before_it_reads_is_served(client: RawClient) -> None:
    """Both pipes are full long before it begins to read; whoever waits for the other would wait for ever."""
    client._tasks[0].cancel()
    await asyncio.gather(client._tasks[0], return_exceptions=True)
    client._ended = False
    text = "x" * 10_000
    for id_ in range(1000, 2000):
        request = {"jsonrpc": "2.0", "id": id_, "method": "toy/echo", "params": {"value": {"text": text}}}
        await asyncio.wait_for(client.send(request), 10)
    client._tasks[0] = asyncio.create_task(client._read())
    for id_ in range(1000, 2000):
        assert (await client.answer(id_))["text"] == text


async def test_stray_prints_and_children_do_not_corrupt_the_stream(client: RawClient) -> None:
    assert await client.request("toy/print", {}) == ""
    assert await client.request("context/list")
    assert not client.stray_output
    assert b"a stray line\n" in client.stderr
    assert b"a stray line of a child\n" in client.stderr


async def test_two_thousand_mixed_requests_get_one_answer_each(client: RawClient) -> None:
    count = int(os.environ.get("ULLAGE_MIXED_REQUESTS", "2000"))
    choose = random.Random(11)
    kinds = [
        ("toy/echo", {"value": {"a": 1}}),
        ("toy/sleep", {"seconds": 0.01}),
        ("toy/sleep", {"seconds": 0.02, "stubborn": True}),
        ("toy/fail", {"how": "known"}),
        ("context/append", {"contextId": 5}),
        ("no/such", {}),
    ]
    ids = range(10_000, 10_000 + count)
    for id_ in ids:
        method, params = choose.choice(kinds)
        await client.send({"jsonrpc": "2.0", "id": id_, "method": method, "params": params})
        if choose.random() < 0.3:
            await client.cancel(choose.randrange(id_ - 20, id_ + 1))
    for id_ in ids:
        await client._wait_for(lambda id_=id_: client.answers.get(id_), 10)
    assert await client.request("context/list")
    assert {len(client.answers[id_]) for id_ in ids} == {1}
    assert client.unaddressed.empty()
