"""Frames that no proper client sends: each gets the right error, and the next request is answered."""

from __future__ import annotations

from typing import Any

import pytest

from support.raw_client import RawClient, RpcError, frame

pytestmark = pytest.mark.asyncio(loop_scope="module")

PARSE, INVALID, NO_METHOD, BAD_PARAMS = -32700, -32600, -32601, -32602


def request(text: str, id_: str = '"h"', method: str = '"context/append"') -> bytes:
    return frame(f'{{"jsonrpc":"2.0","id":{id_},"method":{method},"params":{text}}}'.encode())


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def message(text: str) -> bytes:
    return request(f'{{"contextId":"c","messages":[{text}]}}')


CORPUS: dict[str, tuple[bytes, int, Any]] = {
    # name: what is sent, the code that it gets, and the id that is echoed
    "no JSON": (frame(b"hello"), PARSE, None),
    "an empty body": (frame(b""), PARSE, None),
    "half a message": (frame(b'{"jsonrpc":"2.0","id":1'), PARSE, None),
    "bytes that are not UTF-8": (frame(b'{"jsonrpc":"2.0","id":"h","method":"\xff\xfe"}'), PARSE, "h"),
    "overlong UTF-8": (frame(b'{"jsonrpc":"2.0","id":"h","method":"\xc0\xaf"}'), PARSE, "h"),
    "UTF-16": (frame('{"jsonrpc":"2.0","id":1,"method":"m"}'.encode("utf-16")), PARSE, None),
    "a byte order mark": (frame(b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"m"}'), PARSE, None),
    "a NUL byte": (frame(b'{"jsonrpc":"2.0",\x00"id":1,"method":"m"}'), PARSE, None),
    "a raw line end in a string": (frame(b'{"jsonrpc":"2.0","id":1,"method":"a\nb"}'), PARSE, None),
    "two values": (frame(b"{}{}"), PARSE, None),
    "a trailing comma": (frame(b'{"jsonrpc":"2.0",}'), PARSE, None),
    "a comment": (frame(b'/* hello */{"jsonrpc":"2.0","id":1,"method":"m"}'), PARSE, None),
    "NaN": (message('{"role":"user","content":NaN}'), PARSE, "h"),
    "infinity": (message('{"role":"user","content":-Infinity}'), PARSE, "h"),
    "a number beyond every double": (message('{"role":"user","content":1e999}'), PARSE, "h"),
    "an integer of 5,000 digits": (request("9" * 5000), PARSE, None),
    "a lone surrogate": (message(r'{"role":"user","content":"\ud800"}'), PARSE, "h"),
    "a low surrogate first": (message(r'{"role":"user","content":"\udc00\ud800"}'), PARSE, "h"),
    "nesting without end": (request(nested(100_000)), PARSE, None),
    "brackets without end": (frame(b"[" * 1_000_000), PARSE, None),
    "a length that is too short": (frame(b'{"jsonrpc":"2.0","id":1,"method":"m"}', 20), PARSE, None),
    "a length that is too long": (frame(b'{"jsonrpc":"2.0","id":1,"method":"m"}', 42), PARSE, None),
    "a length that is far too long": (frame(b'{"jsonrpc":"2.0","id":1,"method":"m"}', 10_000_000), PARSE, None),
    "a length of 5,000 digits": (b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}", INVALID, None),
    "a length of 10 TB": (b"Content-Length: 10000000000000\r\n\r\n{}", INVALID, None),
    "a length of 20 GB": (b"Content-Length: 20000000000\r\n\r\n{}", INVALID, None),
    "a length beyond 64 bits": (b"Content-Length: 100000000000000000000\r\n\r\n{}", INVALID, None),
    "a length of 1 GB, untrue": (b"Content-Length: 1000000000\r\n\r\n{}", INVALID, None),
    "a negative length": (b"Content-Length: -1\r\n\r\n", INVALID, None),
    "a length that is no number": (b"Content-Length: much\r\n\r\n", INVALID, None),
    "a length in hexadecimal": (b"Content-Length: 0x20\r\n\r\n", INVALID, None),
    "two lengths": (b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", INVALID, None),
    "no length": (b"Content-Type: text/plain\r\n\r\nhello", INVALID, None),
    "HTTP": (b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", INVALID, None),
    "noise": (bytes(range(256)) * 100, INVALID, None),
    "a header without end": (b"X: " + b"y" * 100_000, INVALID, None),
    "line feeds for line ends": (b"Content-Length: 2\n\n{}", INVALID, None),
    "a batch": (frame(b'[{"jsonrpc":"2.0","id":1,"method":"m"}]'), INVALID, None),
    "an empty batch": (frame(b"[]"), INVALID, None),
    "a string": (frame(b'"hello"'), INVALID, None),
    "a number": (frame(b"7"), INVALID, None),
    "null": (frame(b"null"), INVALID, None),
    "an empty object": (frame(b"{}"), INVALID, None),
    "no jsonrpc": (frame(b'{"id":"h","method":"context/list"}'), INVALID, "h"),
    "jsonrpc 1.0": (frame(b'{"jsonrpc":"1.0","id":"h","method":"context/list"}'), INVALID, "h"),
    "jsonrpc as a number": (frame(b'{"jsonrpc":2.0,"id":"h","method":"context/list"}'), INVALID, "h"),
    "no method and no result": (frame(b'{"jsonrpc":"2.0","id":"h"}'), INVALID, "h"),
    "a method that is null": (request("{}", method="null"), INVALID, "h"),
    "a method that is an object": (request("{}", method="{}"), INVALID, "h"),
    "an id that is null": (request("{}", id_="null"), INVALID, None),
    "an id that is a fraction": (request("{}", id_="1.5"), INVALID, None),
    "an id that is a boolean": (request("{}", id_="true"), INVALID, None),
    "an id that is a list": (request("{}", id_="[1]"), INVALID, None),
    "an id over 64 bits": (request("{}", id_="99999999999999999999"), INVALID, None),
    "a second initialize": (request('{"capabilities":{}}', method='"initialize"'), INVALID, "h"),
    "an unknown method": (request("{}", method='"context/fly"'), NO_METHOD, "h"),
    "an empty method": (request("{}", method='""'), NO_METHOD, "h"),
    "a method of a megabyte": (request("{}", method=f'"{"m" * 2**20}"'), NO_METHOD, "h"),
    "a notification as a request": (request("{}", method='"initialized"'), NO_METHOD, "h"),
    "a document request": (request("{}", method='"textDocument/hover"'), NO_METHOD, "h"),
    "a private method": (request("{}", method='"__init__"'), NO_METHOD, "h"),
    "params that are a list": (request("[]"), BAD_PARAMS, "h"),
    "params that are text": (request('"x"'), BAD_PARAMS, "h"),
    "params that are missing": (frame(b'{"jsonrpc":"2.0","id":"h","method":"context/append"}'), BAD_PARAMS, "h"),
    "params that are null": (request("null"), BAD_PARAMS, "h"),
    "an unknown command": (request('{"command":"x"}', method='"workspace/executeCommand"'), BAD_PARAMS, "h"),
    "a command that is null": (request('{"command":null}', method='"workspace/executeCommand"'), BAD_PARAMS, "h"),
    "a strategy of no kind": (
        request('{"contextId":"c","strategy":"shred"}', method='"context/compress"'),
        BAD_PARAMS,
        "h",
    ),
    "an estimate of several strategies": (
        request('{"contextId":"c","strategy":["truncate"]}', method='"context/estimateCompression"'),
        BAD_PARAMS,
        "h",
    ),
    "an import of half a pair": (
        request(r'{"contextId":"c","format":"json","text":"\udfff"}', method='"context/import"'),
        PARSE,
        "h",
    ),
    "an import that is no text": (
        request('{"contextId":"c","format":"json","text":[{"role":"user"}]}', method='"context/import"'),
        BAD_PARAMS,
        "h",
    ),
    "an export in no format": (request('{"contextId":"c","format":"pdf"}', method='"context/export"'), BAD_PARAMS, "h"),
    "a search for nothing": (request("{}", method='"context/search"'), BAD_PARAMS, "h"),
    "a search of a million": (request('{"query":"x","limit":1000000}', method='"context/search"'), BAD_PARAMS, "h"),
    "a snapshot by its number": (request('{"snapshotId":1}', method='"context/snapshot/restore"'), BAD_PARAMS, "h"),
    "a snapshot without an id": (request("{}", method='"context/snapshot/delete"'), BAD_PARAMS, "h"),
    "a snapshot of many contexts": (
        request('{"contextId":["c"]}', method='"context/snapshot/create"'),
        BAD_PARAMS,
        "h",
    ),
    "all messages forgotten at once": (
        request('{"contextId":"c","messageId":["a","b"]}', method='"context/forget"'),
        BAD_PARAMS,
        "h",
    ),
    "a line that is many": (request('{"line":["/context","clear"]}', method='"context/command"'), BAD_PARAMS, "h"),
    "a command with a text for arguments": (
        request('{"command":"ullage.server.clear","arguments":"x"}', method='"workspace/executeCommand"'),
        BAD_PARAMS,
        "h",
    ),
    "tools that nest too deeply": (
        request(
            f'{{"messages":[],"options":{{"tools":[{{"name":"","description":"","parameters":{nested(500)}}}]}}}}',
            method='"context/complete"',
        ),
        BAD_PARAMS,
        "h",
    ),
}


@pytest.mark.parametrize("name", CORPUS)
async def test_the_error_is_right_and_the_next_request_is_answered(name: str, shared: RawClient) -> None:
    data, code, id_ = CORPUS[name]
    await shared.send_bytes(data)
    assert await shared.request("toy/echo", {"value": {"after": name}}, timeout=1) == {"after": name}
    if id_ is None:
        error = await shared.unaddressed_error(1)
    else:
        with pytest.raises(RpcError) as caught:
            await shared.answer(id_, 1)
        error = caught.value
        assert len(shared.answers.pop(id_)) == 1
    while not shared.unaddressed.empty():
        shared.unaddressed.get_nowait()  # a broken frame may leave bytes that are refused as well
    assert error.code == code
    assert error.message
    if code == BAD_PARAMS:
        assert error.data["path"]


IGNORED: dict[str, bytes] = {
    "an answer to no question": frame(b'{"jsonrpc":"2.0","id":"nobody-asked","result":{}}'),
    "an error to no question": frame(b'{"jsonrpc":"2.0","id":5,"error":{"code":1,"message":"x"}}'),
    "an unknown notification": frame(b'{"jsonrpc":"2.0","method":"$/whatever","params":[1]}'),
    "a notification with bad params": frame(b'{"jsonrpc":"2.0","method":"$/setTrace","params":{"value":5}}'),
    "a cancel of nothing": frame(b'{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":"none"}}'),
    "a cancel with an object for an id": frame(b'{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":{}}}'),
    "a cancel without params": frame(b'{"jsonrpc":"2.0","method":"$/cancelRequest"}'),
    "a request as a notification": frame(b'{"jsonrpc":"2.0","method":"initialize","params":{"capabilities":{}}}'),
    "shutdown as a notification": frame(b'{"jsonrpc":"2.0","method":"shutdown"}'),
    "a progress cancel for no token": frame(
        b'{"jsonrpc":"2.0","method":"window/workDoneProgress/cancel","params":{"token":"none"}}'
    ),
    "an opened document": frame(
        b'{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":'
        b'{"uri":"file:///a","languageId":"x","version":1,"text":"secret"}}}'
    ),
    "folders of the wrong type": frame(
        b'{"jsonrpc":"2.0","method":"workspace/didChangeWorkspaceFolders","params":{"event":{"added":5,"removed":[]}}}'
    ),
}


@pytest.mark.parametrize("name", IGNORED)
async def test_what_needs_no_answer_gets_none_and_does_no_harm(name: str, shared: RawClient) -> None:
    await shared.send_bytes(IGNORED[name])
    assert await shared.request("toy/echo", {"value": {"after": name}}, timeout=1) == {"after": name}
    assert shared.unaddressed.empty()


async def test_a_conversation_about_json_rpc_is_a_conversation(shared: RawClient) -> None:
    value = {"jsonrpc": "2.0", "id": 1, "method": "exit", "inner": [{"jsonrpc": "1.0", "error": None}]}
    assert await shared.request("toy/echo", {"value": value}) == value


async def test_every_unicode_text_comes_back_as_it_was(shared: RawClient) -> None:
    value = {"text": '\u0000\u001f\u007f\u2028\ufeff\U0001f600é"\\Content-Length: 5\r\n\r\n'}
    assert await shared.request("toy/echo", {"value": value}) == value


async def test_a_request_without_params_is_as_good_as_one_with_none(shared: RawClient) -> None:
    assert await shared.request("context/list") == {"took": "NoParams"}
    assert await shared.request("context/list", None) == {"took": "NoParams"}


async def test_images_are_said_not_to_be_supported(shared: RawClient) -> None:
    content = [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": "data:x"}}]
    with pytest.raises(RpcError, match="Images are not supported") as caught:
        await shared.request("context/append", {"contextId": "c", "messages": [{"role": "user", "content": content}]})
    assert (caught.value.code, caught.value.data) == (-32803, {"kind": "notSupported"})
