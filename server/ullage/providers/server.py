"""What all model servers behind a URL have in common."""

from __future__ import annotations

import asyncio

from ullage.errors import UllageError
from ullage.providers.http import PROBE_TIMEOUT_S, Connection
from ullage.providers.untold import Untold


class ModelServer(Untold):
    """A server that keeps the size that it was started with, and renders prompts with whatever template it was told;
    those that do otherwise replace that. Each says what it is called in settings, and whether it ``_answers_as_such``.
    """

    name: str
    sizes_by_request = False
    renders_with_own_template = False

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def address(self) -> str:
        return self._connection.address.url

    @property
    def is_local(self) -> bool:
        return self._connection.address.is_loopback

    def planned_window(self, model: str) -> int | None:  # noqa: ARG002  # not ours to say
        return None

    async def probe(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                return await self._answers_as_such()
        except (UllageError, TimeoutError):
            return False

    async def close(self) -> None:
        await self._connection.close()

    async def _answers_as_such(self) -> bool:
        """Whether what answers has the exact shape of this kind of server's answers; only GETs."""
        raise NotImplementedError
