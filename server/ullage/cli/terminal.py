"""Where the commands write: in colour on a terminal, plain text without escapes elsewhere."""

from __future__ import annotations

import io
import sys

from attrs import Factory, define
from rich.console import Console, RenderableType
from rich.text import Text

from ullage.cli.client import ServerError, ServerGone
from ullage.cli.figures import printable


def _console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows question marks, and nothing fails
    return Console(stderr=stderr, highlight=False)


@define(eq=False)
class Terminal:
    """Standard output and, for errors, standard error."""

    console: Console = Factory(_console)
    errors: Console = Factory(lambda: _console(stderr=True))
    _mid_line: bool = False

    @property
    def is_terminal(self) -> bool:
        return self.console.is_terminal

    def line(self, text: str = "", style: str = "") -> None:
        self.fresh_line()
        self.console.print(Text(printable(text), style=style), soft_wrap=True)

    def show(self, renderable: RenderableType) -> None:
        self.console.print(renderable)

    def stream(self, text: str) -> None:
        """A piece of an answer, at once."""
        clean = printable(text)
        self.console.file.write(clean)
        self.console.file.flush()
        if clean:
            self._mid_line = not clean.endswith("\n")

    def fresh_line(self) -> None:
        """End the line that an answer stopped in."""
        if self._mid_line:
            self.stream("\n")

    def aside(self, text: str) -> None:
        """What is no answer: kept apart from the answers where another program reads these."""
        self.fresh_line()
        console = self.console if self.is_terminal else self.errors
        console.print(Text(printable(text), style="dim"), soft_wrap=True)

    def section(self, title: str) -> None:
        if self.is_terminal:
            self.console.print()
            self.console.rule(Text(title, style="bold cyan"), align="left", style="cyan")
        else:
            self.line(f"\n{title}\n{'-' * len(title)}")

    def error(self, text: str) -> None:
        self.fresh_line()
        self.errors.print(Text(printable(text), style="red"), soft_wrap=True)

    def failure(self, error: ServerError | ServerGone) -> None:
        """The server's own sentence; of one that died also its last words, since nobody else can see them."""
        self.error(error.message)
        if isinstance(error, ServerGone) and error.tail:
            self.errors.print(Text(printable(error.tail), style="dim"), soft_wrap=True)
