"""The engine's own process: llama.cpp's server inside, one model, one slot.

It reads one line of JSON from standard input (`EngineOrder`'s fields), answers one line on what was standard output
when it began ({"address": …} or {"error": …}), and ends when its input does, which it does with its parent. Everything
that the engine prints goes to standard error. A process of its own, so that a crash of the engine is not the server's.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

LARGEST_ORDER_BYTES = 1 << 16
LOCALHOST = "127.0.0.1"


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt from the keyboard is for the parent, which ends us
    _end_with_parent_while_loading()
    _leave_no_core_dump()
    with os.fdopen(_take_standard_output(), "w", encoding="utf-8") as answers:
        order = json.loads(sys.stdin.buffer.readline(LARGEST_ORDER_BYTES))
        try:
            server = start(order)
        except ImportError:
            answer = {"error": "not installed"}
        except Exception as error:  # whatever the engine throws is the parent's to tell
            answer = {"error": type(error).__name__}
        else:
            answer = {"address": server.listening_address}
        answers.write(json.dumps(answer) + "\n")
    if "address" in answer:
        _wait_for_the_end_of_input()
        os._exit(0)  # at once, whatever the engine is doing; after a failure its last words are printed first


def start(order: dict[str, Any]) -> Any:
    """Load the model and listen on a free port of this machine; blocks until the model is loaded."""
    _limit_address_space(order["address_space_bytes"])
    import xllamacpp  # noqa: PLC0415  # an optional part, and heavy

    params = xllamacpp.CommonParams()
    params.model.path = order["model"]
    params.model_alias = {order["name"]}
    params.hostnames, params.port = [LOCALHOST], 0
    params.api_keys = [order["api_key"]]  # other programs and web pages on this machine reach the port too
    params.ui = False
    params.cors_origins = ""
    params.n_ctx, params.n_parallel = order["context_size"], 1
    params.fit_params = False  # the size is ours to choose
    params.cache_ram_mib = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = order["threads"]
    params.cache_type_k = params.cache_type_v = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{order['cache_type'].upper()}")
    params.endpoint_props = params.endpoint_slots = True
    params.verbosity = 4  # tells the sizes of buffers; what is said to the model is printed from 5 on
    return xllamacpp.Server(params)


def _limit_address_space(size: int) -> None:
    if size:
        import resource  # noqa: PLC0415  # not everywhere, and only needed here

        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _leave_no_core_dump() -> None:
    """A crash would leave an image of this memory, conversations and all, in the working folder."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415  # not on Windows

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _take_standard_output() -> int:
    """A private copy of standard output for the answer; from then on, what anyone prints goes to standard error."""
    sys.stdout.flush()
    private = os.dup(1)
    os.dup2(2, 1)
    return private


def _wait_for_the_end_of_input() -> None:
    while os.read(0, 4096):
        pass


def _end_with_parent_while_loading() -> None:
    """Loading holds the interpreter's lock, so that the end of input is not seen. On Linux the kernel helps."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415  # only needed here

        set_parent_death_signal = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


if __name__ == "__main__":
    main()
