"""`ullage status`: looks, and leaves nothing behind. Reading needs no lock, so it works beside a running editor."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson

from ullage.cli.client import Client, ServerError, ServerGone, running
from ullage.cli.folders import absolute, contexts_of, named
from ullage.cli.framing import Json
from ullage.cli.status_box import LIST_HEADINGS, list_rows, show_status, show_table
from ullage.cli.terminal import Terminal


def status(folder: Path, *, name: str | None, as_json: bool, storage: Path | None) -> int:
    """Show the folder's contexts; 1 where it has none, or none of this name."""
    terminal = Terminal()
    folder = absolute(folder)
    try:
        statuses = asyncio.run(_statuses(terminal, folder, storage))
    except (ServerError, ServerGone) as error:
        terminal.failure(error)
        return 1
    if not statuses:
        terminal.error(f"{folder} has no context yet. Begin one with `ullage chat`, or open the folder in your editor.")
        return 1
    contexts = [each["context"] for each in statuses]
    wanted = named(contexts, name) if name is not None else contexts[0]
    if wanted is None:
        names = ", ".join(context["name"] for context in contexts)
        terminal.error(f"{folder} has no context of this name. It has: {names}.")
        return 1
    chosen = statuses[contexts.index(wanted)]
    if as_json:
        terminal.line(orjson.dumps(chosen, option=orjson.OPT_INDENT_2).decode())
        return 0
    show_status(terminal, chosen, f"{chosen['context']['name']} · {folder}")
    terminal.line()
    show_table(terminal, LIST_HEADINGS, list_rows(contexts))
    return 0


async def _statuses(terminal: Terminal, folder: Path, storage: Path | None) -> list[Json]:
    """The status of each of the folder's contexts; the one used last comes first."""
    async with running(terminal.aside, storage=storage) as client:
        contexts = await _contexts(client, folder)
        return [await client.request("context/status", {"contextId": context["id"]}) for context in contexts]


async def _contexts(client: Client, folder: Path) -> list[Json]:
    listed = await client.request("context/list", {})
    return contexts_of(listed["contexts"], folder)
