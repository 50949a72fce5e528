"""A client from a library, with typed messages, gets on with the server."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_lsp
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from pytest_lsp import ClientServerConfig

from support.typed_client import TypedClient
from ullage.contexts.values import Model
from ullage.lsp.results import EventParams
from ullage.lsp.types import MessagesParams, NoParams

TOY = [sys.executable, str(Path(__file__).parent.parent / "support" / "toy_server.py")]


@pytest_lsp.fixture(
    config=ClientServerConfig(server_command=TOY, client_factory=TypedClient), scope="module", loop_scope="module"
)
async def typed(lsp_client: TypedClient) -> AsyncIterator[None]:
    await lsp_client.initialize_session(lsp.InitializeParams(capabilities=lsp.ClientCapabilities()))
    yield
    await lsp_client.shutdown_session()


@pytest.mark.asyncio(loop_scope="module")
async def test_results_and_notifications_arrive_as_their_types(typed: TypedClient) -> None:
    event = typed.protocol.wait_for_notification_async("context/event")
    model = await typed.protocol.send_request_async("toy/model", NoParams())
    assert model == Model("m", "ollama", loaded=True, context_length=4096, allocated_context=None, bytes=0)
    assert await event == EventParams("modelChanged", None, 5, {"model": "m"})


@pytest.mark.asyncio(loop_scope="module")
async def test_params_are_checked_as_for_any_client(typed: TypedClient) -> None:
    with pytest.raises(JsonRpcException, match="limit must be from 1 to 1000") as caught:
        await typed.protocol.send_request_async("context/messages", MessagesParams("c", limit=5000))
    assert caught.value.code == -32602
