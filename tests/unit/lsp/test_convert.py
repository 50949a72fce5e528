"""Params are taken exactly as their types say, and what is not is named by its path."""

from __future__ import annotations

from typing import Any

import pytest
from lsprotocol import types as lsp

from ullage.errors import InvalidArgument, NotSupported
from ullage.lsp.convert import make_converter, structure
from ullage.lsp.types import AppendParams, ChatOptions, ChatParams, MessagesParams, NoParams, OpenParams

CONVERTER = make_converter()


A_TOKEN = "must be a whole number or text"
A_ROLE = "must be one of system, developer, user, assistant, tool"


def refusal(value: Any, kind: type) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        structure(CONVERTER, value, kind)
    return caught.value


def message(**fields: Any) -> dict[str, Any]:
    return {"contextId": "c", "messages": [{"role": "user", "content": "hello", **fields}]}


def test_left_out_fields_take_their_defaults() -> None:
    assert structure(CONVERTER, {"workspaceUri": "file:///a"}, OpenParams) == OpenParams("file:///a")


def test_unknown_fields_are_ignored() -> None:
    assert structure(CONVERTER, {"contextId": "c", "colour": 1}, ChatParams) == ChatParams("c")


def test_a_whole_number_will_do_for_a_float() -> None:
    options = structure(CONVERTER, {"topP": 1}, ChatOptions)
    assert type(options.top_p) is float


@pytest.mark.parametrize("token", [7, "seven", ""])
def test_a_token_is_a_whole_number_or_text(token: int | str) -> None:
    params = structure(CONVERTER, {"contextId": "c", "partialResultToken": token}, ChatParams)
    assert params.partial_result_token == token


@pytest.mark.parametrize(
    ("value", "kind", "path", "reason"),
    [
        ({}, OpenParams, "workspaceUri", "is missing"),
        ({"workspaceUri": None}, OpenParams, "workspaceUri", "must be text"),
        ({"workspaceUri": ["x"]}, OpenParams, "workspaceUri", "must be text"),
        ({"workspaceUri": "x", "name": None}, OpenParams, "name", "must be text"),
        ({"workspaceUri": "x", "mode": None}, OpenParams, "mode", "must be text"),
        ({"workspaceUri": "x", "activate": 1}, OpenParams, "activate", "must be true or false"),
        ({"contextId": "c", "limit": True}, MessagesParams, "limit", "must be a whole number"),
        ({"contextId": "c", "limit": 5.0}, MessagesParams, "limit", "must be a whole number"),
        ({"contextId": "c", "limit": 0}, MessagesParams, "limit", "must be from 1 to 1000"),
        ({"contextId": "c", "limit": 1001}, MessagesParams, "limit", "must be from 1 to 1000"),
        ({"contextId": "c", "limit": 2**53}, MessagesParams, "limit", "must be at most 2^53 - 1 in size"),
        ({"contextId": "c", "view": "all"}, MessagesParams, "view", "must be one of window, history"),
        ({"contextId": "c", "view": ["window"]}, MessagesParams, "view", "must be one of window, history"),
        ({"contextId": "c", "partialResultToken": 1.5}, ChatParams, "partialResultToken", A_TOKEN),
        ({"contextId": "c", "partialResultToken": True}, ChatParams, "partialResultToken", A_TOKEN),
        ({"contextId": "c", "options": None}, ChatParams, "options", "must be an object"),
        ({"temperature": float("nan")}, ChatOptions, "temperature", "must be a number"),
        ({"temperature": "1"}, ChatOptions, "temperature", "must be a number"),
        ({"stop": "x"}, ChatOptions, "stop", "must be a list"),
        ({"stop": ["x", 1]}, ChatOptions, "stop[1]", "must be text"),
        ({"tools": [{"name": "", "parameters": {}}]}, ChatOptions, "tools[0].description", "is missing"),
        ({"contextId": "c", "messages": {}}, AppendParams, "messages", "must be a list"),
        ({"contextId": "c", "messages": ["x"]}, AppendParams, "messages[0]", "must be an object"),
        (message(role="robot"), AppendParams, "messages[0].role", A_ROLE),
        (message(toolCalls=[{"id": "1"}]), AppendParams, "messages[0].toolCalls[0].name", "is missing"),
        (message(content=[{"type": "text", "text": "x"}]), AppendParams, "messages[0].content", "must be text"),
        (message(content=None), AppendParams, "messages[0].content", "must be text"),
        ([], NoParams, "params", "must be an object"),
        ("x", OpenParams, "params", "must be an object"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_its_path(value: Any, kind: type, path: str, reason: str) -> None:
    error = refusal(value, kind)
    assert (error.path, error.message) == (path, f"{path} {reason}.")


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:"}},
        {"type": "image", "source": {}},
        {"type": "input_image"},
        {"image_url": "x"},
    ],
)
def test_an_image_in_a_message_is_not_supported(part: dict[str, Any]) -> None:
    with pytest.raises(NotSupported):
        structure(CONVERTER, message(content=[{"type": "text", "text": "look"}, part]), AppendParams)


def test_an_object_of_any_form_nests_a_hundred_levels_and_no_more() -> None:
    def tool(levels: int) -> dict[str, Any]:
        parameters: dict[str, Any] = {}
        for _ in range(levels - 1):
            parameters = {"inner": [parameters]} if levels < 50 else {"inner": parameters}
        return {"tools": [{"name": "n", "description": "", "parameters": parameters}]}

    structure(CONVERTER, tool(100), ChatOptions)
    assert refusal(tool(101), ChatOptions).path == "tools[0].parameters"


def test_a_long_list_of_bad_elements_is_one_error() -> None:
    assert refusal({"contextId": "c", "messages": [0] * 1_000_000}, AppendParams).path == "messages[0]"


def test_standard_params_are_strict_too_but_take_null_where_the_specification_does() -> None:
    good = {"processId": None, "rootUri": None, "capabilities": {}, "trace": "off", "workspaceFolders": None}
    params = structure(CONVERTER, good, lsp.InitializeParams)
    assert params.trace is lsp.TraceValue.Off
    assert refusal({**good, "processId": "1"}, lsp.InitializeParams).path == "processId"
    assert refusal({**good, "processId": True}, lsp.InitializeParams).path == "processId"
    assert refusal({**good, "capabilities": []}, lsp.InitializeParams).path == "capabilities"
    folders = [{"uri": 5, "name": "x"}]
    assert refusal({**good, "workspaceFolders": folders}, lsp.InitializeParams).path == "workspaceFolders[0].uri"


def test_capabilities_of_a_newer_client_are_taken_as_they_are() -> None:
    capabilities = {"workspace": {"symbol": {"symbolKind": {"valueSet": [1, 99]}}}}
    params = structure(CONVERTER, {"processId": None, "capabilities": capabilities}, lsp.InitializeParams)
    assert params.capabilities.workspace.symbol.symbol_kind.value_set == [lsp.SymbolKind.File, 99]


def test_a_refusal_quotes_nothing_of_what_was_sent() -> None:
    error = refusal(message(role="a secret", content="another"), AppendParams)
    assert "secret" not in error.message
