"""The JSON-RPC envelope: what kind of message a frame's body is, and whether it is one at all."""

from __future__ import annotations

import json
from typing import Any

import orjson
from attrs import frozen
from lsprotocol.types import ErrorCodes

MessageId = int | str


@frozen
class Request:
    """A message that is answered. ``params`` are ``{}`` where the client sent none, or null."""

    id: MessageId
    method: str
    params: Any


@frozen
class Notification:
    method: str
    params: Any


@frozen
class Response:
    """The client's answer to a request of ours; ``error`` None: it succeeded."""

    id: MessageId
    result: Any
    error: dict[str, Any] | None


@frozen
class Invalid:
    """No message; ``id`` is the one to answer with, None where none could be read."""

    id: MessageId | None
    code: int
    reason: str


Message = Request | Notification | Response | Invalid

_UNREADABLE = (
    "The frame's body is not valid JSON in UTF-8. Bytes of another encoding, half of a surrogate pair and NaN are not"
    " taken: replace them and send it again."
)


def parse(body: bytes) -> Message:
    """Read one body. NaN, lone surrogates, bad UTF-8 and nesting over 1,024 levels are no JSON."""
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Invalid(_request_id(body), ErrorCodes.ParseError, _UNREADABLE)
    if type(message) is not dict:
        kind = "a batch; send its requests one by one" if type(message) is list else "no object"
        return Invalid(None, ErrorCodes.InvalidRequest, f"The message is {kind}.")
    id_ = message.get("id")
    readable = id_ if type(id_) in (int, str) else None
    reason = _invalidity(message, readable)
    if reason:
        return Invalid(readable, ErrorCodes.InvalidRequest, reason)
    if "method" not in message:
        assert readable is not None
        return Response(readable, message.get("result"), message.get("error"))
    params = message.get("params")
    if params is None:
        params = {}
    return Notification(message["method"], params) if readable is None else Request(readable, message["method"], params)


def _request_id(body: bytes) -> MessageId | None:
    """The id of a request that is JSON but for some of its texts and numbers: whoever sent it waits for an answer."""
    try:
        message = json.loads(body.decode(errors="replace"))
        id_ = message["id"] if "method" in message else None
        orjson.dumps(id_)  # it has to be one that can be answered with
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return id_ if type(id_) in (int, str) else None


def _invalidity(message: dict[str, Any], readable: MessageId | None) -> str | None:
    """Why a JSON object is no message; None where it is one."""
    if message.get("jsonrpc") != "2.0":
        return 'The message must say "jsonrpc": "2.0".'
    if "id" in message and readable is None:
        return "The id must be a whole number of at most 64 bits, or a string."
    if "method" in message:
        return None if type(message["method"]) is str else "The method must be a string."
    if "id" not in message or not ("result" in message or type(message.get("error")) is dict):
        return "The message has no method."
    return None
