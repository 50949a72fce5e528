"""Laying sources over each other: the strongest valid value of each setting counts, and what is not taken is told."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs
from attrs import frozen

from ullage.settings.fields import attributes, flatten, get, hints, is_branch, put
from ullage.settings.rules import RULES, Rule
from ullage.settings.scopes import why_refused
from ullage.settings.tree import Settings
from ullage.settings.values import checked, printable

SettingSource = Literal["default", "user file", "workspace file", "editor", "environment", "command"]
"""From the weakest to the strongest."""

MOST_PROBLEMS = 20
"""Of one source; the rest are told as a number."""

WHOLE = "settings"
"""Stands for the path where a source as a whole is not what it should be."""


@frozen
class Layer:
    """What one source says: a tree, or what a person has put in a tree's place. ``place`` is the file or variable,
    where the source alone does not tell. ``alone`` is of a workspace's file: its folder is the only one open."""

    source: SettingSource
    tree: object
    place: str | None = None
    alone: bool = True


@frozen
class Problem:
    """A value that was not taken, and why, in words for a person."""

    path: str
    source: SettingSource
    reason: str
    place: str | None = None

    def __str__(self) -> str:
        place = f" {self.place}" if self.place else ""
        return f"Setting {self.path} ({self.source}{place}): {self.reason}"


@frozen
class SettingValue:
    """One leaf of the resolved tree and the source that it came from."""

    path: str
    value: object
    source: SettingSource


@frozen
class Resolved:
    settings: Settings
    origins: dict[str, SettingSource]
    problems: tuple[Problem, ...]

    def values(self) -> list[SettingValue]:
        """Every leaf, fit to be shown: addresses without what could be a secret."""
        return [
            SettingValue(path, _shown(path, value), self.origins.get(path, "default"))
            for path, value in flatten(self.settings)
        ]


@frozen
class _Candidate:
    """A valid value; ``rank`` is the place of its layer among all, the strongest last."""

    value: Any
    rank: int
    layer: Layer


def resolve(layers: Sequence[Layer]) -> Resolved:
    """Lay the sources over the defaults, the weakest first. Whatever a tree holds, this raises nothing: what is not
    taken is a problem, and the next lower source counts."""
    stacks: dict[str, list[_Candidate]] = {}
    problems: list[Problem] = []
    for rank, layer in enumerate(layers):
        accepted, refused = _sorted_out(layer)
        problems += _bounded(refused)
        for path, value in accepted.items():
            stacks.setdefault(path, []).append(_Candidate(value, rank, layer))
    for rule in RULES:
        problems += _settled(rule, stacks)
    settings, origins = Settings(), {}
    for path, stack in stacks.items():
        if stack:
            settings = put(settings, path, stack[-1].value)
            origins[path] = stack[-1].layer.source
    return Resolved(settings, origins, tuple(problems))


def _sorted_out(layer: Layer) -> tuple[dict[str, Any], list[Problem]]:
    """The valid values of one source by their paths, and what is wrong with the others."""
    if layer.tree is None:
        return {}, []
    if not isinstance(layer.tree, Mapping):
        return {}, [Problem(WHOLE, layer.source, "must be a table of settings", layer.place)]
    accepted, refused = {}, []
    for path, kind, name, value in _leaves_of(layer.tree):
        if value is None and layer.source == "editor":  # what nobody has set, editors send as null
            continue
        try:
            accepted[path] = _taken(layer, path, kind, name, value)
        except ValueError as error:
            refused.append(Problem(path, layer.source, str(error), layer.place))
    return accepted, refused


def _leaves_of(
    tree: Mapping[Any, Any], kind: type = Settings, prefix: str = ""
) -> Iterator[tuple[str, type, str, Any]]:
    """The leaves as a source wrote them: path, the class that the leaf belongs to, its name there, value. A dotted key
    is the same as a table in a table; a branch with nothing in it says nothing."""
    for key, value in tree.items():
        head, _, rest = str(key).partition(".")
        below = hints(kind).get(head)
        if is_branch(below) and rest:
            yield from _leaves_of({rest: value}, below, f"{prefix}{head}.")
        elif is_branch(below) and isinstance(value, Mapping):
            yield from _leaves_of(value, below, f"{prefix}{head}.")
        elif not (is_branch(below) and value is None):
            yield f"{prefix}{printable(str(key))}", kind, str(key), value


def _taken(layer: Layer, path: str, kind: type, name: str, value: Any) -> Any:
    """The value as the tree holds it, or ValueError with the reason why it is not taken."""
    if layer.source == "workspace file" and (reason := why_refused(path, alone=layer.alone)):
        raise ValueError(reason)
    if name not in attributes(kind):
        raise ValueError("there is no such setting")
    if is_branch(hints(kind)[name]):
        raise ValueError("must be a table")
    return checked(hints(kind)[name], value, attributes(kind)[name].metadata)


def _settled(rule: Rule, stacks: Mapping[str, list[_Candidate]]) -> Iterator[Problem]:
    """Take the strongest source out of a pair that does not fit together, until it does; the defaults do."""
    pair = {path: stacks.get(path, []) for path in (rule.lower, rule.upper)}
    while True:
        low, high = (stack[-1].value if stack else get(Settings(), path) for path, stack in pair.items())
        if rule.holds(low, high):
            return
        strongest = max((stack[-1] for stack in pair.values() if stack), key=lambda candidate: candidate.rank)
        struck = [path for path, stack in pair.items() if stack and stack[-1].rank == strongest.rank]
        for path in struck:
            pair[path].pop()
        layer = strongest.layer
        yield Problem(struck[0], layer.source, rule.reason(struck[0], low, high), layer.place)


def _bounded(problems: list[Problem]) -> list[Problem]:
    shown, rest = problems[:MOST_PROBLEMS], len(problems) - MOST_PROBLEMS
    if rest > 0:
        shown[-1] = attrs.evolve(shown[-1], reason=f"{shown[-1].reason}; so it is with {rest:,} more here")
    return shown


def _shown(path: str, value: object) -> object:
    return _without_secrets(value) if path.endswith(".url") and isinstance(value, str) else value


def _without_secrets(url: str) -> str:
    """A URL without user, password, query and fragment. A password may hold any character, so that all up to the last
    "@" goes."""
    scheme, separator, rest = url.rpartition("://") if "://" in url else ("", "", url)
    return scheme + separator + re.split(r"[?#]", rest.rpartition("@")[2])[0]
