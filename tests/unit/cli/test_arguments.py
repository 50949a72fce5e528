"""The command line before anything is started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ullage import __version__
from ullage.cli import main, make_parser


def test_without_a_command_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "chat" in capsys.readouterr().out


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.strip() == f"ullage {__version__}"


@pytest.mark.parametrize("argv", [["sail"], ["chat", "one", "two"], ["status", "--colour"]])
def test_a_mistyped_command_line_is_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == 2
    assert "usage: ullage" in capsys.readouterr().err


def test_a_relative_storage_folder_is_made_absolute() -> None:
    arguments = make_parser().parse_args(["chat", "--storage", "casks"])
    assert arguments.storage == Path("casks").absolute()


def test_the_folder_may_be_left_out() -> None:
    assert make_parser().parse_args(["status"]).folder == Path()


def test_choosing_a_command_imports_nothing_heavy() -> None:
    """An editor waits for `serve`."""
    code = (
        "import sys; from ullage.cli import make_parser; make_parser().parse_args(['serve']);"
        "print(sorted({'rich', 'httpx', 'lsprotocol', 'asyncio', 'orjson', 'attrs'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_chat_in_a_folder_that_is_not_there_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", str(tmp_path / "sunken")]) == 1
    assert "is no folder" in capsys.readouterr().err
