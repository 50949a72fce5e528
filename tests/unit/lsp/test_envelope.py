"""What is a message, and what is the reason where it is none."""

from __future__ import annotations

import pytest

from ullage.lsp.envelope import Invalid, Notification, Request, Response, parse


def test_each_kind_of_message_is_told_apart() -> None:
    assert parse(b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":1}}') == Request(1, "m", {"a": 1})
    assert parse(b'{"jsonrpc":"2.0","method":"m","params":[1]}') == Notification("m", [1])
    assert parse(b'{"jsonrpc":"2.0","id":"x","result":null}') == Response("x", None, None)
    assert parse(b'{"jsonrpc":"2.0","id":"x","error":{"code":1}}') == Response("x", None, {"code": 1})


@pytest.mark.parametrize("params", [b"", b',"params":null', b',"params":{}'])
def test_params_that_are_missing_or_null_are_none_at_all(params: bytes) -> None:
    assert parse(b'{"jsonrpc":"2.0","id":1,"method":"m"' + params + b"}") == Request(1, "m", {})


@pytest.mark.parametrize(
    ("body", "id_", "code"),
    [
        (b"", None, -32700),
        (b"{", None, -32700),
        (b"\xff\xfe", None, -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":NaN}}', 1, -32700),
        (rb'{"jsonrpc":"2.0","id":"a","method":"m","params":{"a":"\ud83d"}}', "a", -32700),
        (b'{"jsonrpc":"2.0","id":2,"method":"m","params":{"a":"\xe9"}}', 2, -32700),
        (rb'{"jsonrpc":"2.0","id":"\ud83d","method":"m"}', None, -32700),
        (b'{"jsonrpc":"2.0","id":36893488147419103232,"method":"m","params":NaN}', None, -32700),
        (b'{"jsonrpc":"2.0","id":3,"result":NaN}', None, -32700),
        (b'["method", NaN]', None, -32700),
        (b'{"jsonrpc":"2.0","method":"m","params":NaN}', None, -32700),
        (b"[" * 100_000, None, -32700),
        (b"[]", None, -32600),
        (b"1", None, -32600),
        (b"{}", None, -32600),
        (b'{"jsonrpc":"2.0","id":7}', 7, -32600),
        (b'{"jsonrpc":"1.0","id":7,"method":"m"}', 7, -32600),
        (b'{"id":"seven","method":"m"}', "seven", -32600),
        (b'{"jsonrpc":"2.0","id":7,"method":null}', 7, -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"m"}', None, -32600),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"m"}', None, -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"m"}', None, -32600),
        (b'{"jsonrpc":"2.0","id":7,"error":"text"}', 7, -32600),
    ],
)
def test_what_is_no_message_is_answered_under_the_id_that_could_be_read(
    body: bytes, id_: int | str | None, code: int
) -> None:
    message = parse(body)
    assert isinstance(message, Invalid)
    assert (message.id, message.code) == (id_, code)
