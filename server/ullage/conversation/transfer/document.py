"""The two ways out and in, by name."""

from __future__ import annotations

from typing import Literal

from ullage.conversation.transfer import foreign, json_text, markdown, markdown_reading
from ullage.conversation.transfer.transcript import Fresh, Transcript

Format = Literal["json", "markdown"]


def write(transcript: Transcript, format_: Format) -> str:
    """The whole conversation as a document that `read` makes the same one of."""
    return json_text.write(transcript) if format_ == "json" else markdown.write(transcript)


def read(document: str, format_: Format, fresh: Fresh) -> Transcript:
    """A conversation of ours or of another program. Bounded by the document's own size.

    Raises InvalidArgument, whose path names the place, or NotSupported for images and newer versions.
    """
    if format_ == "json":
        return json_text.read(document, fresh)
    if markdown_reading.is_ours(document):
        return markdown_reading.read(document, fresh)
    return foreign.read(document, fresh)
