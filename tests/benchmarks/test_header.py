"""Reading the header of a large GGUF file touches the header, and next to nothing of the weights behind it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.engine import needs_engine, smollm2
from support.measuring import told

pytestmark = [
    pytest.mark.bench,
    pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel which pages of the file are mapped in"),
    *needs_engine,
]

LARGE = 10 * 2**30
MOST_MIB = 64.0
READING = """
import sys
from pathlib import Path
from ullage.tokens.gguf import GgufHeader

def touched(name: str) -> int:
    here, total = False, 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ")[0]:
            here = line.endswith(name)
        elif here and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total

with GgufHeader(Path(sys.argv[1])) as header:
    assert header.file_size > 10**10
    assert len(header.strings("tokenizer.ggml.tokens")) > 1000
    assert header.integer("llama.context_length") == 8192
    print(touched("large.gguf"))
"""


def test_reading_the_header_of_ten_gigabytes_touches_little_of_them(tmp_path: Path) -> None:
    model = smollm2()
    assert model is not None
    large = tmp_path / "large.gguf"
    with model.open("rb") as source, large.open("wb") as file:
        file.write(source.read(8 * 2**20))  # the header, and the first of the weights
        file.truncate(LARGE)  # the rest is a hole that takes no disk
    command = [sys.executable, "-c", READING, str(large)]
    grown = int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    told("header of 10 GB, MiB touched", grown / 2**20, MOST_MIB)
    assert 0 < grown < MOST_MIB * 2**20
