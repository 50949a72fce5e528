"""PROTOCOL.md says what the types say."""

from __future__ import annotations

from pathlib import Path

import pytest

from ullage.lsp.document import document, main
from ullage.lsp.results import NOTIFICATIONS, RESULTS
from ullage.lsp.types import REQUESTS
from ullage.lsp.typescript import prose

PROTOCOL = Path(__file__).parents[3] / "PROTOCOL.md"


def test_the_protocol_in_the_repository_is_up_to_date() -> None:
    assert main(["--check", str(PROTOCOL)]) == 0


def test_a_stale_file_fails_the_check_and_writing_mends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stale = tmp_path / "PROTOCOL.md"
    assert main(["--check", str(stale)]) == 1
    stale.write_text("old")
    assert main(["--check", str(stale)]) == 1
    assert "make format" in capsys.readouterr().err
    assert main([str(stale)]) == 0
    assert main(["--check", str(stale)]) == 0


def test_every_message_and_every_type_that_it_mentions_is_there() -> None:
    text = document()
    for method, kinds in {**REQUESTS, **NOTIFICATIONS}.items():
        assert f"| `{method}` |" in text
        for kind in (kinds.params, RESULTS.get(method)):
            if kind is not None and kind.__name__ != "NoParams":
                assert f"interface {kind.__name__} " in text


def test_every_request_has_its_result() -> None:
    assert RESULTS.keys() == REQUESTS.keys()


def test_prose_uses_the_names_that_travel() -> None:
    assert prose("``created_at`` is None\n  before ``x``") == "`createdAt` is `null` before `x`"
