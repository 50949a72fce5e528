"""The lines that a person types, such as ``/context size 8k``: which there are, how they are read and completed.

Nothing here does what a line asks for, and nothing heavy is imported: the reply to `initialize` needs the names.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeVar

from attrs import frozen

from ullage.errors import InvalidArgument
from ullage.settings import Strategy

Word = TypeVar("Word", bound=str)

PREFIX = "/context"
EXECUTED_AS = "ullage.server."
"""What the names of `workspace/executeCommand` begin with: a client's own commands have other names."""

STRATEGIES: tuple[Strategy, ...] = typing.get_args(Strategy)
FORMATS: tuple[Literal["markdown", "json"], ...] = ("markdown", "json")
ON, OFF = ("on", "true", "yes"), ("off", "false", "no")
LARGEST_SIZE = 2**31 - 1
_LONGEST_WORD = 40

_SIZE = re.compile(
    r"(?P<number>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,12}(?:\.[0-9]{1,6})?)\s?(?P<unit>[kKmM]?)(?:\s?tokens)?"
)
_UNITS = {"": 1, "k": 2**10, "m": 2**20}


@frozen
class CommandLine:
    """``argument`` is its form: ``<…>`` must be given, ``[…]`` may be, empty is none."""

    name: str
    argument: str
    purpose: str

    @property
    def usage(self) -> str:
        return f"{PREFIX} {self.name} {self.argument}".rstrip()


@frozen
class Command:
    """A line that was read; the argument is what follows the name."""

    name: str
    argument: str = ""


LINES: tuple[CommandLine, ...] = (
    CommandLine("status", "", "how full the window is, and what answers; also /context alone"),
    CommandLine(
        "size", "[tokens]", "give the model another size, such as 8192 or 8k; without one: what it is, and why"
    ),
    CommandLine("auto", "[on|off]", "let memory decide the size, or keep it; without a word: the other way round"),
    CommandLine("snapshot", "[words]", "keep the window as it is, under these words"),
    CommandLine("restore", "[id]", "bring a snapshot back, by number or id; without one: choose"),
    CommandLine("list", "", "every context"),
    CommandLine("clear", "", "empty the window but for the system prompt and pins; undo brings it back"),
    CommandLine("compress", "[strategy]", "make room now: hybrid, summarize or truncate"),
    CommandLine("estimate", "[strategy]", "what compress would come to; changes nothing"),
    CommandLine("stats", "", "the figures behind the status"),
    CommandLine("undo", "[id]", "take back the latest change of the window, or one of the history"),
    CommandLine("switch", "[name]", "go on in another context; without a name: choose"),
    CommandLine("models", "", "the models of every server that answers"),
    CommandLine("model", "[name]", "choose the model of this context"),
    CommandLine("mode", "[name]", "take on a persona of the settings, or off"),
    CommandLine("memory", "", "what the hardware says of its memory"),
    CommandLine("messages", "", "the newest messages of the window"),
    CommandLine("pin", "[id]", "keep a message in the window; without an id the newest"),
    CommandLine("unpin", "[id]", "let it go again"),
    CommandLine("history", "", "what was done, in time order"),
    CommandLine("search", "<words>", "everything ever said, in every context"),
    CommandLine("export", "[markdown|json]", "the conversation, to be taken elsewhere"),
    CommandLine("forget", "<id>", "erase one message everywhere; nothing brings it back"),
    CommandLine("help", "", "this list"),
)

_BY_NAME = {line.name: line for line in LINES}

EXECUTABLE: tuple[str, ...] = tuple(EXECUTED_AS + line.name for line in LINES)
"""The commands for editors that only speak the standard protocol."""


def refused(message: str) -> InvalidArgument:
    """What is wrong with a line, as a sentence."""
    return InvalidArgument(message, "line")


def parse(line: str) -> Command:
    """The command that a line is, with or without the leading ``/context``.

    Raises InvalidArgument where there is no such command, or its argument is missing or too much. Nothing of the line
    is quoted: it may have been meant for the model.
    """
    first, rest = _first_word(line)
    if first.lower() == PREFIX:
        first, rest = _first_word(rest)
    name = first.removeprefix("/").lower() or "status"
    known = _BY_NAME.get(name)
    if known is None:
        raise refused(f"There is no such command{_nearest(name)}. `{PREFIX} help` lists them.")
    if known.argument.startswith("<") and not rest:
        raise refused(f"Something is missing: `{known.usage}`.")
    if not known.argument and rest:
        raise refused(f"Nothing follows `{known.usage}`. Leave the rest of the line out.")
    return Command(name, rest)


