"""What vLLM has beside OpenAI's interface: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from ullage.conversation.messages import SentMessage, ToolDefinition
from ullage.providers.base import Footprint
from ullage.providers.http import Connection
from ullage.providers.messages_json import message_json, tool_json

COUNTS_AT_ONCE = 4
CACHE_GAUGES = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
"""The second is the name in older versions."""

_MARKER_BEGINS = re.compile(r"[<\[](?=[^\s<>\[\]]{1,64}[>\]])")
_SAMPLE = re.compile(
    r"(?P<name>[\w:]{1,128})(?:\{(?P<labels>[^}]{0,4096})\})? (?P<value>\d+(?:\.\d*)?(?:[eE][+-]?\d{1,3})?)(?: .*)?"
)


async def count_texts(
    connection: Connection, model: str, texts: Sequence[str], *, parse_special: bool
) -> list[int] | None:
    """Special-token text is always read as tokens there. Where that isn't asked for, a text is cut behind the first
    character of everything that looks like one, and counted in parts: at most a token or so more each. None where the
    server has no tokenizer."""
    turn = asyncio.Semaphore(COUNTS_AT_ONCE)

    async def count(text: str) -> int | None:
        if not text:
            return 0
        async with turn:
            body = {"model": model, "prompt": text, "add_special_tokens": False}
            reply = await connection.post_if_there("/tokenize", body, model)
            return reply["count"].count() if reply else None

    parts = [[text] if parse_special else _parts(text) for text in texts]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [[group.create_task(count(part)) for part in of_text] for of_text in parts]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    counts = [[task.result() for task in of_text] for of_text in tasks]
    totals = [sum(part for part in of_text if part is not None) for of_text in counts]
    return None if any(part is None for of_text in counts for part in of_text) else totals


async def count_prompt(
    connection: Connection, model: str, messages: Sequence[SentMessage], tools: Sequence[ToolDefinition]
) -> int | None:
    body: dict[str, object] = {"model": model, "messages": [message_json(message) for message in messages]}
    if tools:
        body["tools"] = [tool_json(tool) for tool in tools]
    reply = await connection.post_if_there("/tokenize", body, model)
    return reply["count"].count() if reply else None


async def footprint(connection: Connection, model: str) -> Footprint | None:
    """How full the cache is, of several engines the fullest; vLLM tells no sizes in bytes."""
    metrics = await connection.get_text_if_there("/metrics")
    used = cache_used(metrics, model) if metrics else None
    return None if used is None else Footprint(cache_used=used)


def cache_used(metrics: str, model: str) -> float | None:
    """The gauge for this model out of Prometheus' text format; samples without the model's name count for every one."""
    for gauge in CACHE_GAUGES:
        values = [
            float(sample["value"])
            for line in metrics.splitlines()
            if line.startswith(gauge) and (sample := _SAMPLE.fullmatch(line)) and sample["name"] == gauge
            if "model_name=" not in (sample["labels"] or "") or f'model_name="{model}"' in sample["labels"]
        ]
        if values:
            return min(max(values), 1.0)
    return None


def _parts(text: str) -> list[str]:
    cuts = [match.end() for match in _MARKER_BEGINS.finditer(text)]
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
