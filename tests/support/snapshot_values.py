"""Snapshots for tests: values that ascend, and files that somebody has forged."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from pathlib import Path
from typing import Any

import orjson
from backports import zstd

from support.store_values import message, new_id
from ullage.conversation.messages import Message, ToolCall
from ullage.store.snapshot_files import SnapshotFiles
from ullage.store.snapshot_format import encode
from ullage.store.snapshot_records import SnapshotContent, SnapshotHeader
from ullage.store.snapshot_shape import header_to_tree, marks_to_tree, message_to_tree


def header(context_id: str, **fields: Any) -> SnapshotHeader:
    values: dict[str, Any] = {
        "id": new_id(),
        "context_id": context_id,
        "created_at": 1_700_000_000_000,
        "tokens": 12,
        "messages": 0,
        "summary": "What is this?",
        "trigger": "manual",
        "model": "model",
        "context_size": 4096,
        "compression_ratio": 0.5,
    }
    return SnapshotHeader(**(values | fields))


def talk(count: int, words: str = "word word ") -> tuple[Message, ...]:
    """Question and answer in turns."""
    return tuple(message(f"{words}{n}", role="assistant" if n % 2 else "user") for n in range(count))


def everything() -> SnapshotContent:
    """One of each kind of message, with text that trips over encodings, and every mark."""
    calls = (ToolCall("call 1", "look", '{"at": "ñ\\u0000"}'), ToolCall("call 2", "look", "not JSON"))
    said = (
        message("Be brief.", role="system"),
        message("What came before", role="system", summary_of=(new_id(), new_id())),
        message('A question \0 \x1f 🙂 \n"quoted" \\ \u2028', name="Ada"),
        message("", role="assistant", tool_calls=calls, reasoning="Hm."),
        message("found", role="tool", tool_call_id="call 1", name="look"),
        message("An answer", role="assistant", created_at=-(2**63)),
    )
    pinned = frozenset({said[2].id, said[5].id})
    return SnapshotContent(said, pinned, frozenset({said[2].id}), frozenset({said[4].id}), "You are terse.\n")


def snapshot(context_id: str, content: SnapshotContent | None = None, **fields: Any) -> tuple[SnapshotHeader, Any]:
    content = content or SnapshotContent(talk(6))
    return header(context_id, messages=len(content.messages), **fields), content


def file_of(made: SnapshotHeader, content: SnapshotContent) -> bytes:
    return b"".join(encode(made, content))


def trees_of(made: SnapshotHeader, content: SnapshotContent) -> tuple[dict[str, Any], list[Any]]:
    """What the file says in plain sight, and the lines of its content, to be changed and forged."""
    lines: list[Any] = [marks_to_tree(content), *map(message_to_tree, content.messages)]
    return {"format": "ullage snapshot", "version": 1, **header_to_tree(made)}, lines


def forged(tree: dict[str, Any], lines: list[Any]) -> bytes:
    """A file with a checksum that is right, whatever it says."""
    raw = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    return forged_packed({**tree, "contentBytes": tree.get("contentBytes", len(raw))}, zstd.compress(raw))


def forged_packed(tree: dict[str, Any], packed: bytes) -> bytes:
    head = orjson.dumps(tree, option=orjson.OPT_INDENT_2).removesuffix(b"\n}")
    body = head + b',\n  "content": "' + b64encode(packed) + b'",\n  "checksum": "'
    return body + hashlib.sha256(body).hexdigest().encode() + b'"\n}\n'


def names(files: SnapshotFiles) -> list[str]:
    root = files.folder.snapshots
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir())


def put(files: SnapshotFiles, context_id: str, raw: bytes, id_: str | None = None) -> Path:
    """A file that somebody else has put into the folder."""
    path = files.folder.snapshot(context_id, id_ or new_id())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return path
