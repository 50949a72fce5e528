"""What a model server's own counts teach about ours."""

from __future__ import annotations

import attrs
from attrs import frozen

RATE = 0.2
LEAST, MOST = 0.5, 2.0
SUSPECT_BELOW, SUSPECT_ABOVE = 0.5, 4.0


def _clamped(factor: float) -> float:
    return min(max(factor, LEAST), MOST)


@frozen
class Calibration:
    """An exponential moving average of reported / counted for one model. Source of the figures: the estimator of
    Gemini CLI (rate 0.2, bounds 0.5 and 2)."""

    factor: float = attrs.field(default=1.0, converter=_clamped)

    def observed(self, reported: int | None, counted: int | None) -> Calibration:
        """The next value, from the tokens that the server reported for a prompt and those that were counted for it with
        this factor. A figure that is missing or zero teaches nothing; nor does one so far off that the server must have
        cut the prompt, left its cache out of the count, or answered another prompt."""
        if not reported or not counted or reported < 0 or counted < 0:
            return self
        ratio = reported * self.factor / counted
        if not SUSPECT_BELOW <= ratio <= SUSPECT_ABOVE:
            return self
        return Calibration(self.factor + RATE * (_clamped(ratio) - self.factor))

    def apply(self, tokens: int) -> int:
        """A count with the factor, rounded."""
        return round(tokens * self.factor)
