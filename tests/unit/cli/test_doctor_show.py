"""What `ullage doctor` prints."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from ullage.cli.doctor_findings import Embedded, Findings, ModelServer, Trouble
from ullage.cli.doctor_show import memory_rows, show_findings, storage_rows
from ullage.cli.terminal import Terminal
from ullage.store.locks import Holder
from ullage.store.survey import SetAside, Survey, Writer

GIB = 2**30
CONTEXT = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def drawn(findings: Findings, *, terminal: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100)
    show_findings(Terminal(console, console), findings)
    return out.getvalue()


def survey(*writers: Writer) -> Survey:
    return Survey(Path("/cellar"), 2048, 10 * GIB, (), (SetAside("store.db.broken-1", 4096),), writers)


def test_memory_is_shown_in_sum_and_by_device() -> None:
    card = {"name": "Arc", "total": 8 * GIB, "used": None, "available": None}
    reading = {
        "kind": "intel",
        "total": 8 * GIB,
        "used": None,
        "available": None,
        "modelLoaded": GIB,
        "devices": [card],
    }
    assert memory_rows(reading) == [
        ("Kind", "intel"),
        ("Memory", "8.0 GB in all, unknown used, unknown available"),
        ("Held by models", "1.0 GB"),
        ("Arc", "8.0 GB in all, unknown used, unknown available"),
        ("Could not be read", "Arc: used, available"),
    ]


def test_the_storage_folder_is_shown_with_who_writes() -> None:
    writer = Writer(CONTEXT, Holder(123, "VS Code", 0), alive=True)
    rows = storage_rows(survey(writer), ({"id": CONTEXT, "name": "main"},), now_ms=120_000)
    assert rows == [
        ("Folder", "/cellar"),
        ("Size", "2.0 KB"),
        ("Free on its disk", "10.0 GB"),
        ("Closed to others", "yes"),
        ("Contexts", "1 context"),
        ("Set aside", "store.db.broken-1, 4.0 KB"),
        ("Being written", "main, by VS Code (process 123) since 2 minutes ago"),
    ]


def test_a_writer_that_ended_holds_nothing() -> None:
    rows = storage_rows(survey(Writer(CONTEXT, Holder(123, "VS Code", 0), alive=False)))
    assert rows[-1] == ("Being written", f"{CONTEXT}, last by VS Code (process 123), which has ended: it is free")


def test_what_is_wrong_stands_at_the_end_and_is_counted() -> None:
    heard = (Trouble("server", "The cask leaks. Mend it."), Trouble("server", "The tap drips. Turn it."))
    text = drawn(Findings(servers=(ModelServer("ollama", "x", answers=True),), heard=heard))
    assert text.endswith("What is wrong\n-------------\n1. The cask leaks. Mend it.\n2. The tap drips. Turn it.\n")


def test_a_sound_machine_is_told_so() -> None:
    text = drawn(Findings(servers=(ModelServer("ollama", "http://x", answers=True),)))
    assert "ollama  http://x  answers\n" in text
    assert "Nothing is wrong" in text


def test_what_is_not_installed_is_said() -> None:
    text = drawn(Findings(embedded=Embedded(None, None), versions={"xllamacpp": None}))
    assert "Embedded engine: not installed; its model: not installed.\n" in text
    assert "xllamacpp (llama.cpp)  not installed\n" in text


def test_only_a_terminal_gets_escapes() -> None:
    findings = Findings(servers=(ModelServer("ollama", "http://x", answers=True),))
    assert ["\x1b" in drawn(findings, terminal=terminal) for terminal in (True, False)] == [True, False]
