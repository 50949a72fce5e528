"""Reading what a person types, or what another program writes, one entry at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from attrs import define

PROMPT = "> "
CONTINUED = "… "
Complete = Callable[[str], list[str]]


def unbroken(read: Callable[[str], str]) -> str:
    """One entry: lines that end with a backslash go on in the next one. Raises EOFError at the end of input."""
    lines = [read(PROMPT)]
    while lines[-1].endswith("\\"):
        lines[-1] = lines[-1][:-1]
        try:
            lines.append(read(CONTINUED))
        except EOFError:
            break
    return _decodable("\n".join(lines))


def read_plain(_: str) -> str:
    """A line of standard input without a prompt; one that is closed has no more."""
    line = sys.stdin.readline() if sys.stdin is not None else ""
    if not line:
        raise EOFError
    return line.rstrip("\r\n")


@define(eq=False)
class LineEditor:
    """Editing, history and completion, as far as this Python has readline. The history is only in memory: what was said
    is kept in the store alone, where it can be erased."""

    complete: Complete

    def begin(self, earlier: Iterable[str]) -> None:
        """``earlier`` are the questions that the arrow keys bring back, the newest last."""
        try:
            import readline  # noqa: PLC0415  # not on Windows
        except ImportError:
            return
        for entry in earlier:
            readline.add_history(entry)
        readline.set_completer_delims("\n")
        readline.set_completer(self._completion)
        libedit = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")

    def _completion(self, text: str, state: int) -> str | None:
        found = self.complete(text)
        return found[state] if state < len(found) else None


def _decodable(text: str) -> str:
    """Bytes that are no UTF-8 come as lone surrogates, which have no form in JSON."""
    return text.encode("utf-8", "replace").decode("utf-8")
