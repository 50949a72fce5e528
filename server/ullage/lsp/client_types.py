"""Writes the protocol's types for the client in TypeScript: ``python -m ullage.lsp.client_types [--check] FILE``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any

import attrs

from ullage import errors
from ullage.contexts.commands.lines import LINES
from ullage.generated import write_or_check
from ullage.lsp.results import NOTIFICATIONS, PARTIAL_RESULT, RESULTS
from ullage.lsp.types import REQUESTS
from ullage.lsp.typescript import ALIASES, alias, interface, mentioned, spelled

HEAD = """\
// Written by `make format` from server/ullage/lsp; change the types there.

/** A whole number of at most 2^53 - 1 in size. */
export type integer = number;
"""


def main(arguments: list[str]) -> int:
    return write_or_check(arguments, "ullage.lsp.client_types", lambda _: client_types())


def client_types() -> str:
    """The whole of the client's ``protocol.ts``."""
    kinds = [
        *(request.params for request in REQUESTS.values()),
        *RESULTS.values(),
        *(note.params for note in NOTIFICATIONS.values()),
        PARTIAL_RESULT,
    ]
    types = [_declared(kind) for kind in _once(kinds)]
    return "\n".join([HEAD, *(f"{text}\n" for text in types), _requests(), _notifications(), _words()])


def _once(kinds: Iterable[Any]) -> list[Any]:
    found: dict[Any, None] = {}
    for kind in kinds:
        if kind is not None:
            found.update(dict.fromkeys(mentioned(kind)))
    return [kind for kind in found if kind in ALIASES or attrs.fields(kind)]


def _declared(kind: Any) -> str:
    text = alias(kind) if kind in ALIASES else interface(kind)
    return re.sub(r"^(?=(?:interface|type) )", "export ", text, count=1, flags=re.MULTILINE)


def _requests() -> str:
    lines = []
    for method, request in REQUESTS.items():
        params = spelled(request.params) if attrs.fields(request.params) else "Record<string, never>"
        kind = RESULTS.get(method)
        lines.append(f'  "{method}": {{ params: {params}; result: {spelled(kind) if kind else "null"} }};')
    return _map("Requests", "Every request: what it takes and what it answers.", lines)


def _notifications() -> str:
    lines = [f'  "{method}": {spelled(note.params)};' for method, note in NOTIFICATIONS.items()]
    return _map("Notifications", "Every notification from the server, and what it tells.", lines)


def _map(name: str, purpose: str, lines: list[str]) -> str:
    return "\n".join([f"/** {purpose} */", f"export interface {name} {{", *lines, "}\n"])


def _words() -> str:
    union = "\n  | ".join(f'"{kind}"' for kind in _failure_kinds())
    lines = "\n".join(
        f'  {{ name: "{line.name}", argument: "{line.argument}", purpose: "{line.purpose}" }},' for line in LINES
    )
    return f"""\
/** Why a request was understood and not done: `data.kind` of an error. */
export type FailureKind =
  | {union};

/** The lines that a person can type after `/context`. */
export const LINES = [
{lines}
] as const;
"""


def _failure_kinds() -> list[str]:
    kinds = (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.UllageError))
    return sorted({kind.kind for kind in kinds})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
