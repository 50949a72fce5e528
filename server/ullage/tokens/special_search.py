"""Cutting text at special tokens, as llama.cpp's ``tokenizer_st_partition`` does it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

_BLANKS = re.compile(r"[ \t\n\v\f\r]*")


class SpecialSearch:
    """Finds tokens by their texts: the longest first over the whole text, each at its occurrences from the left.

    ``swallowing``: tokens that take the blanks behind them along. Vocabularies have special tokens by the thousand, so
    text is first searched for those that are in it at all.
    """

    def __init__(self, ids: Mapping[str, int], swallowing: Collection[str] = frozenset()) -> None:
        self._ids = ids
        self._swallowing = frozenset(swallowing)
        self._order = {text: number for number, text in enumerate(sorted(ids, key=lambda text: -len(text.encode())))}
        lengths: defaultdict[str, set[int]] = defaultdict(set)
        for text in ids:
            lengths[text[0]].add(len(text))
        self._lengths = dict(lengths)
        self._begins = re.compile("|".join(_beginnings(ids)), re.DOTALL)

    def begins(self, text: str) -> bool:
        """Whether ``text`` begins with one of the tokens."""
        return any(text[:length] in self._ids for length in self._lengths.get(text[:1], ()))

    def partition(self, text: str) -> list[str | int]:
        """``text`` in parts, those that are tokens as their ids. No two texts stand side by side."""
        parts: list[str | int] = [text] if text else []
        for token in self._within(text):
            parts = [piece for part in parts for piece in self._cut(part, token)]
        return parts

    def _within(self, text: str) -> list[str]:
        if not self._ids:
            return []
        found: set[str] = set()
        for match in self._begins.finditer(text):
            start = match.start()
            found.update(text[start : start + length] for length in self._lengths[text[start]])
        return sorted(found & self._ids.keys(), key=self._order.__getitem__)

    def _cut(self, part: str | int, token: str) -> Iterator[str | int]:
        if isinstance(part, int):
            yield part
            return
        start = 0
        while (found := part.find(token, start)) >= 0:
            if found > start:
                yield part[start:found]
            yield self._ids[token]
            start = found + len(token)
            if token in self._swallowing and (blanks := _BLANKS.match(part, start)):
                start = blanks.end()
        if start < len(part):
            yield part[start:]


def _beginnings(texts: Iterable[str]) -> Iterator[str]:
    """Patterns for a first character where one of ``texts`` may begin, the second character looked at too."""
    seconds: defaultdict[str, set[str]] = defaultdict(set)
    for text in texts:
        seconds[text[0]].add(text[1:2])
    for first, following in seconds.items():
        behind = "" if "" in following else f"(?=[{''.join(map(re.escape, sorted(following)))}])"
        yield re.escape(first) + behind
