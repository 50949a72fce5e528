"""A process that holds one context's lock until it is killed, or until another process asks for it. Arguments: the
storage folder, the context's id, and "child" to start a process of its own that outlives it."""

from __future__ import annotations

import subprocess
import sys
import time

from ullage.store.folder import open_folder
from ullage.store.locks import ContextLocks


def main(folder: str, context_id: str, *options: str) -> None:
    locks = ContextLocks(open_folder(folder), "Other editor")
    assert locks.try_acquire(context_id)
    if "child" in options:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdout=subprocess.DEVNULL)
        print(child.pid, flush=True)
    print("held", flush=True)
    while context_id not in locks.takeover_requests():
        time.sleep(0.02)
    locks.release(context_id)
    print("released", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
