"""Conversations as JSON: our own format, and the lists of messages that chat programs keep.

::

    {"format": "ullage-conversation", "version": 1, "exportedAt": …,
     "context": {"name", "mode", "model", "systemPrompt"}, "messages": [{"id", "role", "content", …}, …]}
"""

from __future__ import annotations

import json
import re
from typing import Any

from ullage.conversation.transfer.records import (
    MOST_MESSAGES,
    Record,
    optional,
    records_of,
    refused,
    text,
    transcript_of,
    whole,
)
from ullage.conversation.transfer.transcript import About, Fresh, Transcript
from ullage.errors import InvalidArgument, NotSupported

FORMAT = "ullage-conversation"
VERSION = 1

MOST_VALUES = 15 * MOST_MESSAGES
"""In one text: enough for as many messages as can be taken, with all their fields."""

EXPECTED = (
    f'Give a conversation as Ullage exports it ("format": "{FORMAT}"), or a list of messages with "role" and'
    ' "content", by itself or under "messages".'
)

_STRUCTURE = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[{,]', re.DOTALL)
"""A text, which is passed over, or what begins or parts values."""


def write(transcript: Transcript) -> str:
    """One message a line, so that two exports can be compared."""
    head = {"format": FORMAT, "version": VERSION} | about_record(transcript.about)
    opening = json.dumps(head, ensure_ascii=False)[:-1]
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in records_of(transcript))
    return f'{opening}, "messages": [\n{lines}\n]}}\n'


def read(document: str, fresh: Fresh) -> Transcript:
    """Raises InvalidArgument, or NotSupported for a newer version and for images."""
    value = parsed(document, "text", EXPECTED)
    if type(value) is list:
        value = {"messages": value}
    if type(value) is not dict or not ("format" in value or "messages" in value):
        raise InvalidArgument(f"The text is no conversation. {EXPECTED}", "text")
    if "format" not in value:
        return _nonempty(transcript_of(value["messages"], About(), fresh, marked=False))
    if value["format"] != FORMAT:
        raise refused("format", f'must be "{FORMAT}"')
    check_version(value, "version")
    return transcript_of(value.get("messages"), about_from(value), fresh, marked=True)


def about_record(about: About) -> Record:
    context = {"name": about.name, "mode": about.mode, "model": about.model, "systemPrompt": about.system_prompt}
    return {"exportedAt": about.exported_at, "context": context}


def about_from(value: Record) -> About:
    context = value.get("context") or {}
    if type(context) is not dict:
        raise refused("context", "must be an object")
    return About(
        name=optional(context, "name", text, "context"),
        mode=optional(context, "mode", text, "context"),
        model=optional(context, "model", text, "context"),
        system_prompt=optional(context, "systemPrompt", text, "context"),
        exported_at=optional(value, "exportedAt", whole, ""),
    )


def check_version(value: Record, path: str) -> None:
    version = value.get("version")
    if type(version) is not int or version < 1:
        raise refused(path, f"must be a whole number; this is version {VERSION}")
    if version > VERSION:
        raise NotSupported("This conversation was exported by a newer version of Ullage. Update Ullage to import it.")


def parsed(document: str, path: str, advice: str) -> Any:
    """A JSON value. The message tells the place of a mistake and what to do, and quotes nothing."""
    if _has_too_many_values(document):
        raise refused(path, f"holds more than {MOST_VALUES:,} values: import it in parts")
    try:
        return json.loads(document)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidArgument(f"{path} is not valid JSON (at {place}). {advice}", path) from None
    except ValueError:
        raise refused(path, "holds a number that is out of all bounds") from None
    except RecursionError:
        raise refused(path, "nests too deep") from None


def _has_too_many_values(document: str) -> bool:
    """Told before they are made: empty ones take two characters of the text, and some seventy bytes of memory."""
    values = 0
    for match in _STRUCTURE.finditer(document):
        values += document[match.start()] != '"'
        if values > MOST_VALUES:
            return True
    return False


def _nonempty(transcript: Transcript) -> Transcript:
    if not transcript.messages:
        raise InvalidArgument(f"There are no messages in the text. {EXPECTED}", "messages")
    return transcript
