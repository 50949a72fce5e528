"""What holds for every kind of model server, and how each fares when its server misbehaves."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import pytest
from attrs import evolve

from support.served import Served, collect, request_for
from support.stub_http import (
    ENDLESS_EVENT,
    ENDLESS_LINE,
    ENDLESS_REPLY,
    GARBAGE,
    HTML,
    NOTHING,
    SERVER_ERROR,
    WRONG_TYPES,
    Raw,
    reply,
    unframed,
)
from support.stub_servers import Answer, Call
from ullage.conversation.messages import SentMessage, ToolCall, ToolDefinition
from ullage.errors import InsufficientMemory, ProviderError, ProviderUnavailable, UllageError, WindowExceeded
from ullage.providers import http, streaming
from ullage.providers.base import Delta

SECRET = "the-secret-that-nobody-may-see"
WEATHER = ToolDefinition("weather", "Tells the weather", {"type": "object", "properties": {}})


async def test_an_answer_streams_in_pieces_and_ends_with_the_servers_figures(served: Served) -> None:
    text, deltas, finished = await collect(served.provider, request_for(served.stub))
    assert (text, len(deltas), finished.stop_reason) == ("I heard you.", 2, "stop")
    assert finished.prompt_tokens == len(served.stub.last_prompt)
    assert finished.completion_tokens


async def test_reasoning_is_kept_apart_from_the_answer(served: Served) -> None:
    served.stub.answers.append(Answer(reasoning="Let me think."))
    text, deltas, _ = await collect(served.provider, request_for(served.stub))
    assert "".join(delta.reasoning for delta in deltas) == "Let me think."
    assert text == "I heard you."


async def test_a_tool_call_arrives_whole(served: Served) -> None:
    served.stub.answers.append(Answer(pieces=(), calls=(Call("weather", '{"city":"Bergen"}'),)))
    request = request_for(served.stub, tools=(WEATHER,))
    _, deltas, finished = await collect(served.provider, request)
    calls = [delta.tool_call for delta in deltas]
    assert [(call.name, call.arguments) for call in calls if call] == [("weather", '{"city":"Bergen"}')]
    assert finished.stop_reason == "toolCalls"


async def test_an_answer_cut_by_its_length_says_so(served: Served) -> None:
    served.stub.answers.append(Answer(stop_reason="length"))
    assert (await collect(served.provider, request_for(served.stub)))[2].stop_reason == "length"


async def test_a_prompt_beyond_the_window_is_told_with_both_figures(served: Served) -> None:
    request = evolve(request_for(served.stub, "word " * 3000), context_size=4096)
    with pytest.raises(WindowExceeded) as caught:
        await collect(served.provider, request)
    assert (caught.value.needed, caught.value.limit) == (len(served.stub.last_prompt), 4096)


async def test_closing_the_iterator_closes_the_connection(served: Served) -> None:
    served.stub.answers.append(Answer(pause=asyncio.Event()))
    async with aclosing(served.provider.chat(request_for(served.stub))) as answer:
        assert isinstance(await anext(answer), Delta)
    await asyncio.wait_for(served.stub.was_cancelled.wait(), 5)


async def test_cancelling_before_the_first_token_closes_the_connection(served: Served) -> None:
    served.stub.answers.append(Answer(gate=asyncio.Event()))
    task = asyncio.create_task(collect(served.provider, request_for(served.stub)))
    await served.stub.received(served.chat_path)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(served.stub.was_cancelled.wait(), 5)


async def test_a_slow_first_token_is_waited_for(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "REPLY_TIMEOUT_S", 0.01)
    gate = asyncio.Event()
    served.stub.answers.append(Answer(gate=gate))
    task = asyncio.create_task(collect(served.provider, request_for(served.stub)))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(task), 0.1)
    gate.set()
    assert (await task)[0] == "I heard you."


@pytest.mark.parametrize("cut", ["abrupt", "clean"])
async def test_half_a_stream_is_an_error_after_the_deltas_that_came(served: Served, cut: str) -> None:
    served.stub.answers.append(Answer(cut=cut))  # type: ignore[arg-type]  # parametrize knows no literals
    received = []
    with pytest.raises(ProviderError, match="broke off"):
        async for item in served.provider.chat(request_for(served.stub)):
            received.append(item)
    assert [item.text for item in received if isinstance(item, Delta)] == ["I heard ", "you."]


@pytest.mark.parametrize("fault", [HTML, GARBAGE, WRONG_TYPES, SERVER_ERROR], ids=["html", "garbage", "types", "500"])
async def test_nonsense_instead_of_an_answer_is_an_error_and_the_next_try_works(served: Served, fault: Raw) -> None:
    served.stub.fail(served.chat_path, fault)
    with pytest.raises(ProviderError, match=r"at http://127\.0\.0\.1"):
        await collect(served.provider, request_for(served.stub))
    assert (await collect(served.provider, request_for(served.stub)))[0] == "I heard you."


@pytest.mark.parametrize("fault", [HTML, GARBAGE, WRONG_TYPES, SERVER_ERROR], ids=["html", "garbage", "types", "500"])
async def test_nonsense_instead_of_the_list_of_models_is_an_error(served: Served, fault: Raw) -> None:
    served.stub.fail("*", fault, fault)
    with pytest.raises(ProviderError):
        await served.provider.models()


@pytest.mark.parametrize("fault", [HTML, GARBAGE, WRONG_TYPES, SERVER_ERROR, NOTHING])
async def test_a_server_of_another_kind_is_not_taken_for_this_one(served: Served, fault: Raw) -> None:
    served.stub.fail("*", fault, fault, fault)
    assert not await served.provider.probe()


async def test_a_server_of_this_kind_is_recognised_by_get_requests_alone(served: Served) -> None:
    assert await served.provider.probe()
    assert {request.method for request in served.stub.requests} == {"GET"}


async def test_a_dropped_connection_is_replaced_once(served: Served) -> None:
    served.stub.fail(served.chat_path, NOTHING)
    assert (await collect(served.provider, request_for(served.stub)))[0] == "I heard you."


async def test_a_server_that_always_hangs_up_is_an_error(served: Served) -> None:
    served.stub.fail(served.chat_path, NOTHING, NOTHING)
    with pytest.raises(ProviderError, match="broke off"):
        await collect(served.provider, request_for(served.stub))


@pytest.mark.parametrize("fault", [ENDLESS_EVENT, ENDLESS_LINE], ids=["event", "line"])
async def test_a_line_without_end_is_cut_off(served: Served, fault: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "LARGEST_PIECE_BYTES", 1 << 20)
    served.stub.fail(served.chat_path, fault)
    with pytest.raises(ProviderError, match=r"does not end|no stream"):
        await collect(served.provider, request_for(served.stub))


async def test_a_reply_without_end_is_cut_off(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LARGEST_REPLY_BYTES", 1 << 20)
    served.stub.fail("*", ENDLESS_REPLY, ENDLESS_REPLY)
    with pytest.raises(ProviderError, match="does not end"):
        await served.provider.models()


async def test_a_compressed_reply_is_refused_unread(served: Served) -> None:
    bomb = Raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00")
    served.stub.fail("*", bomb, bomb)
    with pytest.raises(ProviderError, match="compressed"):
        await served.provider.models()


async def test_a_redirect_is_not_followed(served: Served) -> None:
    elsewhere = Raw(b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n")
    served.stub.fail(served.chat_path, elsewhere)
    with pytest.raises(ProviderError, match="status 307"):
        await collect(served.provider, request_for(served.stub))


async def test_a_server_that_is_away_is_named_with_what_to_do(served: Served) -> None:
    await served.stub.stop()
    with pytest.raises(ProviderUnavailable, match=r"at http://127\.0\.0\.1:\d+ does not answer\. Start it"):
        await served.provider.models()


async def test_an_error_in_the_middle_of_a_stream_is_raised(served: Served) -> None:
    line = b'{"error": "llama runner process has terminated: out of memory"}\n'
    kinds = {"/api/chat": unframed("application/x-ndjson", line)}
    event = unframed("text/event-stream", b"data: " + line + b"\n")
    served.stub.fail(served.chat_path, Raw(kinds.get(served.chat_path, event)))
    with pytest.raises(InsufficientMemory, match="too little memory"):
        await collect(served.provider, request_for(served.stub))


async def test_a_proxy_of_the_environment_is_not_used_on_this_machine(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert (await collect(served.provider, request_for(served.stub)))[0] == "I heard you."


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
async def test_nothing_that_was_said_gets_into_an_error_or_a_log(
    served: Served, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    served.stub.fail(served.chat_path, reply(status, f'{{"error": {{"message": "can not parse: {SECRET}"}}}}'))
    with pytest.raises(UllageError) as caught:
        await collect(served.provider, request_for(served.stub, SECRET))
    assert SECRET not in caplog.text
    assert SECRET not in repr(caught.getrepr(chain=True))
    assert SECRET not in str(caught.value)


async def test_text_that_is_no_unicode_is_an_error_and_no_crash(served: Served) -> None:
    with pytest.raises(ProviderError, match="Unicode"):
        await collect(served.provider, request_for(served.stub, "half a pair: \ud83d"))


@pytest.mark.parametrize("arguments", ["not json", "[1]", '"text"'])
async def test_what_a_model_wrote_as_arguments_can_be_sent_again_whatever_it_is(served: Served, arguments: str) -> None:
    messages = (
        SentMessage("user", "What is the weather?"),
        SentMessage("assistant", "", tool_calls=(ToolCall("c1", "weather", arguments),)),
        SentMessage("tool", "sun", tool_call_id="c1"),
    )
    await collect(served.provider, evolve(request_for(served.stub), messages=messages))
    call = served.stub.sent(served.chat_path)[0].json()["messages"][1]["tool_calls"][0]["function"]
    sent = call["arguments"]
    assert (json.loads(sent) if isinstance(sent, str) else sent) == {"arguments": arguments}
