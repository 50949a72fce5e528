"""Which of several things a person means by a number of a list, or by the end of an id."""

from __future__ import annotations

from collections.abc import Sequence

from ullage.contexts.commands.figures import SHORT_ID
from ullage.contexts.commands.lines import refused
from ullage.conversation.ids import is_ulid


def chosen(text: str, ids: Sequence[str], where: str, numbered: Sequence[str] = ()) -> str:
    """The id that ``text`` means: a whole id, the end of one of ``ids``, or a number from 1 in ``numbered``, the list
    that the person has seen. ``where`` is the line that lists them.

    A whole id is taken as it is: it may be of something older than ``ids``, and whoever uses it knows whether it
    exists. Raises InvalidArgument.
    """
    if is_ulid(text.upper()):
        return text.upper()
    if numbered and text.isascii() and text.isdigit() and len(text) < SHORT_ID:
        if not 1 <= int(text) <= len(numbered):
            raise refused(f"No such number is in the list. `{where}` shows it.")
        return numbered[int(text) - 1]
    if len(text) < SHORT_ID:
        raise refused(f"Give at least the last {SHORT_ID} characters of an id; `{where}` shows them.")
    found = [id_ for id_ in ids if id_.endswith(text.upper())]
    if not found:
        raise refused(f"No id ends so. `{where}` shows what there is.")
    if len(found) > 1:
        raise refused(f"{len(found)} ids end so. Give more of the id's characters.")
    return found[0]
