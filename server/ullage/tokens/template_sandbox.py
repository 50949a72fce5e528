"""Jinja as llama.cpp runs it, for templates that come with a model file and so from anywhere.

Nothing is reachable from a template but the values that are handed in; what it may build is limited in size, and what
it may do in time. Where llama.cpp's own engine differs from Jinja2 (``common/jinja/value.cpp``: blanks are ASCII
blanks, ``tojson`` escapes nothing for HTML), this does as llama.cpp does. Loads Jinja2: import it where it is needed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateRuntimeError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

RENDER_S = 2.0
MAX_CHARACTERS, MAX_ITEMS, MAX_BITS = 64 << 20, 1 << 20, 4096
"""Of one value that a template puts together; the first also bounds what it writes."""

_TOO_LARGE = "it makes a value that is too large"

ASCII_BLANKS = " \t\n\r\v\f"

_FILTERS = frozenset(
    {
        "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "int", "items", "last", "length",
        "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "round", "select", "selectattr",
        "slice", "sort", "string", "sum", "title", "unique", "upper", "wordcount",
    }
)  # fmt: skip  # one name a line would be a page
"""Of Jinja2's own; what could make much out of little, or is written for HTML, is not among them."""


class TemplateSandbox(ImmutableSandboxedEnvironment):
    """One template's environment. Not for two threads at once: it holds the deadline of the render under way."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, cache_size=0, extensions=[LoopControlExtension, _GenerationBlocks]
        )
        self._deadline = float("inf")
        self.filters = {name: filter_ for name, filter_ in self.filters.items() if name in _FILTERS}
        self.filters |= {"tojson": _to_json, "trim": _strip, "replace": _replace, "join": self._join, "safe": str}
        self.globals = {name: self.globals[name] for name in ("dict", "namespace")}
        self.globals |= {"range": self._range, "raise_exception": _raise_exception}

    def begin(self) -> None:
        """Start the clock of a render."""
        self._deadline = time.monotonic() + RENDER_S

    def step(self) -> str:
        """Called at the start of every turn of a loop and of every macro, so that neither goes on for ever."""
        if time.monotonic() > self._deadline:
            raise SecurityError("it takes too long")
        return ""

    def concatenated(self, parts: Iterable[Any]) -> str:
        return _joined(map(str, parts))

    @staticmethod
    def concat(parts: Iterable[str]) -> str:
        """Jinja2's own way to put together what was written, by blocks and macros too."""
        return _joined(parts)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, str):
            method = _TEXT_METHODS.get(attribute)
            return partial(method, obj) if method is not None else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, str) and isinstance(argument, str):
            return self.getattr(obj, argument)
        return super().getitem(obj, argument)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator in ("**", "%") and not numbers:
            raise SecurityError("this operation is for numbers only")
        if operator == "**" and abs(right) * max(int(left).bit_length(), 1) > MAX_BITS:
            raise SecurityError(_TOO_LARGE)
        if operator == "*" and not numbers:
            many, times = (right, left) if isinstance(left, int) else (left, right)
            if isinstance(times, int) and len(many) * times > (MAX_CHARACTERS if isinstance(many, str) else MAX_ITEMS):
                raise SecurityError(_TOO_LARGE)
        return _bounded(super().call_binop(context, operator, left, right))

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        _Guard().visit(tree)
        return tree

    def _range(self, *bounds: int) -> range:
        steps = range(*bounds)
        if len(steps) > 100_000:
            raise SecurityError("it counts too far")
        return steps

    def _join(self, items: Iterable[Any], separator: str = "", attribute: str | None = None) -> str:
        values = (item if attribute is None else self.getitem(item, attribute) for item in items)
        return _joined(map(str, values), str(separator))


class _Guard(NodeTransformer):
    """Puts a step into every loop and macro, and a bound on every concatenation."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802  # the visitor's naming
        return self._stepped(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802  # the visitor's naming
        return self._stepped(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802  # the visitor's naming
        self.generic_visit(node)
        return _own_call("concatenated", nodes.List(node.nodes))

    def _stepped(self, node: nodes.For | nodes.Macro) -> nodes.Node:
        self.generic_visit(node)
        node.body.insert(0, nodes.Output([_own_call("step")]))
        return node


class _GenerationBlocks(Extension):
    """``{% generation %}`` marks an assistant's words for training; what is in it is rendered as it stands."""

    tags = {"generation"}  # noqa: RUF012  # declared so by Jinja2

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _own_call(method: str, *arguments: nodes.Expr) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(method), list(arguments), [], None, None)


def _joined(texts: Iterable[str], separator: str = "") -> str:
    parts, room = [], MAX_CHARACTERS
    for text in texts:
        room -= len(text) + len(separator)
        if room < 0:
            raise SecurityError(_TOO_LARGE)
        parts.append(text)
    return separator.join(parts)


def _bounded(value: Any) -> Any:
    if isinstance(value, int):
        allowed = value.bit_length() <= MAX_BITS
    elif isinstance(value, str):
        allowed = len(value) <= MAX_CHARACTERS
    else:
        allowed = not isinstance(value, Sequence | Mapping) or len(value) <= MAX_ITEMS
    if not allowed:
        raise SecurityError(_TOO_LARGE)
    return value


def _raise_exception(message: str = "") -> str:
    raise TemplateRuntimeError(str(message)[:200])


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: Sequence[str] | None = None,
    sort_keys: bool = False,
) -> str:
    between = (str(separators[0]), str(separators[1])) if separators and len(separators) > 1 else None
    width = None if indent is None else max(0, min(int(indent), 16))
    try:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=width, separators=between, sort_keys=sort_keys)
    except (TypeError, ValueError, RecursionError) as error:
        raise TemplateRuntimeError("a value can't be written as JSON") from error


def _strip(text: Any, chars: str | None = None) -> str:
    return str(text).strip(ASCII_BLANKS if chars is None else chars)


def _lstrip(text: str, chars: str | None = None) -> str:
    return text.lstrip(ASCII_BLANKS if chars is None else chars)


def _rstrip(text: str, chars: str | None = None) -> str:
    return text.rstrip(ASCII_BLANKS if chars is None else chars)


def _replace(text: Any, old: str, new: str, count: int | None = None) -> str:
    whole: str = str(text)
    if whole.count(old) * len(new) > MAX_CHARACTERS:
        raise SecurityError(_TOO_LARGE)
    return whole.replace(old, new, -1 if count is None else count)


def _split(text: str, separator: str | None = None, maxsplit: int = -1) -> list[str]:
    return text.split(separator, maxsplit)


_TEXT_METHODS: dict[str, Callable[..., Any]] = {
    "strip": _strip,
    "lstrip": _lstrip,
    "rstrip": _rstrip,
    "replace": _replace,
    "split": _split,
    **{
        name: getattr(str, name)
        for name in (
            "capitalize", "count", "endswith", "find", "isdigit", "lower", "rfind", "rsplit", "splitlines",
            "startswith", "title", "upper", "removeprefix", "removesuffix",
        )
    },
}  # fmt: skip  # one name a line would be a page
