"""What a chat template puts around messages, where the template is not known: figures of the common families."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from ullage.conversation.messages import SentMessage, ToolDefinition

MESSAGE = 5
"""Around each message: ChatML has begin, role, newline, end, newline; Llama 3 and Gemma take as many."""

FRAME = 3
"""The generation prompt: begin, role, newline."""

TOOL_CALL = 12
"""Around each call, beside its name and arguments: ``<tool_call>{"name": "…", "arguments": …}</tool_call>``."""

TOOLS = 100
"""The instructions for calling tools that a template adds once; those of Hermes and Qwen are about that long."""


def message_texts(message: SentMessage) -> list[str]:
    """Everything in a message that the model reads."""
    calls = (part for call in message.tool_calls for part in (call.name, call.arguments))
    return [text for text in (message.content, message.reasoning, message.name, *calls) if text]


def message_overhead(message: SentMessage) -> int:
    return MESSAGE + TOOL_CALL * len(message.tool_calls)


def tool_texts(tools: Iterable[ToolDefinition]) -> list[str]:
    """Each definition as the JSON that templates write."""
    return [
        json.dumps(
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
            },
            ensure_ascii=False,
            default=str,
        )
        for tool in tools
    ]


def tools_overhead(tools: Sequence[ToolDefinition]) -> int:
    return TOOLS if tools else 0
