"""Whoever sits before the editor, as the server speaks with them: messages, and questions with answers to choose."""

from __future__ import annotations

import logging

from attrs import define
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

from ullage.errors import UllageError
from ullage.lsp.server import UllageServer

logger = logging.getLogger(__name__)

PATIENCE_S = 3600.0
"""A person may be away from the screen; nothing waits for the answer meanwhile."""


@define(eq=False)
class PersonAtEditor:
    server: UllageServer

    def tell(self, text: str) -> None:
        self.server.notify_client(lsp.WINDOW_SHOW_MESSAGE, lsp.ShowMessageParams(lsp.MessageType.Warning, text))

    async def ask(self, text: str, answers: tuple[str, ...]) -> str | None:
        """One of the answers; None where the person, or the client, gave none."""
        actions = [lsp.MessageActionItem(answer) for answer in answers]
        params = lsp.ShowMessageRequestParams(lsp.MessageType.Warning, text, actions)
        try:
            chosen = await self.server.ask_client(lsp.WINDOW_SHOW_MESSAGE_REQUEST, params, PATIENCE_S)
        except (TimeoutError, JsonRpcException, UllageError):
            logger.info("A question was not answered.")
            return None
        title = getattr(chosen, "title", None)
        return title if title in answers else None
