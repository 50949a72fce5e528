"""What is said in the demo: questions about this program's own source, in two workspaces."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from attrs import frozen

from ullage import events, settings
from ullage.conversation import operations, usage


@frozen
class Question:
    """``about`` is the piece of source that goes with it."""

    text: str
    about: Callable[..., Any]

    @property
    def source(self) -> str:
        return inspect.getsource(self.about)

    @property
    def origin(self) -> str:
        """Where the source stands, for people: its name, its file, and its length."""
        name, module = self.about.__qualname__, self.about.__module__.rpartition(".")[2]
        return f"{name}, {len(self.source.splitlines())} lines of {module}.py"

    def message(self) -> str:
        return f"{self.text}\n\n```python\n{self.source}```"


SYSTEM_PROMPT = "You review Python code. Answer in one or two short sentences."

FIRST = (
    Question("What does this function measure?", usage.turns_left),
    Question("When does this return critical?", usage.warning_for),
    Question("How much room does this keep for the answer?", usage.reserved_tokens),
    Question("How does this find what left the window?", operations.change_between),
    Question("What does this put back, and where?", operations.undo_change),
    Question("Why may it return the last of these?", usage.least_exact),
)
SECOND = (
    Question("Which port does this choose when none is given?", settings.ollama_url),
    Question("What becomes of a listener that fails?", events.EventBus),
    Question("What does this do to a name?", settings.camel),
)
FIRST_AGAIN = (
    Question("Can this be negative?", usage.usable_tokens),
    Question("What does this yield?", settings.flatten),
    Question("What does this tell a client?", events.Event),
    Question("Which variables does this read?", settings.from_environment),
    Question("How does this measure the pressure?", usage.measure),
)
CUT_OFF = Question("Explain this step by step, at length.", settings.resolve)
"""Its answer is what the server is killed in."""
