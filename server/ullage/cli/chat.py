"""`ullage chat`: questions in, answers out, until the end of input.

The event loop runs while something is asked, and rests while a person types: then Ctrl-C belongs to the line editor.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress

from attrs import define, field

from ullage.cli.actions import perform, show_help
from ullage.cli.client import ServerError, ServerGone
from ullage.cli.figures import tokens_text
from ullage.cli.framing import Json
from ullage.cli.reading import LineEditor, read_plain, unbroken
from ullage.cli.slash import Mistyped, Names, completions, parse
from ullage.cli.talk import ChatOptions, Talk
from ullage.cli.terminal import Terminal
from ullage.contexts.commands.figures import short_id
from ullage.contexts.commands.lines import Command

__all__ = ["ChatOptions", "chat"]

REMEMBERED = 100
"""Questions of earlier sessions that the arrow keys bring back, answers counted."""

LEAVE_HINT = "Ctrl-C again, or Ctrl-D, leaves."


def chat(options: ChatOptions) -> int:
    """Talk until the end of input. 1 where the server could not be used, or, outside of a terminal, where a question
    was not answered."""
    terminal = Terminal()
    talk = Talk(options, terminal)
    if not talk.folder.is_dir():
        terminal.error(f"{talk.folder} is no folder. Give one that exists.")
        return 1
    with asyncio.Runner() as runner:
        try:
            return _Conversation(talk, runner).hold()
        except (ServerError, ServerGone) as error:
            terminal.failure(error)
            return 1
        finally:
            runner.run(talk.close())


@define(eq=False)
class _Conversation:
    talk: Talk
    runner: asyncio.Runner
    _read: Callable[[str], str] = field(default=read_plain)
    _interactive: bool = False
    _names: Names = field(factory=Names)
    _failed: bool = False

    def hold(self) -> int:
        self.runner.run(self.talk.open(take_over=self.talk.options.take_over))
        self.runner.run(self._introduce())
        if sys.stdin is not None and sys.stdin.isatty() and self.talk.terminal.is_terminal:
            self._interactive, self._read = True, input
            editor = LineEditor(lambda text: completions(text, self._names))
            editor.begin(self.runner.run(self._prepare_editor()))
        while (entry := self._next()) is not None:
            if not self._take(entry):
                break
        return 1 if self._failed and not self._interactive else 0

    def _next(self) -> str | None:
        """What is entered next; None where there is nothing more. One Ctrl-C takes the line back, a second one
        leaves."""
        interrupted = False
        while True:
            try:
                return unbroken(self._read)
            except EOFError:
                if self._interactive:
                    self.talk.terminal.line()
                return None
            except KeyboardInterrupt:
                self.talk.terminal.line()
                if interrupted or not self._interactive:
                    return None
                interrupted = True
                self.talk.terminal.aside(LEAVE_HINT)

    def _take(self, entry: str) -> bool:
        """Act on one entry; False where it was the last."""
        command = parse(entry)
        if isinstance(command, Mistyped):
            self.talk.terminal.error(command.reason)
            self.runner.run(show_help(self.talk))
            self._failed = True
        elif command == Command("quit"):
            return False
        elif command is not None:
            self._perform(command)
        elif entry.strip():
            self._failed |= not self.runner.run(self.talk.turn(entry))
        elif self.talk.waiting is not None:
            self._failed |= not self.runner.run(self.talk.turn(None))
        return True

    def _perform(self, command: Command) -> None:
        try:
            self.runner.run(perform(self.talk, command))
            if self._interactive:
                self.runner.run(self._learn_names())
        except ServerError as error:
            self.talk.terminal.failure(error)
            self._failed = True
        except ServerGone as gone:
            self.runner.run(self.talk.start_again(gone, None))
        except KeyboardInterrupt:
            self.talk.terminal.aside("Stopped.")

    async def _introduce(self) -> None:
        """Who is going to hear what is said, before anything is."""
        talk = self.talk
        stats = await talk.about_this("context/stats")
        talk.terminal.aside(f"{talk.context['name']} in {talk.folder}: {tokens_text(stats['usage'])}")
        talk.terminal.aside(server_line(stats))
        if talk.terminal.is_terminal:
            talk.terminal.aside("/help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves.")
        await talk.tell_waiting()

    async def _prepare_editor(self) -> list[str]:
        """The names that Tab offers, and the questions that the arrow keys bring back."""
        talk = self.talk
        with suppress(ServerError):
            self._names.models = [m["name"] for m in (await talk.request("context/models"))["models"]]
        stats = await talk.about_this("context/stats")
        self._names.modes = next((sorted(s["value"]) for s in stats["settings"] if s["path"] == "modes"), [])
        await self._learn_names()
        page = await talk.about_this("context/messages", view="history", limit=REMEMBERED)
        return [m["content"] for m in page["messages"] if m["role"] == "user"]

    async def _learn_names(self) -> None:
        """Those that lines make and take away."""
        talk = self.talk
        with suppress(ServerError):
            self._names.contexts = [c["name"] for c in (await talk.request("context/list"))["contexts"]]
            page = await talk.about_this("context/snapshot/list")
            self._names.snapshots = [short_id(snapshot["id"]) for snapshot in reversed(page["snapshots"])]


def server_line(stats: Json) -> str:
    """The server and the model that answer."""
    model = stats["model"]
    if model["provider"] is None:
        return "No model server answers yet. What you say is kept until one does."
    path = f"providers.{model['provider']}.url"
    address = next((str(s["value"]) for s in stats["settings"] if s["path"] == path and s["value"]), None)
    server = "the embedded engine on this machine" if model["provider"] == "embedded" else model["provider"]
    at = f" at {address}" if address else ""
    return f"{model['name'] or 'No model yet'}, answered by {server}{at}."
