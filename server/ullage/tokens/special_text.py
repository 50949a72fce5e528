"""Text that a model server would read as a control token, made harmless.

``<|im_end|>`` in what a person pasted, or in a tool's result, ends the message for real: the server can't tell it from
the template's own. A zero-width space inside the marker leaves the text as it looks and takes its power away.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from functools import lru_cache

from attrs import frozen

COMMON_MARKERS: frozenset[str] = frozenset(
    {
        "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|im_sep|>",
        "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>",
        "<|python_tag|>", "<|header_start|>", "<|header_end|>", "<|eot|>", "<|eom|>",
        "<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]",
        "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]",
        "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<|turn>", "<turn|>",
        "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>", "<|end|>",
        "<|start|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|return|>", "<|call|>",
        "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>",
        "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|SYSTEM_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>",
        "<|start_of_role|>", "<|end_of_role|>",
    }
)  # fmt: skip  # one marker a line would be a page
"""Markers of the common families of chat models, for a model whose vocabulary is not known."""

_BREAKERS = ("\u200b", "\u2060", "\u200c", *map(chr, range(0xE000, 0xF900)))
"""The zero-width space, and what stands in for it in the vocabulary that has it inside a marker: no vocabulary has all
of the private use area in its markers."""


@frozen
class _Disarmer:
    begins: re.Pattern[str]
    breaker: str


def disarm(text: str, markers: Collection[str]) -> str:
    """``text`` with a zero-width space behind the first character of every occurrence of a marker.

    No marker is left whole, overlapping ones included, and text without markers comes back unchanged; so it is its own
    fixed point. A marker of a single character has no inside and is left alone.
    """
    disarmer = _disarmer(frozenset(markers))
    return disarmer.begins.sub(rf"\g<0>{disarmer.breaker}", text) if disarmer is not None else text


@lru_cache(maxsize=64)
def _disarmer(markers: frozenset[str]) -> _Disarmer | None:
    breakable = sorted(marker for marker in markers if len(marker) > 1)
    if not breakable:
        return None
    # A marker that holds the breaker itself could come into being by the insertion.
    breaker = next(b for b in _BREAKERS if not any(b in marker for marker in breakable))
    begins = (f"{re.escape(first)}(?={_alternatives(rests)})" for first, rests in _by_first(breakable))
    return _Disarmer(re.compile("|".join(begins), re.DOTALL), breaker)


def _alternatives(rests: Collection[str]) -> str:
    """Any of ``rests``, the common second character tried once: vocabularies have markers by the thousand."""
    groups = (
        re.escape(second) + (f"(?:{'|'.join(map(re.escape, tails))})" if all(tails) else "")
        for second, tails in _by_first(rests)
    )
    return f"(?:{'|'.join(groups)})"


def _by_first(texts: Iterable[str]) -> Iterable[tuple[str, list[str]]]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for text in texts:
        groups[text[0]].append(text[1:])
    return groups.items()
