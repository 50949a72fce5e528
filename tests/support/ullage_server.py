"""The real server over stdio, against a stub of a model server or none, in a storage folder of the test's own."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.raw_client import RawClient

COMMAND = [sys.executable, "-m", "ullage", "serve"]
NOBODY = "http://127.0.0.1:9"
"""The discard port: nothing listens there."""


def workspace(name: str = "project") -> str:
    return f"file:///home/someone/{name}"


def using(url: str, provider: str = "llamacpp", **context: Any) -> dict[str, Any]:
    """Initialisation options for one model server and no other."""
    return {"providers": {"default": provider, provider: {"url": url}}, "context": context}


@asynccontextmanager
async def ullage(
    home: Path,
    options: Mapping[str, Any] | None = None,
    *,
    folders: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    capabilities: Mapping[str, Any] | None = None,
) -> AsyncIterator[RawClient]:
    """An initialised client. ``home`` keeps storage and configuration; use it again to come back to the same store."""
    home.mkdir(exist_ok=True)
    surroundings = {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "data"),
        "ULLAGE_STORAGE": str(home / "storage"),
        **(env or {}),
    }
    async with RawClient.start(COMMAND, env=surroundings, cwd=str(home)) as client:
        await client.initialize(
            initializationOptions={**(options or using(NOBODY))},
            workspaceFolders=[{"uri": uri, "name": "folder"} for uri in folders],
            clientInfo={"name": "a test"},
            capabilities=dict(capabilities or {}),
        )
        yield client


async def opened(client: RawClient, folder: str = "project", **more: Any) -> str:
    """The id of a workspace's context."""
    context = await client.request("context/open", {"workspaceUri": workspace(folder), **more})
    return str(context["id"])


async def appended(client: RawClient, context_id: str, *texts: str, role: str = "user") -> list[dict[str, Any]]:
    messages = [{"role": role, "content": text} for text in texts]
    reply = await client.request("context/append", {"contextId": context_id, "messages": messages})
    return list(reply["messages"])


async def window_of(client: RawClient, context_id: str, view: str = "window") -> list[str]:
    page = await client.request("context/messages", {"contextId": context_id, "view": view, "limit": 1000})
    return [message["content"] for message in page["messages"]]
