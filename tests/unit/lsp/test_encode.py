"""Values travel in camelCase; a default is left out, an unknown is null."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import field, frozen
from lsprotocol import types as lsp

from ullage.contexts.values import MessageView, Model
from ullage.conversation.messages import ToolCall
from ullage.lsp.encode import encode


@frozen
class Single:
    only_one: int


@frozen
class Defaulted:
    detail_text: str | None = None
    made_anew: dict[str, int] = field(factory=dict)


def travelled(value: Any) -> Any:
    return json.loads(encode(value))


def test_a_field_without_a_default_is_always_sent() -> None:
    model = Model("m", "ollama", loaded=False, context_length=None, allocated_context=0, bytes=None)
    assert travelled(model) == {
        "name": "m",
        "provider": "ollama",
        "loaded": False,
        "contextLength": None,
        "allocatedContext": 0,
        "bytes": None,
    }


def test_a_field_that_equals_its_default_is_left_out() -> None:
    view = MessageView("i", "user", "hello", 1, 2, "provider")
    assert travelled(view).keys() == {"id", "role", "content", "createdAt", "tokens", "source"}


def test_values_inside_of_values_travel_too() -> None:
    calls = (ToolCall("1", "f", "{}"),)
    view = MessageView("i", "assistant", "", 1, 2, "provider", tool_calls=calls, pinned=True)
    sent = travelled({"messages": (view,)})["messages"][0]
    assert sent["toolCalls"] == [{"id": "1", "name": "f", "arguments": "{}"}]
    assert sent["pinned"] is True


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Single(1), {"onlyOne": 1}),
        (Defaulted(), {}),
        (Defaulted("x", {"a_key": 1}), {"detailText": "x", "madeAnew": {"a_key": 1}}),
    ],
)
def test_small_classes_are_no_exception(value: Any, expected: Any) -> None:
    assert travelled(value) == expected


def test_standard_values_keep_what_the_specification_demands() -> None:
    begin = lsp.WorkDoneProgressBegin(title="Compressing", percentage=None)
    assert travelled(begin) == {"kind": "begin", "title": "Compressing"}
    assert travelled(lsp.ShowMessageParams(lsp.MessageType.Warning, "x")) == {"type": 2, "message": "x"}


@pytest.mark.parametrize("value", ["\ud800", 2**64, object(), {1: 2}])
def test_what_json_can_not_hold_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError):
        encode({"value": value})
