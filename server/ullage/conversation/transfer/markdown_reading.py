"""Our own Markdown (see markdown.py) back into a conversation, also after its line ends were changed on the way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, pairwise

from attrs import evolve, frozen

from ullage.conversation.transfer.json_text import about_from, check_version, parsed
from ullage.conversation.transfer.markdown import REASONING_ENDS
from ullage.conversation.transfer.records import MOST_MESSAGES, Record, refused, text, transcript_of
from ullage.conversation.transfer.transcript import Fresh, Transcript
from ullage.errors import InvalidArgument

_HEADER = re.compile(r"\A\ufeff?\s*<!-- ullage:([0-9]{1,9}) conversation .*-->[ \t]*(\r?)$", re.MULTILINE)


@frozen
class _Section:
    """A part of the document below its marker; ``path`` names the message that it belongs to."""

    kind: str
    meta: Record
    below: str
    path: str


def is_ours(document: str) -> bool:
    return _HEADER.match(document) is not None


def read(document: str, fresh: Fresh) -> Transcript:
    """Raises InvalidArgument where a marker was damaged or the end is missing, and NotSupported for newer versions."""
    header = _HEADER.match(document)
    assert header is not None, "only a document that begins like ours is read here"
    if header[2]:
        document = document.replace("\r\n", "\n")
    head: Record = {}
    records: list[Record] = []
    for section in _sections(document, header[1]):
        if section.kind == "conversation":
            check_version(section.meta, "version")
            head = section.meta
        elif section.kind == "systemPrompt":
            head = head | {"context": {**_context(head), "systemPrompt": _body(section)}}
        elif section.kind == "end" or len(records) > MOST_MESSAGES:  # one too many is enough to refuse them
            return transcript_of(records, about_from(head), fresh, marked=True)
        elif section.kind == "message":
            own = {key: value for key, value in section.meta.items() if key not in ("reasoning", "toolCalls")}
            records.append(own | {"content": _body(section)})
        else:
            _add_part(records, section)
    raise InvalidArgument("The end of the document is missing: import the whole of it.", "text")


def _sections(document: str, tag: str) -> Iterator[_Section]:
    markers = re.finditer(rf"^<!-- ullage:{tag} ([A-Za-z]+)(?: (.*))? -->[ \t]*$", document, re.MULTILINE)
    messages = 0
    for match, following in pairwise(chain(markers, [None])):
        assert match is not None, "only the last has none behind it"
        end = len(document) if following is None else following.start()
        kind = match[1]
        messages += kind == "message"
        path = f"messages[{messages - 1}]" if messages else "text"
        meta = parsed(match[2], path, "Its marker was damaged.") if match[2] else {}
        if type(meta) is not dict:
            raise refused(path, "has a marker that was damaged")
        yield _Section(kind, meta, document[match.end() + 1 : end], path)


def _add_part(records: list[Record], section: _Section) -> None:
    if not records:
        raise refused(section.path, "has a part before the first message")
    if section.kind == "reasoning":
        below = section.below.rstrip().removesuffix(REASONING_ENDS)
        records[-1]["reasoning"] = _body(evolve(section, below=below))
    elif section.kind == "call":
        call = section.meta | {"arguments": _body(section)}
        records[-1].setdefault("toolCalls", []).append(call)
    else:
        raise refused(section.path, "has a part of a kind that is not known here")


def _body(section: _Section) -> str:
    """The text of a section: the exact one where the marker has it, else the one that is shown."""
    if "exact" in section.meta:
        return text(section.meta["exact"], section.path)
    shown = section.below.partition("\n\n")[2]
    if section.meta.get("fenced") is True:
        return _unfenced(shown, section.path)
    return shown.removesuffix("\n").removesuffix("\n")


def _unfenced(shown: str, path: str) -> str:
    fence, _, rest = shown.partition("\n")
    end = f"\n{rest}".rfind(f"\n{fence}")
    if not re.fullmatch("`{3,}", fence) or end < 0:
        raise refused(path, "has a text whose fence was damaged")
    return rest[: max(end - 1, 0)]


def _context(head: Record) -> Record:
    context = head.get("context")
    return context if type(context) is dict else {}
