"""A sequence that grows at its end at no cost in its length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Generic, TypeVar, overload

T = TypeVar("T")


class Growing(Sequence[T], Generic[T]):
    """Immutable to whoever holds it: growing gives another value, and both see one list, each to its own length.

    A conversation only grows most of the time, and copying ten thousand references at every message would cost as much
    as making the message durable.
    """

    __slots__ = ("_items", "_length")

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._items = list(items)
        self._length = len(self._items)

    def grown(self, more: Iterable[T]) -> Growing[T]:
        """With ``more`` at the end. Where another value has grown from this one already, the list is copied."""
        grown: Growing[T] = Growing.__new__(Growing)
        grown._items = self._items if len(self._items) == self._length else self._items[: self._length]
        grown._items.extend(more)
        grown._length = len(grown._items)
        return grown

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        return islice(self._items, self._length)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        if isinstance(index, slice):
            return tuple([self._items[place] for place in range(*index.indices(self._length))])
        if not -self._length <= index < self._length:
            raise IndexError(index)
        return self._items[index if index >= 0 else self._length + index]
