"""What is said, and what is done to the window: append, read, pin, clear, undo, history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.raw_client import RawClient, RpcError
from support.stub_servers import LlamaCppStub
from support.ullage_server import appended, opened, ullage, using, window_of
from ullage.conversation.ids import encode


async def undo(client: RawClient, context_id: str, **more: Any) -> dict[str, Any]:
    return await client.request("context/undo", {"contextId": context_id, **more})


async def test_what_was_appended_is_answered_with_ids_and_costs(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        [first, second] = await appended(client, context_id, "one", "two two")
        assert first["id"] < second["id"]
        assert first["tokens"] > 0
        assert first["source"] in ("estimate", "tiktoken")
        assert "pinned" not in first


async def test_a_retry_with_the_same_ids_adds_nothing(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        messages = [{"role": "user", "content": f"number {n}", "id": encode(n, n)} for n in range(3)]
        await client.request("context/append", {"contextId": context_id, "messages": messages[:2]})
        reply = await client.request("context/append", {"contextId": context_id, "messages": messages})
        assert [message["id"] for message in reply["messages"]] == [message["id"] for message in messages]
        assert reply["usage"]["messages"] == 3
        assert await window_of(client, context_id) == ["number 0", "number 1", "number 2"]


async def test_an_id_can_not_be_given_to_other_words(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        message = {"role": "user", "content": "first", "id": encode(1, 1)}
        await client.request("context/append", {"contextId": context_id, "messages": [message]})
        with pytest.raises(RpcError) as failure:
            changed = {**message, "content": "second"}
            await client.request("context/append", {"contextId": context_id, "messages": [changed]})
        assert (failure.value.code, failure.value.data["path"]) == (-32602, "messages[0].id")


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ({"role": "tool", "content": "42"}, "messages[0].toolCallId"),
        (
            {"role": "user", "content": "x", "toolCalls": [{"id": "1", "name": "n", "arguments": ""}]},
            "messages[0].toolCalls",
        ),
        ({"role": "user", "content": "x", "id": "short"}, "messages[0].id"),
        ({"role": "narrator", "content": "x"}, "messages[0].role"),
        ({"role": "user"}, "messages[0].content"),
    ],
)
async def test_what_can_be_no_message_is_refused_by_its_path(
    tmp_path: Path, message: dict[str, Any], path: str
) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        with pytest.raises(RpcError) as failure:
            await client.request("context/append", {"contextId": context_id, "messages": [message]})
        assert (failure.value.code, failure.value.data["path"]) == (-32602, path)
        assert await window_of(client, context_id) == []


async def test_developer_is_read_as_system(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        [message] = await appended(client, context_id, "Be brief.", role="developer")
        assert message["role"] == "system"


async def test_pages_ascend_and_tell_whether_older_ones_exist(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        said = await appended(client, context_id, *(f"m{n}" for n in range(5)))
        for view in ("window", "history"):
            params: dict[str, Any] = {"contextId": context_id, "view": view, "limit": 2}
            page = await client.request("context/messages", params)
            assert [m["content"] for m in page["messages"]] == ["m3", "m4"]
            assert page["hasMore"] is True
            page = await client.request("context/messages", {**params, "before": said[2]["id"]})
            assert [m["content"] for m in page["messages"]] == ["m0", "m1"]
            assert page["hasMore"] is False
            with pytest.raises(RpcError) as failure:
                await client.request("context/messages", {**params, "before": encode(0, 0)})
            assert failure.value.data["kind"] == "unknownMessage"


async def test_clearing_keeps_system_prompt_and_pins_and_the_whole_history(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        await appended(client, context_id, "Be brief.", role="system")
        said = await appended(client, context_id, "Never use tabs.", "forget this " * 50)
        pin = {"contextId": context_id, "messageId": said[0]["id"], "pinned": True}
        assert (await client.request("context/pin", pin))["pinned"] is True
        before = (await client.request("context/status"))["usage"]
        cleared = (await client.request("context/clear", {"contextId": context_id}))["usage"]
        assert cleared["messages"] == 2
        assert cleared["tokens"] < before["tokens"]
        assert await window_of(client, context_id) == ["Be brief.", "Never use tabs."]
        assert len(await window_of(client, context_id, "history")) == 3
        event = await client.notification("context/event")
        assert (event["kind"], event["contextId"]) == ("cleared", context_id)


async def test_undo_puts_the_window_back_and_keeps_what_was_said_later(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        await appended(client, context_id, "one", "two")
        before = (await client.request("context/status"))["usage"]
        await client.request("context/clear", {"contextId": context_id})
        await appended(client, context_id, "three")
        undone = await undo(client, context_id)
        assert undone["undone"]["kind"] == "clear"
        assert await window_of(client, context_id) == ["one", "two", "three"]
        assert undone["usage"]["tokens"] > before["tokens"]
        with pytest.raises(RpcError) as failure:
            await undo(client, context_id)
        assert failure.value.data["kind"] == "nothingToUndo"


async def test_undo_gives_back_the_usage_to_the_token(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        said = await appended(client, context_id, "one", "two")
        pin = {"contextId": context_id, "messageId": said[0]["id"], "pinned": True}
        await client.request("context/pin", pin)
        before = (await client.request("context/status"))["usage"]
        await client.request("context/clear", {"contextId": context_id})
        assert (await undo(client, context_id))["usage"] == before


async def test_an_append_is_undone_by_its_id_only(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        await appended(client, context_id, "keep")
        await appended(client, context_id, "drop")
        operations = (await client.request("context/history", {"contextIds": [context_id]}))["operations"]
        newest = operations[-1]
        assert newest["kind"] == "append"
        await undo(client, context_id, operationId=newest["id"])
        assert await window_of(client, context_id) == ["keep"]
        assert await window_of(client, context_id, "history") == ["keep", "drop"]


async def test_an_undo_can_itself_be_undone(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        await appended(client, context_id, "one")
        await client.request("context/clear", {"contextId": context_id})
        await undo(client, context_id)
        operations = (await client.request("context/history", {"contextIds": [context_id]}))["operations"]
        await undo(client, context_id, operationId=operations[-1]["id"])
        assert await window_of(client, context_id) == []


async def test_an_operation_is_undone_once(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        await appended(client, context_id, "one")
        await client.request("context/clear", {"contextId": context_id})
        operation_id = (await undo(client, context_id))["undone"]["id"]
        for unknown in (operation_id, encode(0, 0), "../x"):
            with pytest.raises(RpcError) as failure:
                await undo(client, context_id, operationId=unknown)
            assert failure.value.data["kind"] == "nothingToUndo"


async def test_histories_of_several_contexts_merge_in_time_order(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        first, second = await opened(client), await opened(client, name="second")
        for context_id in (first, second, first):
            await appended(client, context_id, "x")
        operations = (await client.request("context/history", {"contextIds": [first, second]}))["operations"]
        appends = [operation for operation in operations if operation["kind"] == "append"]
        assert [operation["contextId"] for operation in appends] == [first, second, first]
        assert [operation["id"] for operation in operations] == sorted(operation["id"] for operation in operations)
        page = await client.request("context/history", {"limit": 1, "before": appends[1]["id"]})
        assert page["operations"] == [appends[0]]


async def test_a_call_and_its_results_are_pinned_together(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        call = {"id": "c", "name": "look", "arguments": "{}"}
        messages = [
            {"role": "user", "content": "Look."},
            {"role": "assistant", "content": "", "toolCalls": [call]},
            {"role": "tool", "content": "42", "toolCallId": "c"},
            {"role": "assistant", "content": "It is 42."},
        ]
        said = (await client.request("context/append", {"contextId": context_id, "messages": messages}))["messages"]
        await client.request("context/pin", {"contextId": context_id, "messageId": said[2]["id"], "pinned": True})
        page = await client.request("context/messages", {"contextId": context_id})
        assert [m.get("pinned", False) for m in page["messages"]] == [False, True, True, False]


async def test_counting_needs_no_context_and_no_model_server(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        reply = await client.request("context/countTokens", {"texts": ["hello world", ""]})
        assert reply["counts"][0] > 0
        assert reply["counts"][1] == 0
        assert reply["total"] == sum(reply["counts"])
        messages = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]
        reply = await client.request("context/countTokens", {"messages": messages})
        assert reply["total"] == sum(reply["counts"])
        with pytest.raises(RpcError) as failure:
            await client.request("context/countTokens", {})
        assert failure.value.code == -32602


async def test_counting_for_a_model_in_use_asks_no_server_which_models_it_has(tmp_path: Path) -> None:
    async with LlamaCppStub() as server, ullage(tmp_path, using(server.url)) as client:
        await client.request("context/status", {"contextId": await opened(client)})
        params = {"model": "stub-model", "texts": ["one", "two"]}
        await client.request("context/countTokens", params)
        before = len(server.sent("/v1/models"))
        await client.request("context/countTokens", params)
        assert len(server.sent("/v1/models")) == before


async def test_status_changes_are_told_and_the_last_state_always(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        for n in range(30):
            await appended(client, context_id, f"message {n}")
        tokens = (await client.request("context/status"))["usage"]["tokens"]
        seen = []
        while not seen or seen[-1] != tokens:
            seen.append((await client.notification("context/statusChanged"))["usage"]["tokens"])
        assert len(seen) < 30


async def test_an_unpinned_message_stays_until_something_is_taken_out(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        [rule, _] = await appended(client, context_id, "Never use tabs.", "Hello.")
        pin = {"contextId": context_id, "messageId": rule["id"]}
        await client.request("context/pin", {**pin, "pinned": True})
        await client.request("context/clear", {"contextId": context_id})
        await appended(client, context_id, "Go on.")
        assert "pinned" not in await client.request("context/pin", {**pin, "pinned": False})
        assert await window_of(client, context_id) == ["Never use tabs.", "Go on."]
        await client.request("context/clear", {"contextId": context_id})
        assert await window_of(client, context_id) == []


async def test_undos_that_race_take_back_one_change_each(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        for text in ("one", "two"):
            await appended(client, context_id, text)
            await client.request("context/clear", {"contextId": context_id})
        requests = [await client.begin("context/undo", {"contextId": context_id}) for _ in range(2)]
        undone = [(await client.answer(request))["undone"]["id"] for request in requests]
        assert len(set(undone)) == 2
        assert await window_of(client, context_id) == ["one", "two"]


async def test_what_an_undo_took_out_stays_out_when_a_later_change_is_undone(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        await appended(client, context_id, "A")
        await appended(client, context_id, "B")
        operations = (await client.request("context/history", {"contextIds": [context_id]}))["operations"]
        first = next(operation for operation in operations if operation["kind"] == "append")
        await client.request("context/clear", {"contextId": context_id})
        await undo(client, context_id, operationId=first["id"])
        await undo(client, context_id)
        assert await window_of(client, context_id) == ["B"]


async def test_clearing_what_is_clear_is_no_change(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        await appended(client, context_id, "one")
        for _ in range(2):
            await client.request("context/clear", {"contextId": context_id})
        await undo(client, context_id)
        assert await window_of(client, context_id) == ["one"]


async def test_a_pinned_result_brings_its_call_along_and_a_pinned_call_its_later_results(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        call = {"id": "c", "name": "look", "arguments": "{}"}

        async def append(**message: Any) -> None:
            await client.request("context/append", {"contextId": context_id, "messages": [message]})

        await append(role="user", content="Look.")
        await append(role="assistant", content="", toolCalls=[call])
        await append(role="tool", content="42", toolCallId="c", pinned=True)
        await append(role="user", content="Again.")
        await append(role="assistant", content="", toolCalls=[{**call, "id": "d"}], pinned=True)
        await append(role="tool", content="43", toolCallId="d")
        page = await client.request("context/messages", {"contextId": context_id})
        assert [m.get("pinned", False) for m in page["messages"]] == [False, True, True, False, True, True]


async def test_a_retry_pins_what_it_asks_to_be_pinned(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        message = {"role": "user", "content": "x", "id": encode(1, 1)}
        await client.request("context/append", {"contextId": context_id, "messages": [message]})
        again = {"contextId": context_id, "messages": [{**message, "pinned": True}]}
        reply = await client.request("context/append", again)
        assert reply["messages"][0]["pinned"] is True
        assert await window_of(client, context_id) == ["x"]


async def test_retries_that_race_say_a_thing_once(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        for n in range(20):
            message = {"role": "user", "content": f"m{n}", "id": encode(n, n)}
            params = {"contextId": context_id, "messages": [message]}
            requests = [await client.begin("context/append", params) for _ in range(3)]
            for request in requests:
                assert (await client.answer(request))["messages"][0]["content"] == f"m{n}"
        assert await window_of(client, context_id) == [f"m{n}" for n in range(20)]


async def test_a_long_run_of_one_role_costs_no_more_with_every_message(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        messages = [{"role": "user", "content": "word " * 200} for _ in range(1000)]
        await client.request("context/append", {"contextId": context_id, "messages": messages}, timeout=30)
        before = _resident(client.process.pid)
        for _ in range(200):
            await appended(client, context_id, "word " * 200)
        assert _resident(client.process.pid) - before < 30 * 2**20


async def test_every_operation_has_its_detail(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        await client.request("context/update", {"contextId": context_id, "systemPrompt": "secret words"})
        await client.request("context/update", {"contextId": context_id, "workspaceUri": "file:///elsewhere"})
        operations = (await client.request("context/history", {"contextIds": [context_id]}))["operations"]
        assert [operation["detail"] for operation in operations] == [
            {"name": "main"},
            {},
            {"workspaceUri": "file:///elsewhere"},
        ]


def _resident(pid: int) -> int:
    import psutil

    return int(psutil.Process(pid).memory_info().rss)


async def test_a_history_of_an_unknown_context_is_refused(tmp_path: Path) -> None:
    async with ullage(tmp_path) as client:
        context_id = await opened(client)
        with pytest.raises(RpcError) as failure:
            await client.request("context/history", {"contextIds": [context_id, encode(0, 0)]})
        assert failure.value.data["kind"] == "unknownContext"
