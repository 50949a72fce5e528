"""A process that says messages, searches for them, and forgets each again; it writes "said ID" and "forgotten ID" to
standard output when the store has acknowledged it. Arguments: the storage folder."""

from __future__ import annotations

import os
import sys
from itertools import count

from support.appending_process import context_of, new_id
from ullage.conversation.messages import Message
from ullage.conversation.operations import Operation
from ullage.store.folder import open_folder
from ullage.store.opening import open_store
from ullage.store.records import Commit


def main(folder: str) -> None:
    store = open_store(open_folder(folder)).store
    context = context_of(store, "main")
    for number in count():
        said = Message(new_id(), "user", f"needle {number}", number)
        summary = Message(new_id(), "assistant", f"In short, needle {number}", number, summary_of=(said.id,))
        kept = Message(new_id(), "user", f"kept needle {number}", number)
        everything = (said, summary, kept)
        ids = tuple(each.id for each in everything)
        done = Operation(new_id(), context, "append", number, "client", {"messageIds": list(ids)})
        store.commit(Commit(done, everything, ids))
        os.write(1, f"said {kept.id}\n".encode())
        store.search("needle", None, 1)
        erasing = Operation(new_id(), context, "forget", number, "client", {})
        store.forget(context, said.id, erasing)
        store.end_erasure(erasing.id)
        os.write(1, f"forgotten {said.id}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1])
