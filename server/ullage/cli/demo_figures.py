"""What the demo measures, and whether it held."""

from __future__ import annotations

from statistics import median

from attrs import Factory, define, frozen

from ullage.cli.figures import counted, duration_text, percent
from ullage.cli.framing import Json


@frozen
class Turn:
    """``counted`` are the prompt's tokens as the server under test counted them before they were sent; ``evaluated`` is
    the model server's own figure for the same prompt."""

    counted: int
    evaluated: int | None
    reused: int | None
    first_token_ms: float | None
    append_ms: float


@define
class Figures:
    turns: list[Turn] = Factory(list)
    compressions: int = 0
    switch_ms: list[float] = Factory(list)
    restart_ms: float | None = None
    messages_kept: tuple[int, int] = (0, 0)
    said: dict[str, dict[str, str]] = Factory(dict)

    def acknowledge(self, context_id: str, message: Json) -> None:
        """The server confirmed that it has this message; from now on it must never be missing."""
        self.said.setdefault(context_id, {})[message["id"]] = message["content"]

    def add(self, counted: int, timing: Json, append_ms: float) -> None:
        figures = timing["promptTokens"], timing["reusedTokens"], timing["firstTokenMs"]
        self.turns.append(Turn(counted, *figures, append_ms))

    @property
    def exact_turns(self) -> int:
        return sum(turn.counted == turn.evaluated for turn in self.turns)

    def rows(self) -> list[tuple[str, str]]:
        evaluated = sum(turn.evaluated or 0 for turn in self.turns)
        reused = sum(turn.reused or 0 for turn in self.turns)
        first = [turn.first_token_ms for turn in self.turns if turn.first_token_ms is not None]
        found, said = self.messages_kept
        return [
            ("Turns", f"{len(self.turns)}, and room was made {counted(self.compressions, 'time')}"),
            ("Tokens counted = evaluated", f"{self.exact_turns} of {len(self.turns)} prompts"),
            ("Prompt tokens reused", f"{percent(reused / evaluated)} of {evaluated:,}" if evaluated else "unknown"),
            ("Time to first token", f"{duration_text(median(first))} (median)" if first else "unknown"),
            ("Append, on disk", f"{duration_text(median(turn.append_ms for turn in self.turns))} (median)"),
            ("Switch of contexts", ", ".join(duration_text(ms) for ms in self.switch_ms)),
            ("Restart after kill -9", duration_text(self.restart_ms)),
            ("Messages after it", f"{found} of {said}, word for word"),
        ]

    def broken(self) -> list[str]:
        """What did not hold, in sentences."""
        found, said = self.messages_kept
        sentences = []
        if self.exact_turns != len(self.turns):
            sentences.append(f"Not counted exactly: {counted(len(self.turns) - self.exact_turns, 'prompt')}.")
        if found != said:
            sentences.append(f"Missing after the restart: {counted(said - found, 'acknowledged message')}.")
        if self.compressions < 2:
            sentences.append("The window was not filled twice.")
        return sentences
