"""How news travels inside the process."""

from __future__ import annotations

import logging

import pytest

from ullage.events import EventBus, Signal, StatusStale


def test_a_listener_that_fails_keeps_nobody_from_hearing_and_its_words_are_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bus = EventBus()
    heard: list[Signal] = []

    def failing(_: Signal) -> None:
        raise ValueError("what somebody said")

    bus.subscribe(failing)
    bus.subscribe(heard.append)
    with caplog.at_level(logging.ERROR):
        bus.publish(StatusStale(None))
    assert heard == [StatusStale(None)]
    assert "what somebody said" not in caplog.text
    assert "ValueError" in caplog.text
    assert "test_events.py" in caplog.text
