"""What a client hears of a failure, and what the log does. The one place that gives exceptions their error codes.

Neither holds what was said: a client gets the sentences of `ullage.errors`, and of anything else only that it happened;
the log gets the type of an exception and where it was raised, since its text may quote a message or a path.
"""

from __future__ import annotations

import logging
from typing import Any

from attrs import frozen
from lsprotocol.types import ErrorCodes, LSPErrorCodes
from pygls.exceptions import JsonRpcInvalidParams

from ullage.errors import InvalidArgument, UllageError
from ullage.whereabouts import whereabouts

logger = logging.getLogger(__name__)


@frozen
class Failure:
    """An error object of JSON-RPC."""

    code: int
    message: str
    data: dict[str, Any] | None = None


CANCELLED = Failure(LSPErrorCodes.RequestCancelled, "The request was cancelled.")
INTERNAL = Failure(ErrorCodes.InternalError, "Internal error")


def failure_of(error: Exception) -> Failure:
    """The error object for an exception; `INTERNAL` for every one that is not meant for a person."""
    if isinstance(error, InvalidArgument):
        return Failure(ErrorCodes.InvalidParams, error.message, dict(error.data))
    if isinstance(error, UllageError):
        return Failure(LSPErrorCodes.RequestFailed, error.message, {"kind": error.kind, **error.data})
    if isinstance(error, JsonRpcInvalidParams):
        return Failure(ErrorCodes.InvalidParams, "The arguments do not fit the command.", {"path": "arguments"})
    return INTERNAL


def record(what: str, error: BaseException) -> None:
    """Log that something failed which should not have, and where."""
    logger.error("%s: %s", what, whereabouts(error))
