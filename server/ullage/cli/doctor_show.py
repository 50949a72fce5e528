"""What `ullage doctor` prints: one section for each part, and at the end what is wrong."""

from __future__ import annotations

from ullage.cli.doctor_findings import Findings, troubles, unreadable
from ullage.cli.figures import UNKNOWN, ago_text, counted, size_text
from ullage.cli.framing import Json
from ullage.cli.status_box import MODEL_HEADINGS, model_rows, show_table
from ullage.cli.terminal import Terminal
from ullage.store.survey import Survey, Writer

NOT_INSTALLED = "not installed"
TITLES = {"ullage": "Ullage", "python": "Python", "sqlite": "SQLite", "xllamacpp": "xllamacpp (llama.cpp)"}
Rows = list[tuple[str, str]]


def show_findings(terminal: Terminal, findings: Findings) -> None:
    _hardware(terminal, findings.memory)
    _models(terminal, findings)
    terminal.section("Storage")
    show_table(terminal, ("", ""), storage_rows(findings.storage, findings.contexts))
    terminal.section("Versions")
    show_table(terminal, ("", ""), [(TITLES.get(k, k), v or NOT_INSTALLED) for k, v in findings.versions.items()])
    found = troubles(findings)
    terminal.section("What is wrong" if found else "Nothing is wrong")
    for number, trouble in enumerate(found, 1):
        terminal.line(f"{number}. {trouble.text}", style="yellow")
    if not found:
        terminal.line("Everything that Ullage needs is there.", style="green")


def memory_rows(memory: Json | None) -> Rows:
    if memory is None:
        return [("Memory", UNKNOWN)]
    rows = [("Kind", str(memory["kind"])), ("Memory", _amounts(memory))]
    if memory["modelLoaded"] is not None:
        rows.append(("Held by models", size_text(memory["modelLoaded"])))
    rows += [(device["name"], _amounts(device)) for device in memory["devices"]]
    rows += [("Could not be read", what) for what in unreadable(memory)]
    return rows


def storage_rows(storage: Survey | None, contexts: tuple[Json, ...] = (), now_ms: float | None = None) -> Rows:
    if storage is None:
        return [("Folder", "can't be used")]
    rows = [
        ("Folder", str(storage.root)),
        ("Size", size_text(storage.bytes)),
        ("Free on its disk", size_text(storage.free_bytes)),
        ("Closed to others", "no" if storage.exposed else "yes"),
        ("Contexts", counted(len(contexts), "context")),
    ]
    rows += [("Set aside", f"{each.name}, {size_text(each.bytes)}") for each in storage.set_aside]
    names = {context["id"]: context["name"] for context in contexts}
    rows += [("Being written", _writer(each, names, now_ms)) for each in storage.writers]
    return rows


def _hardware(terminal: Terminal, memory: Json | None) -> None:
    terminal.section("Hardware")
    show_table(terminal, ("", ""), memory_rows(memory))


def _models(terminal: Terminal, findings: Findings) -> None:
    terminal.section("Model servers")
    rows = [(each.provider, each.address, "answers" if each.answers else "no answer") for each in findings.servers]
    show_table(terminal, ("kind", "address", ""), rows)
    engine = "installed" if findings.embedded.engine else NOT_INSTALLED
    terminal.line(f"Embedded engine: {engine}; its model: {findings.embedded.model or NOT_INSTALLED}.")
    if findings.models:
        terminal.line()
        show_table(terminal, MODEL_HEADINGS, model_rows(findings.models))


def _amounts(memory: Json) -> str:
    total, used, available = (size_text(memory[figure]) for figure in ("total", "used", "available"))
    return f"{total} in all, {used} used, {available} available"


def _writer(writer: Writer, names: dict[str, str], now_ms: float | None) -> str:
    context = names.get(writer.context_id, writer.context_id)
    holder = f"{writer.holder.client} (process {writer.holder.pid})"
    if not writer.alive:
        return f"{context}, last by {holder}, which has ended: it is free"
    return f"{context}, by {holder} since {ago_text(writer.holder.since, now_ms)}"
