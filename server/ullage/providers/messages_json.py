"""Messages and tools in the form in which OpenAI's interface, and every server after it, takes them."""

from __future__ import annotations

import orjson

from ullage.conversation.messages import SentMessage, ToolCall, ToolDefinition


def message_json(message: SentMessage) -> dict[str, object]:
    sent: dict[str, object] = {"role": message.role, "content": message.content}
    if message.name is not None:
        sent["name"] = message.name
    if message.tool_calls:
        sent["tool_calls"] = [_call_json(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        sent["tool_call_id"] = message.tool_call_id
    if message.reasoning:
        sent["reasoning_content"] = message.reasoning
    return sent


def tool_json(tool: ToolDefinition) -> dict[str, object]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def arguments_object(arguments: str) -> dict[str, object]:
    """The arguments of a call as an object. What a model wrote as something else is kept under one key: servers refuse
    it as it is, and with it every later request of the conversation."""
    value = _object_or_none(arguments)
    return {"arguments": arguments} if value is None else value


def _object_or_none(arguments: str) -> dict[str, object] | None:
    try:
        value = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _call_json(call: ToolCall) -> dict[str, object]:
    arguments = call.arguments or "{}"
    if _object_or_none(arguments) is None:
        arguments = orjson.dumps(arguments_object(arguments)).decode()
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}
