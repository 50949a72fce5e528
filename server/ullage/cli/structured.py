"""Replies of the protocol as the values that the server made them of, so that both sides show the same rows."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from cattrs import Converter

Value = TypeVar("Value")


def structured(reply: Any, kind: type[Value]) -> Value:
    """``reply`` as a value of ``ullage.contexts.values``. Raises InvalidArgument where it is none."""
    from ullage.lsp.convert import structure  # noqa: PLC0415  # a quarter of a second that few commands need

    value: Value = structure(_converter(), reply, kind)
    return value


@cache
def _converter() -> Converter:
    from ullage.lsp.convert import make_converter  # noqa: PLC0415  # see above

    return make_converter()