def command_of(name: str, arguments: Sequence[object] | None) -> tuple[Command, str | None]:
    """The command that `workspace/executeCommand` means, and the id of its context where one is given.

    ``arguments`` may be nothing, a text or a number, or an object with ``contextId`` and either ``argument``, which is
    what follows the name, or ``line``, which is the whole line.
    """
    word = name.removeprefix(EXECUTED_AS)
    if name not in EXECUTABLE:
        raise InvalidArgument(f"There is no such command{_nearest(word)}.", "command")
    fields: Mapping[str, object]
    match list(arguments or ()):
        case [] | [None]:
            fields = {}
        case [str() | int() as given]:
            fields = {"argument": given}
        case [Mapping() as given]:
            fields = given
        case _:
            raise _bad_arguments()
    match fields.get("line"), fields.get("argument"):
        case None, None:
            command = parse(word)
        case None, str() | int() as argument:
            command = parse(f"{word} {argument}")
        case str() as line, None:
            command = parse(line)
        case _:
            raise _bad_arguments()
    context_id = fields.get("contextId")
    if command.name != word or not isinstance(context_id, str | None):
        raise _bad_arguments()
    return command, context_id


def completions(
    text: str,
    contexts: Iterable[str] = (),
    models: Iterable[str] = (),
    snapshots: Iterable[str] = (),
    modes: Iterable[str] = (),
) -> list[str]:
    """Whole lines that begin with ``text``. The names are those that may follow `switch`, `model`, `restore`, `mode`;
    they are offered once the command stands there."""
    following: dict[str, Iterable[str]] = {
        "switch": contexts,
        "model": models,
        "restore": snapshots,
        "mode": modes,
        "auto": ("on", "off"),
        "size": ("4k", "8k", "16k", "32k"),
        "compress": STRATEGIES,
        "estimate": STRATEGIES,
        "export": FORMATS,
    }
    if not text.startswith("/"):
        return []
    for name, words in following.items():
        if text.startswith(begun := f"{PREFIX} {name} "):
            return [line for word in words if (line := begun + word).startswith(text)]
    lines = [f"{PREFIX} {line.name}" + (" " if line.argument.startswith("<") else "") for line in LINES]
    return [line for line in lines if line.startswith(text)]


def size_of(text: str) -> int:
    """Tokens, of ``8192``, ``8,192``, ``8k`` or ``16K``, where k is 1,024. Raises InvalidArgument."""
    found = _SIZE.fullmatch(text) if len(text) <= _LONGEST_WORD else None
    tokens = float(found["number"].replace(",", "")) * _UNITS[found["unit"].lower()] if found else 0.0
    if not tokens.is_integer() or not 1 <= tokens <= LARGEST_SIZE:
        raise refused(f"Give the size in tokens, such as 8192, 8,192 or 8k, from 1 to {LARGEST_SIZE:,}.")
    return int(tokens)


def switch_of(text: str) -> bool:
    """Whether a word means on or off. Raises InvalidArgument."""
    return _one_of(text, (*ON, *OFF), "on or off") in ON


def strategy_of(text: str) -> Strategy | None:
    """None without a word: that of the settings. Raises InvalidArgument."""
    return _one_of(text, STRATEGIES, ", ".join(STRATEGIES)) if text else None


def format_of(text: str) -> Literal["markdown", "json"]:
    """Raises InvalidArgument."""
    return _one_of(text or FORMATS[0], FORMATS, " or ".join(FORMATS))


def _first_word(line: str) -> tuple[str, str]:
    """The first word of a line and the rest of it, both without blanks around."""
    words = line.split(maxsplit=1)
    return words[0] if words else "", words[1].strip() if len(words) > 1 else ""


def _nearest(name: str) -> str:
    import difflib  # noqa: PLC0415  # start-up: only mistakes need it

    found = difflib.get_close_matches(name[:_LONGEST_WORD], _BY_NAME, n=1)
    return f"; the nearest is `{_BY_NAME[found[0]].usage}`" if found else ""


def _one_of(text: str, words: Sequence[Word], spelled: str) -> Word:
    word = next((word for word in words if word == text.lower()), None)
    if word is None:
        raise refused(f"Say {spelled}.")
    return word


def _bad_arguments() -> InvalidArgument:
    return InvalidArgument(
        "Give nothing, one text, or one object with contextId and either argument or the whole line.", "arguments"
    )
