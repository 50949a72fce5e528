"""What the `/context` lines do: the server does what it knows, and the terminal keeps up with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from ullage.cli.slash import help_rows
from ullage.cli.status_box import show_markdown, show_status, show_table
from ullage.cli.talk import Talk
from ullage.contexts.commands.lines import PREFIX, Command

Action: TypeAlias = Callable[[Talk], Awaitable[None]]

CHANGING_THE_WINDOW = ("undo", "restore", "forget", "compress")


async def perform(talk: Talk, command: Command) -> None:
    """Do what a line asks for; `quit` is the caller's. Raises ServerError, ServerGone."""
    own = ACTIONS.get(command.name)
    if own is not None:
        await own(talk)
        return
    line = f"{PREFIX} {command.name} {command.argument}".rstrip()
    result = await talk.about_this("context/command", line=line)
    if command.name == "status":
        show_status(talk.terminal, result["data"])
    elif command.name == "export":  # to be copied: as it is, and no line of it broken
        talk.terminal.line(result["data"]["text"])
    else:
        show_markdown(talk.terminal, result["markdown"])
    await _keep_up(talk, command.name, result["data"])


async def show_help(talk: Talk) -> None:
    show_table(talk.terminal, ("line", "what it does"), help_rows())


async def _keep_up(talk: Talk, name: str, data: Any) -> None:
    """What a line has changed of where this window is, and of what waits in it."""
    if name == "switch" and "context" in data:
        await talk.move_to(data["context"])
        await talk.tell_waiting()
    elif name in ("model", "mode") and data is not None and "id" in data:
        talk.context = data
    elif name == "clear":
        talk.waiting = None
    elif name in CHANGING_THE_WINDOW:
        await talk.look_for_waiting()


async def _take_over(talk: Talk) -> None:
    await talk.reopen(take_over=True)
    talk.terminal.line("This window writes the context now.")


async def _retry(talk: Talk) -> None:
    if talk.waiting is None:
        talk.terminal.line("Nothing waits for an answer.")
        return
    await talk.turn(None)


ACTIONS: dict[str, Action] = {"take-over": _take_over, "retry": _retry, "help": show_help}
