"""The command line on a fake server: `python terminal_with_fake_server.py MODE ARGUMENT...`."""

from __future__ import annotations

import sys
from pathlib import Path

from ullage.cli import client, main

FAKE_SERVER = str(Path(__file__).with_name("fake_server.py"))

if __name__ == "__main__":
    client.SERVER_COMMAND = (sys.executable, FAKE_SERVER, sys.argv[1])  # type: ignore[assignment]  # of another length
    sys.exit(main(sys.argv[2:]))
