"""The toy server as a process of its own: one for a whole module, or a fresh one for each test."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from support.raw_client import RawClient

TOY = [sys.executable, str(Path(__file__).parent.parent / "support" / "toy_server.py")]


@pytest_asyncio.fixture
async def raw() -> AsyncIterator[RawClient]:
    """A fresh server that has heard nothing yet."""
    async with RawClient.start(TOY) as client:
        yield client


@pytest_asyncio.fixture
async def client(raw: RawClient) -> RawClient:
    """A fresh server, initialized."""
    await raw.initialize()
    return raw


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[RawClient]:
    """One server for all tests of a module, which must survive each of them."""
    async with RawClient.start(TOY) as client:
        await client.initialize()
        yield client
