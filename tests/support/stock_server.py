"""pygls as it comes, the floor that the benchmarks measure against: with one echo, or ``empty``."""

from __future__ import annotations

import sys
from typing import Any

from pygls.lsp.server import LanguageServer

server = LanguageServer("stock", "1")

if "empty" not in sys.argv:

    @server.feature("toy/echo")
    async def echo(params: Any) -> Any:
        return {"value": {"text": params.value.text}}


if __name__ == "__main__":
    server.start_io()
