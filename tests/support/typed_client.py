"""A client made with pytest-lsp that knows the project's messages by their types."""

from __future__ import annotations

from functools import cache
from typing import Any

import attrs
from pytest_lsp import LanguageClient
from pytest_lsp.protocol import LanguageClientProtocol

from support.toy_server import TOY_RESULTS, TOYS
from ullage.lsp.results import NOTIFICATIONS, RESULTS
from ullage.lsp.types import REQUESTS

KNOWN_REQUESTS = {**REQUESTS, **TOYS}


class TypedProtocol(LanguageClientProtocol):
    def get_message_type(self, method: str) -> Any:
        known = KNOWN_REQUESTS.get(method) or NOTIFICATIONS.get(method)
        if known is None:
            return super().get_message_type(method)
        return _envelope(method in KNOWN_REQUESTS, "params", known.params)

    def get_result_type(self, method: str) -> Any:
        if method not in KNOWN_REQUESTS:
            return super().get_result_type(method)
        return _envelope(True, "result", RESULTS.get(method, TOY_RESULTS.get(method)))


class TypedClient(LanguageClient):
    """Start it with `start_io`; the project's requests go through ``protocol.send_request_async``."""

    def __init__(self) -> None:
        super().__init__(protocol_cls=TypedProtocol)


@cache
def _envelope(with_id: bool, content: str, kind: Any) -> type:
    """A message's class. No field has a default: lsprotocol's converter would leave out what equals it."""
    names = [*(["id"] if with_id else []), *(["method"] if content == "params" else []), "jsonrpc"]
    fields = {name: attrs.field(type=Any) for name in names}
    return attrs.make_class(f"{getattr(kind, '__name__', 'Null')}Message", {**fields, content: attrs.field(type=kind)})
