"""Every field of every request with every kind of bad value: refused by its path, never a defect, never coerced."""

from __future__ import annotations

import json

import pytest

from support.params import cases, fields, replaced, valid
from support.raw_client import RawClient, RpcError, frame
from ullage.lsp.types import REQUESTS

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("method", REQUESTS)
async def test_good_params_are_taken(method: str, shared: RawClient) -> None:
    kind = REQUESTS[method].params
    assert await shared.request(method, {**valid(kind), "unknownField": None}) == {"took": kind.__name__}


@pytest.mark.parametrize("method", REQUESTS)
async def test_every_bad_value_of_every_field_is_refused_by_its_path(method: str, shared: RawClient) -> None:
    for path, params in cases(REQUESTS[method].params):
        with pytest.raises(RpcError) as caught:
            await shared.request(method, params)
        assert (caught.value.code, caught.value.data) == (-32602, {"path": path}), params


@pytest.mark.parametrize("bad", [b"NaN", rb'"\ud800"'])
@pytest.mark.parametrize("method", REQUESTS)
async def test_values_that_json_has_not_are_no_json_wherever_they_stand(
    method: str, bad: bytes, shared: RawClient
) -> None:
    good = valid(REQUESTS[method].params)
    for path, _, _ in fields(REQUESTS[method].params):
        text = json.dumps(replaced(good, path, "\x00here")).encode().replace(rb'"\u0000here"', bad)
        body = b'{"jsonrpc":"2.0","id":"bad","method":"%b","params":%b}' % (method.encode(), text)
        await shared.send_bytes(frame(body))
        with pytest.raises(RpcError) as caught:
            await shared.answer("bad")
        assert caught.value.code == -32700, path
        assert len(shared.answers.pop("bad")) == 1


async def test_the_matrix_is_as_large_as_it_should_be() -> None:
    assert sum(1 for kinds in REQUESTS.values() for _ in cases(kinds.params)) > 1000
