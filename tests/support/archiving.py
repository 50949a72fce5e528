"""Requests about what was said before: to take it out, bring it in, find it, page through it; patiently."""

from __future__ import annotations

from typing import Any

import pytest

from support.raw_client import RawClient, RpcError

PATIENCE_S = 60.0


async def exported(client: RawClient, context_id: str, format_: str) -> str:
    params = {"contextId": context_id, "format": format_}
    return str((await client.request("context/export", params, timeout=PATIENCE_S))["text"])


async def imported(client: RawClient, context_id: str, format_: str, text: str) -> dict[str, Any]:
    params = {"contextId": context_id, "format": format_, "text": text}
    return dict(await client.request("context/import", params, timeout=PATIENCE_S))


async def found(client: RawClient, query: str, **more: Any) -> list[dict[str, Any]]:
    reply = await client.request("context/search", {"query": query, **more}, timeout=PATIENCE_S)
    return list(reply["hits"])


async def refused(client: RawClient, method: str, **params: Any) -> RpcError:
    with pytest.raises(RpcError) as caught:
        await client.request(method, params, timeout=PATIENCE_S)
    assert caught.value.message.endswith(".")
    assert len(caught.value.message) < 400
    return caught.value


async def page_of(client: RawClient, context_id: str, view: str = "history") -> list[dict[str, Any]]:
    page = await client.request("context/messages", {"contextId": context_id, "view": view, "limit": 1000})
    return list(page["messages"])
