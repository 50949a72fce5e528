"""`ullage doctor`: looks at everything that Ullage depends on, and says what is wrong and how to mend it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import orjson
from attrs import Factory, define

from ullage.cli import doctor_lookups as lookups
from ullage.cli.client import Client, ServerError, ServerGone, running
from ullage.cli.doctor_findings import Findings, Trouble, to_json, troubles
from ullage.cli.doctor_show import show_findings
from ullage.cli.framing import Json
from ullage.cli.terminal import Terminal
from ullage.store.survey import Survey


def doctor(*, as_json: bool, storage: Path | None) -> int:
    """Show what was found; 0 where nothing is wrong, else 1."""
    terminal = Terminal()
    environment = dict(os.environ) | ({} if storage is None else {"ULLAGE_STORAGE": str(storage)})
    findings = asyncio.run(examine(environment))
    if as_json:
        terminal.line(orjson.dumps(to_json(findings), option=orjson.OPT_INDENT_2).decode())
    else:
        show_findings(terminal, findings)
    return 1 if troubles(findings) else 0


async def examine(environment: Mapping[str, str]) -> Findings:
    """Look at everything; what can't be looked at is among the findings, and no exception."""
    resolved = lookups.configuration(environment)
    told, servers = await asyncio.gather(_ask_server(environment), lookups.servers_tried(resolved))
    stored = await asyncio.to_thread(lookups.storage, resolved.settings)
    heard = [*told.heard, *(each for each in (servers, stored) if isinstance(each, Trouble))]
    return Findings(
        settings=resolved.settings,
        memory=told.memory,
        servers=servers if isinstance(servers, tuple) else (),
        models=told.models,
        contexts=told.contexts,
        embedded=lookups.embedded(resolved.settings),
        storage=stored if isinstance(stored, Survey) else None,
        versions=lookups.versions(),
        setting_troubles=lookups.setting_troubles(resolved, environment),
        heard=tuple(heard),
    )


@define
class _Told:
    """What the server told, and the sentences with which it refused the rest."""

    memory: Json | None = None
    models: tuple[Json, ...] | None = None
    contexts: tuple[Json, ...] = ()
    heard: list[Trouble] = Factory(list)


async def _ask_server(environment: Mapping[str, str]) -> _Told:
    told = _Told()
    try:
        async with running(_not_here, environment=environment) as client:
            await _ask(client, told)
    except ServerError as refusal:
        told.heard.append(Trouble("server", refusal.message))
    except ServerGone as gone:
        told.heard.append(Trouble("server", _last_words(gone)))
    return told


async def _ask(client: Client, told: _Told) -> None:
    async def answer(method: str) -> Json | None:
        try:
            result: Json = await client.request(method, {})
        except ServerError as refusal:
            told.heard.append(Trouble("server", refusal.message))
            return None
        return result

    told.memory = await answer("context/memory")
    models, contexts = await answer("context/models"), await answer("context/list")
    told.models = None if models is None else tuple(models["models"])
    told.contexts = () if contexts is None else tuple(contexts["contexts"])


def _last_words(gone: ServerGone) -> str:
    """The end of its standard error names what it fell over, mostly."""
    last = gone.tail.rpartition("\n")[2]
    said = f" Its last words: {last}" if last else ""
    return f"{gone.message} Install Ullage anew, or report it.{said}"


def _not_here(_: str) -> None:
    """What the server tells its person unasked is found, and told, by the looks taken here."""
