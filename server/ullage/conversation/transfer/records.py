"""Messages as plain JSON objects, out and in.

Going in, the spellings of other programs are taken too: ``tool_calls`` with a ``function``, ``tool_call_id``, contents
in parts, ``reasoning_content``. Every refusal names the place, as in ``messages[3].role``, and quotes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from ullage.conversation.ids import is_ulid
from ullage.conversation.messages import Message, Role, ToolCall
from ullage.conversation.transfer.transcript import About, Fresh, Transcript
from ullage.errors import InvalidArgument, NotSupported

T = TypeVar("T")
Record = dict[str, Any]

LARGEST_TEXT = 16 * 2**20
"""Characters of one text: far beyond any window."""

MOST_MESSAGES = 200_000
MOST_CALLS = 1_000
LATEST = 2**53 - 1
"""The largest whole number that every reader of JSON keeps exactly."""

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
TEXT_PARTS = ("text", "input_text", "output_text")
_HALF_OF_A_PAIR = re.compile(r"[\ud800-\udfff]")


def records_of(transcript: Transcript) -> Iterator[Record]:
    """Each message with its fields that are set and its marks; ``windowPosition`` is missing on what left the
    window."""
    positions = {id_: position for position, id_ in enumerate(transcript.window)}
    for message in transcript.messages:
        record: Record = {"id": message.id, "role": message.role, "createdAt": message.created_at}
        if message.id in positions:
            record["windowPosition"] = positions[message.id]
        for mark in ("pinned", "carried", "masked"):
            if message.id in getattr(transcript, mark):
                record[mark] = True
        record["content"] = message.content
        yield record | _what_is_set(message)


def _what_is_set(message: Message) -> Record:
    calls = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in message.tool_calls]
    optional: Record = {
        "name": message.name,
        "toolCalls": calls or None,
        "toolCallId": message.tool_call_id,
        "reasoning": message.reasoning,
        "summaryOf": None if message.summary_of is None else list(message.summary_of),
    }
    return {key: value for key, value in optional.items() if value is not None}


def transcript_of(records: object, about: About, fresh: Fresh, *, marked: bool) -> Transcript:
    """Checked messages as a transcript. ``marked``: those without a position left the window; else all are in it.

    An id that is no ULID, or that an earlier message bears, is replaced, also where a summary names it.
    """
    if type(records) is not list:
        raise refused("messages", "must be a list")
    if len(records) > MOST_MESSAGES:
        raise refused("messages", f"has more than {MOST_MESSAGES:,} messages: import them in parts")
    ids = _ids(records, fresh)
    first = {record["id"]: id_ for record, id_ in reversed(list(zip(records, ids, strict=True))) if "id" in record}
    messages = tuple(_message(record, index, ids[index], first, fresh) for index, record in enumerate(records))
    positions = [_position(record, index) if marked else index for index, record in enumerate(records)]
    present = sorted((position, index) for index, position in enumerate(positions) if position is not None)
    window = tuple(ids[index] for _, index in present)
    return Transcript(about, messages, window, *_marks(records, messages, frozenset(window)))


def _ids(records: Sequence[object], fresh: Fresh) -> list[str]:
    taken: set[str] = set()
    ids = []
    for index, record in enumerate(records):
        if type(record) is not dict:
            raise refused(f"messages[{index}]", "must be an object")
        own = optional(record, "id", text, f"messages[{index}]")
        if own is None:
            record.pop("id", None)
        usable = own is not None and is_ulid(own) and own not in taken
        ids.append(own if own is not None and usable else fresh.new_id())
        taken.add(ids[-1])
    return ids


def _message(record: Record, index: int, id_: str, ids: dict[str, str], fresh: Fresh) -> Message:
    path = f"messages[{index}]"
    role = _role(record, path)
    calls = _tool_calls(record, path)
    call_id = optional(record, ("toolCallId", "tool_call_id"), text, path)
    if calls and role != "assistant":
        raise refused(f"{path}.toolCalls", "can only be the assistant's")
    if role == "tool" and not call_id:
        raise refused(f"{path}.toolCallId", "is missing: a tool's result names the call that it answers")
    at = optional(record, "createdAt", whole, path)
    return Message(
        id=id_,
        role=role,
        content=_content(record, path, may_be_missing=bool(calls)),
        created_at=fresh.now if at is None else at,
        name=optional(record, "name", text, path),
        tool_calls=calls,
        tool_call_id=call_id,
        reasoning=optional(record, ("reasoning", "reasoning_content", "thinking"), text, path),
        summary_of=_summary_of(record, path, ids),
    )


def _role(record: Record, path: str) -> Role:
    role = optional(record, "role", text, path)
    if role not in ROLES:
        raise refused(f"{path}.role", "must be one of " + ", ".join(ROLES))
    return ROLES[role]


def _content(record: Record, path: str, *, may_be_missing: bool) -> str:
    content, path = record.get("content"), f"{path}.content"
    if content is None and may_be_missing:
        return ""
    if type(content) is not list:
        return text(content, path)
    return text("".join(_part(part, f"{path}[{index}]") for index, part in enumerate(content)), path)


def _part(part: object, path: str) -> str:
    if type(part) is str:
        return part
    if type(part) is not dict:
        raise refused(path, "must be a part with text")
    if part.get("type") not in TEXT_PARTS:
        raise NotSupported(f"{path} is no text, and images and files are not supported. Leave it out.", path=path)
    return text(part.get("text"), f"{path}.text")


def _tool_calls(record: Record, path: str) -> tuple[ToolCall, ...]:
    key = _spelling(record, ("toolCalls", "tool_calls"))
    calls, path = record.get(key), f"{path}.{key}"
    if calls is None:
        return ()
    if type(calls) is not list:
        raise refused(path, "must be a list")
    if len(calls) > MOST_CALLS:
        raise refused(path, f"has more than {MOST_CALLS:,} calls")
    return tuple(_tool_call(call, f"{path}[{index}]") for index, call in enumerate(calls))


def _tool_call(call: object, path: str) -> ToolCall:
    if type(call) is not dict:
        raise refused(path, "must be an object")
    id_ = text(call.get("id"), f"{path}.id")
    if "function" in call:
        call, path = call["function"], f"{path}.function"
        if type(call) is not dict:
            raise refused(path, "must be an object")
    return ToolCall(id_, text(call.get("name"), f"{path}.name"), _arguments(call, f"{path}.arguments"))


def _arguments(call: Record, path: str) -> str:
    """As the model wrote them; where a program keeps them as an object, as its JSON."""
    arguments = call.get("arguments")
    if type(arguments) is not dict:
        return text(arguments, path)
    try:
        written = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    except RecursionError:
        raise refused(path, "nests too deep") from None
    except ValueError:
        raise refused(path, "holds a number that is out of all bounds") from None
    return text(written, path)


def _summary_of(record: Record, path: str, ids: dict[str, str]) -> tuple[str, ...] | None:
    named, path = record.get("summaryOf"), f"{path}.summaryOf"
    if named is None:
        return None
    if type(named) is not list or len(named) > MOST_MESSAGES:
        raise refused(path, f"must be a list of at most {MOST_MESSAGES:,} ids")
    texts = (text(id_, f"{path}[{index}]") for index, id_ in enumerate(named))
    return tuple(ids.get(id_, id_) for id_ in texts if id_ in ids or is_ulid(id_))


def _position(record: Record, index: int) -> int | None:
    return optional(record, "windowPosition", whole, f"messages[{index}]")


def _marks(
    records: Sequence[Record], messages: Sequence[Message], window: frozenset[str]
) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    def marked(mark: str) -> frozenset[str]:
        flags = [optional(record, mark, _truth, f"messages[{index}]") for index, record in enumerate(records)]
        return window.intersection(m.id for m, flag in zip(messages, flags, strict=True) if flag)

    pinned = marked("pinned")
    results = frozenset(m.id for m in messages if m.role == "tool")
    return pinned, marked("carried") & pinned, marked("masked") & results


def optional(record: Record, keys: str | Sequence[str], read: Callable[[Any, str], T], path: str) -> T | None:
    """The value under the first of these keys that is there, read; None where none is, or it is null."""
    key = _spelling(record, [keys] if isinstance(keys, str) else keys)
    value = record.get(key)
    return None if value is None else read(value, f"{path}.{key}" if path else key)


def _spelling(record: Record, keys: Sequence[str]) -> str:
    return next((key for key in keys if record.get(key) is not None), keys[0])


def text(value: object, path: str) -> str:
    """Well-formed Unicode of a reasonable length, or InvalidArgument."""
    if type(value) is not str:
        raise refused(path, "is missing" if value is None else "must be text")
    if len(value) > LARGEST_TEXT:
        raise refused(path, f"has more than {LARGEST_TEXT:,} characters")
    if not value.isascii() and _HALF_OF_A_PAIR.search(value):
        raise refused(path, "holds half of a surrogate pair, which is no Unicode")
    return value


def whole(value: object, path: str) -> int:
    """A count or a time, or InvalidArgument."""
    if type(value) is not int or not 0 <= value <= LATEST:
        raise refused(path, f"must be a whole number from 0 to {LATEST}")
    return value


def _truth(value: object, path: str) -> bool:
    if type(value) is not bool:
        raise refused(path, "must be true or false")
    return value


def refused(path: str, reason: str) -> InvalidArgument:
    return InvalidArgument(f"{path} {reason}.", path)
