"""Reading a server's JSON without trusting its shape: what is absent is None, what has a wrong type is an error."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from ullage.errors import ProviderError


@frozen
class Json:
    """A value out of a server's reply. ``server`` and ``where`` name it in errors; the value itself never does."""

    value: object
    server: str
    where: str = "the reply"

    def __getitem__(self, key: str) -> Json:
        """The member of an object; absent ones, also of what is absent itself, are null."""
        if self.value is None:
            return self._part(None, key)
        if not isinstance(self.value, dict):
            raise self._malformed()
        return self._part(self.value.get(key), key)

    def __iter__(self) -> Iterator[Json]:
        """The items of a list; null is an empty one."""
        if self.value is None:
            return iter(())
        if not isinstance(self.value, list):
            raise self._malformed()
        return iter([self._part(item, "item") for item in self.value])

    def __bool__(self) -> bool:
        return self.value is not None

    def text(self) -> str:
        """The text; null is the empty one."""
        if self.value is None:
            return ""
        if not isinstance(self.value, str):
            raise self._malformed()
        return self.value

    def name(self) -> str:
        """A text that must be there and not be empty."""
        if not isinstance(self.value, str) or not self.value:
            raise self._malformed()
        return self.value

    def count(self) -> int | None:
        """A whole number from 0 on; some servers write it with a decimal point."""
        if self.value is None:
            return None
        whole = isinstance(self.value, int) or (isinstance(self.value, float) and self.value.is_integer())
        if isinstance(self.value, bool) or not whole or not isinstance(self.value, (int, float)) or self.value < 0:
            raise self._malformed()
        return int(self.value)

    def size(self) -> int | None:
        """A count of which 0 stands for "not known"."""
        return self.count() or None

    def is_list(self) -> bool:
        return isinstance(self.value, list)

    def is_object(self) -> bool:
        return isinstance(self.value, dict)

    def _part(self, value: object, key: str) -> Json:
        return Json(value, self.server, f"“{key}”")

    def _malformed(self) -> ProviderError:
        return ProviderError(
            f"{self.server} answered in a form that is not known here ({self.where}). "
            "Check that the address is that of the model server you mean, and that its version is a current one."
        )
