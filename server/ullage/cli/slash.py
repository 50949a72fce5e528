"""The lines that begin with a slash: what they are called, how they are read, how Tab completes them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import frozen

PREFIX = "/context"

COMMANDS: dict[str, tuple[str, str]] = {
    "status": ("", "how full the window is, and what answers; also /context alone"),
    "list": ("", "every context"),
    "switch": ("<name>", "go on in another context"),
    "messages": ("", "the newest messages of the window"),
    "pin": ("[id]", "keep a message in the window; without an id the newest"),
    "unpin": ("[id]", "let it go again"),
    "clear": ("", "empty the window but for the system prompt and pins; undo brings it back"),
    "undo": ("", "take back the latest change of the window"),
    "history": ("", "what was done, in time order"),
    "stats": ("", "the figures behind the status"),
    "models": ("", "the models of every server that answers"),
    "model": ("<name>", "choose the model of this context"),
    "take-over": ("", "take the context from the window that writes it"),
    "retry": ("", "ask again what was not answered; an empty line does the same"),
    "help": ("", "this list"),
    "quit": ("", "leave; Ctrl-D does the same"),
}
"""Each with its argument and what it is for."""

ALONE = ("help", "quit", "retry")
"""Commands that need no /context before them."""

NEEDING_ARGUMENT = frozenset(name for name, (argument, _) in COMMANDS.items() if argument.startswith("<"))

_COMMAND_WORD = re.compile(r"/[A-Za-z-]+")


@frozen
class Command:
    name: str
    argument: str = ""


@frozen
class Mistyped:
    """A line that was meant as a command. ``reason`` is a sentence."""

    reason: str


def parse(line: str) -> Command | Mistyped | None:
    """The command that a line is; None for something said to the model, such as a question about /etc/hosts."""
    first, _, rest = line.strip().partition(" ")
    if not _COMMAND_WORD.fullmatch(first):
        return None
    if first == PREFIX:
        name, _, argument = rest.strip().partition(" ")
        return _checked(name or "status", argument.strip())
    if first[1:] in ALONE:
        return Command(first[1:])
    return Mistyped(f"There is no command {first}.")


def _checked(name: str, argument: str) -> Command | Mistyped:
    if name not in COMMANDS:
        return Mistyped(f"There is no command {PREFIX} {name}.")
    if name in NEEDING_ARGUMENT and not argument:
        return Mistyped(f"Say which one: {PREFIX} {name} {COMMANDS[name][0]}")
    return Command(name, argument)


def help_rows() -> list[tuple[str, str]]:
    return [(f"{PREFIX} {name} {argument}".strip(), purpose) for name, (argument, purpose) in COMMANDS.items()]


def completions(text: str, contexts: Sequence[str] = (), models: Sequence[str] = ()) -> list[str]:
    """Whole lines that begin with ``text``; contexts and models are the names that may follow `switch` and `model`."""
    if not text.startswith("/"):
        return []
    lines = [f"{PREFIX} {name}" + (" " if name in NEEDING_ARGUMENT else "") for name in COMMANDS]
    lines += [f"/{name}" for name in ALONE]
    lines += [f"{PREFIX} switch {name}" for name in contexts]
    lines += [f"{PREFIX} model {name}" for name in models]
    return [line for line in lines if line.startswith(text)]
