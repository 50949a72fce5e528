"""A model server that tells requests for a summary from others, and answers them as a test says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import define, field

from support.stub_http import Exchange
from support.stub_servers import Answer, LlamaCppStub, Prompt

GOOD = json.dumps(
    {
        "goal": "Build the harbour model",
        "rules": ["Never use tabs"],
        "decisions": ["The port is 8443"],
        "done": ["Read the plan"],
        "open": ["Write the tests"],
        "next": "Write the tests",
    }
)
"""A summary in the asked shape."""


@define(eq=False)
class SummarisingStub(LlamaCppStub):
    """``summary`` is what a request for one is answered with; an Answer as it is, a number as an HTTP error.
    ``summaries`` and ``asked`` hold the bodies of the requests for summaries, and of all others."""

    summary: str | Answer | int = field(default=GOOD, kw_only=True)
    summaries: list[Mapping[str, Any]] = field(factory=list, kw_only=True)
    asked: list[Mapping[str, Any]] = field(factory=list, kw_only=True)

    async def stream_events(self, exchange: Exchange, body: Mapping[str, Any], prompt: Prompt) -> None:
        if not self._is_for_summary(body):
            self.asked.append(body)
            await super().stream_events(exchange, body, prompt)
            return
        self.summaries.append(body)
        if isinstance(self.summary, int):
            await exchange.json({"error": {"message": "broken"}}, self.summary)
            return
        answer = self.summary if isinstance(self.summary, Answer) else Answer(pieces=(self.summary,))
        self.answers.appendleft(answer)
        await super().stream_events(exchange, body, prompt)

    def _is_for_summary(self, body: Mapping[str, Any]) -> bool:
        """By the asked form, or, where it was asked for once more without one, by the words."""
        return "response_format" in body or "Answer with JSON only" in str(body["messages"][-1]["content"])
