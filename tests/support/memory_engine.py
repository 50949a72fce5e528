"""The real engine as the judge of memory: it loads tiny models of any architecture and prints what it allocates.

Run as a program it reads one order from standard input and answers it on standard output. Each load is a process of
its own, so that an engine that crashes is a failed load and nothing else. Which tensors an architecture has, and of
which shapes, the engine says itself: it names the first one that it misses or that has another shape.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from support.gguf_writer import byte_level_vocabulary, header_bytes, write_gguf

_MISSING = re.compile(r"tensor '([^']+)' not found")
_SHAPE = re.compile(r"tensor '([^']+)' has wrong shape; expected ([\d, ]+), got")
_CACHE = re.compile(r"llama_kv_cache\w*: size = +([\d.]+) MiB")
_STATE = re.compile(r"llama_memory_recurrent: size = +([\d.]+) MiB")
_COMPUTE = re.compile(r"CPU compute buffer size = +([\d.]+) MiB")
_ENDS = ("listening on", "exiting due to")
_MOST_TENSORS = 1000


@frozen
class Allocated:
    """What the engine printed, in MiB to two decimals; ``caches`` one by one, full layers before sliding ones."""

    caches: tuple[float, ...]
    state: float
    compute: float
    flash_attention: bool


def allocations(model: Path, layouts: Sequence[Mapping[str, Any]]) -> list[Allocated]:
    """Load ``model`` once with each layout: n_ctx, n_parallel, type, kv_unified, n_ubatch, flash_attention."""
    answers: list[dict[str, Any]] = _ask({"model": str(model), "layouts": list(layouts)})
    return [Allocated(**(answer | {"caches": tuple(answer["caches"])})) for answer in answers]


def write_model(model: Path, metadata: Mapping[str, Any], hints: Sequence[str]) -> None:
    """A model with random weights that the engine loads. ``hints`` are tensors that it takes as optional and yet can't
    do without: names as in the file, "*" for every layer."""
    _ask({"model": str(model), "metadata": dict(metadata), "hints": list(hints)})


def _ask(order: dict[str, Any]) -> Any:
    environment = os.environ | {"GGML_NO_BACKTRACE": "1", "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    command = [sys.executable, "-m", "support.memory_engine"]
    done = subprocess.run(
        command, input=json.dumps(order), capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def _answer(order: dict[str, Any]) -> Any:
    model = Path(order["model"])
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        if "metadata" in order:
            return _find_tensors(model, log, order["metadata"], order["hints"])
        return [_figures(_loaded(model, log, layout), log) for layout in order["layouts"]]


def _find_tensors(model: Path, log: Path, metadata: dict[str, Any], hints: list[str]) -> int:
    blocks = next(value for key, value in metadata.items() if key.endswith(".block_count"))
    tensors: dict[str, tuple[int, ...]] = {}
    for hint in hints:
        tensors |= {hint.replace("*", str(block)): (1,) for block in range(blocks if "*" in hint else 1)}
    vocabulary = byte_level_vocabulary([], pre="gpt-2")
    for _ in range(2 * _MOST_TENSORS):
        _write_hollow(model, metadata | vocabulary, tensors)
        if _loaded(model, log, {"n_ctx": 512, "n_parallel": 1}):
            write_gguf(model, metadata | vocabulary, tensors)
            return len(tensors)
        printed = log.read_text(errors="replace")
        if found := _MISSING.search(printed):
            tensors[found[1]] = _like_another_layer(found[1], tensors)
        elif found := _SHAPE.search(printed):
            shape = [int(length) for length in found[2].split(",")]
            while shape[1:] and shape[-1] == 1:
                shape.pop()
            tensors[found[1]] = tuple(shape)
        else:
            raise RuntimeError(printed[-1500:])
    raise RuntimeError("the engine wants more tensors than any tiny model has")


def _write_hollow(model: Path, metadata: Mapping[str, Any], tensors: Mapping[str, tuple[int, ...]]) -> None:
    """All weights zero and a hole in the file, as they are only asked for their shapes."""
    head = header_bytes(metadata, tensors)
    model.write_bytes(head)
    os.truncate(model, len(head) + sum(4 * math.prod(shape) + 64 for shape in tensors.values()))


def _like_another_layer(name: str, tensors: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    block, _, rest = name.removeprefix("blk.").partition(".")
    same = (shape for other, shape in tensors.items() if block.isdigit() and other.endswith("." + rest))
    return next(same, (1,))


def _figures(loaded: bool, log: Path) -> dict[str, Any]:
    printed = log.read_text(errors="replace")
    if not loaded:
        raise RuntimeError(printed[-1500:])
    return {
        "caches": [float(size) for size in _CACHE.findall(printed)],
        "state": sum(float(size) for size in _STATE.findall(printed)),
        "compute": float(_COMPUTE.findall(printed)[-1]),
        "flash_attention": "Flash Attention enabled" in printed or "flash_attn            = enabled" in printed,
    }


def _loaded(model: Path, log: Path, layout: Mapping[str, Any]) -> bool:
    """Whether the engine loads the model; what it printed lies in ``log``."""
    log.write_bytes(b"")
    child = os.fork()
    if child == 0:
        _load_and_exit(model, log, layout)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.001)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return False


def _load_and_exit(model: Path, log: Path, layout: Mapping[str, Any]) -> None:
    """Leaves without taking the engine down in order, which may wait for ever on a server that has just begun."""
    target = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(target, 1)
    os.dup2(target, 2)
    try:
        server = _serve(model, layout)
    except Exception:
        server = None
    for _ in range(500):  # the engine prints from a thread of its own
        if any(end in log.read_text(errors="replace") for end in _ENDS):
            break
        time.sleep(0.001)
    os._exit(0 if server is not None else 1)


def _serve(model: Path, layout: Mapping[str, Any]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_ctx, params.n_parallel = layout["n_ctx"], layout["n_parallel"]
    params.fit_params, params.cache_ram_mib, params.warmup = False, 0, False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.kv_unified = layout.get("kv_unified", False)
    params.n_ubatch = layout.get("n_ubatch", 512)
    cache_type = f"GGML_TYPE_{layout.get('type', 'f16').upper()}"
    params.cache_type_k = params.cache_type_v = getattr(xllamacpp.ggml_type, cache_type)
    if not layout.get("flash_attention", True):
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.verbosity = 4  # prints the sizes
    return xllamacpp.Server(params)


if __name__ == "__main__":
    import xllamacpp  # noqa: F401  # once, for all the loads

    print(json.dumps(_answer(json.load(sys.stdin))))
