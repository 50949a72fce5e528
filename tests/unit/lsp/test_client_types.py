"""The TypeScript client's types are those of the protocol."""

from __future__ import annotations

from pathlib import Path

from ullage.contexts.commands.lines import LINES
from ullage.lsp.client_types import client_types, main
from ullage.lsp.results import NOTIFICATIONS, RESULTS
from ullage.lsp.types import REQUESTS

CLIENT = Path(__file__).parents[3] / "client-vscode" / "src" / "protocol.ts"


def test_the_types_in_the_client_are_up_to_date() -> None:
    assert main(["--check", str(CLIENT)]) == 0


def test_every_message_is_mapped_to_its_types_and_every_type_is_exported() -> None:
    text = client_types()
    for method, kinds in {**REQUESTS, **NOTIFICATIONS}.items():
        assert f'  "{method}": ' in text
        for kind in (kinds.params, RESULTS.get(method)):
            if kind is not None and kind.__name__ != "NoParams":
                assert f"\nexport interface {kind.__name__} " in text


def test_no_type_is_declared_twice_or_kept_to_itself() -> None:
    declared = [
        line.split()[2] for line in client_types().splitlines() if line.startswith(("export interface", "export type"))
    ]
    assert len(declared) == len(set(declared))
    assert not [line for line in client_types().splitlines() if line.startswith(("interface ", "type "))]


def test_every_line_that_a_person_can_type_is_there() -> None:
    for line in LINES:
        assert f'name: "{line.name}"' in client_types()
