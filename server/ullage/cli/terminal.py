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

    @property
    def is_terminal(self) -> bool:
        return self.console.is_terminal

    def line(self, text: str = "", style: str = "") -> None:
        self.console.print(Text(printable(text), style=style), soft_wrap=True)

    def show(self, renderable: RenderableType) -> None:
        self.console.print(renderable)

    def stream(self, text: str) -> None:
        """A piece of an answer, at once."""
        self.console.file.write(printable(text))
        self.console.file.flush()

    def hint(self, text: str) -> None:
        self.line(text, style="dim")

    def section(self, title: str) -> None:
        if self.is_terminal:
            self.console.print()
            self.console.rule(Text(title, style="bold cyan"), align="left", style="cyan")
        else:
            self.line(f"\n{title}\n{'-' * len(title)}")

    def error(self, text: str) -> None:
        self.errors.print(Text(printable(text), style="red"), soft_wrap=True)

    def failure(self, error: ServerError | ServerGone) -> None:
        """The server's own sentence; of one that died also its last words, since nobody else can see them."""
        self.error(error.message)
        if isinstance(error, ServerGone) and error.tail:
            self.errors.print(Text(printable(error.tail), style="dim"), soft_wrap=True)
