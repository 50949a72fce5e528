"""The lines that begin with a slash. Most are the server's, see `ullage.contexts.commands.lines`; a few are the
terminal's own."""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import Factory, define, frozen

from ullage.contexts.commands import lines
from ullage.contexts.commands.lines import LINES, PREFIX, Command
from ullage.errors import InvalidArgument

OWN: dict[str, str] = {
    "take-over": "take the context from the window that writes it",
    "retry": "ask again what was not answered; an empty line does the same",
    "help": "this list",
    "quit": "leave; Ctrl-D does the same",
}
"""What the terminal does itself, and what it is for."""

ALONE = ("help", "quit", "retry")
"""Commands that need no /context before them."""

_COMMAND_WORD = re.compile(r"/[A-Za-z-]+")


@frozen
class Mistyped:
    """A line that was meant as a command. ``reason`` is a sentence."""

    reason: str


@define
class Names:
    """What Tab offers after a command."""

    contexts: Sequence[str] = Factory(list)
    models: Sequence[str] = Factory(list)
    snapshots: Sequence[str] = Factory(list)
    modes: Sequence[str] = Factory(list)


def parse(line: str) -> Command | Mistyped | None:
    """The command that a line is; None for something said to the model, such as a question about /etc/hosts."""
    words = line.split(maxsplit=2)
    if not words or not _COMMAND_WORD.fullmatch(words[0]):
        return None
    if words[0] != PREFIX:
        name = words[0][1:]
        return Command(name) if name in ALONE else Mistyped(f"There is no command {words[0]}.")
    if len(words) > 1 and words[1] in OWN:
        return Command(words[1])
    try:
        return lines.parse(line)
    except InvalidArgument as error:
        return Mistyped(error.message)


def help_rows() -> list[tuple[str, str]]:
    served = [(line.usage, line.purpose) for line in LINES if line.name not in OWN]
    return served + [(f"{PREFIX} {name}", purpose) for name, purpose in OWN.items()]


def completions(text: str, names: Names) -> list[str]:
    """Whole lines that begin with ``text``."""
    served = lines.completions(text, names.contexts, names.models, names.snapshots, names.modes)
    own = [f"{PREFIX} {name}" for name in OWN] + [f"/{name}" for name in ALONE]
    return served + [line for line in own if text and line.startswith(text) and line not in served]
