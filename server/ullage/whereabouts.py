"""Where an exception came from, in words that a log may hold: an exception's own text may quote a message or a path."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import PurePath


def whereabouts(error: BaseException) -> str:
    """Type and places of an exception and of what caused it, in one line, without a word of their messages."""
    return " <- ".join(f"{type(link).__name__} at {_places(link)}" for link in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _places(error: BaseException) -> str:
    places = [
        f"{'/'.join(PurePath(frame.f_code.co_filename).parts[-2:])}:{line} {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    return " > ".join(places) or "nowhere"
