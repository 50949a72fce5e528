"""A process that appends messages to one context of a store and writes each one's id to standard output, when the
store has acknowledged it. Arguments: the storage folder, how many messages (0: until it is killed), and the context's
name (none: "main")."""

from __future__ import annotations

import os
import sys
import time
from itertools import count

from ullage.conversation.ids import Monotonic
from ullage.conversation.messages import Message
from ullage.conversation.operations import Operation
from ullage.store.folder import open_folder
from ullage.store.opening import open_store
from ullage.store.records import Commit, ContextRecord
from ullage.store.store import Store

_ids = Monotonic()


def main(folder: str, messages: int, name: str = "main") -> None:
    store = open_store(open_folder(folder)).store
    context = context_of(store, name)
    said = len(store.history(context, None, 1_000_000)[0])
    for number in range(said, said + messages) if messages else count(said):
        message = Message(new_id(), "user", f"{number} " + "x" * (number % 7 * 700), number)
        operation = Operation(new_id(), context, "append", number, "client", {})
        store.commit(Commit(operation, (message,), (message.id,)))
        os.write(1, f"{message.id}\n".encode())


def context_of(store: Store, name: str) -> str:
    found = store.find("file:///project", name)
    if found is None:
        found = ContextRecord(new_id(), name, "file:///project", 0, 0)
        store.create(found, Operation(new_id(), found.id, "open", 0, "client", {}))
    return found.id


def new_id() -> str:
    return _ids.next(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10), "big"))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
