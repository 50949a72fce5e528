"""What a model server's refusal means, in our own words.

A server's text may repeat what a person said, or a part of the key; so it is read for what it means and never quoted.
"""

from __future__ import annotations

import re

from ullage.errors import (
    ContextBusy,
    InsufficientMemory,
    ModelUnavailable,
    NotSupported,
    ProviderError,
    ProviderUnavailable,
    UllageError,
    WindowExceeded,
)

LONGEST_TEXT_READ = 4096

_OVERFLOWS: tuple[re.Pattern[str], ...] = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        # llama.cpp, and Ollama where it passes that text on
        r"request \((?P<needed>\d+) tokens\) exceeds the available context size \((?P<limit>\d+) tokens\)",
        r"input length (?:and .{0,20})?exceeds the (?:maximum )?context length",  # Ollama
        r"prompt is longer than the context length",  # Ollama from 0.32 on
        # OpenAI and vLLM, in several wordings
        r"maximum context length is (?P<limit>\d+) tokens.{0,200}?total of at least (?P<needed>\d+)",
        r"maximum context length is (?P<limit>\d+) tokens.{0,200}?requested (?P<needed>\d+) tokens",
        r"maximum context length is (?P<limit>\d+) tokens.{0,200}?(?:resulted in|request has)\D{0,9}(?P<needed>\d+)",
        r"maximum context length is (?P<limit>\d+) tokens",
        r"prompt \(length (?P<needed>\d+)\) is longer than the maximum model length of (?P<limit>\d+)",
        # LM Studio
        r"keep the first (?P<needed>\d+) tokens.{0,200}?context length of only (?P<limit>\d+) tokens",
        r"reached context length of (?P<limit>\d+) tokens",
        r"tokens to keep from the initial prompt is greater than the context length",
        r"exceed_context_size_error|context_length_exceeded|exceeds the context (?:window|length|size)",
    )
)
_NO_MODEL = re.compile(
    r"model\b.{0,300}?\b(?:not found|does not exist|is not loaded|not exist)|no models? (?:is )?loaded|model_not_found",
    re.IGNORECASE | re.DOTALL,
)
_MEANINGS: tuple[tuple[re.Pattern[str], type[UllageError], str], ...] = (
    (
        re.compile(
            r"more system memory|out of memory|failed to allocate|unable to allocate|cudaMalloc"
            r"|insufficient (?:system resources|memory)",  # LM Studio
            re.IGNORECASE,
        ),
        InsufficientMemory,
        "{server} has too little memory for this model. Choose a smaller context size or model.",
    ),
    (
        re.compile(r"does not support tools|tool choice requires|tools? .{0,20}not supported", re.IGNORECASE),
        NotSupported,
        "This model of {server} can't call tools. Choose another model, or ask without tools.",
    ),
    (
        re.compile(r"jinja|chat template|roles must alternate", re.IGNORECASE),
        ProviderError,
        "The model's chat template refused the conversation ({server}). Choose another model.",
    ),
)
_STATUSES: dict[int, tuple[type[UllageError], str]] = {
    401: (ProviderError, "{server} refused the API key. Name the variable that holds the key in the settings."),
    403: (ProviderError, "{server} refused the API key. Name the variable that holds the key in the settings."),
    429: (ProviderUnavailable, "{server} has too many requests at the moment. Try again in a little while."),
    503: (ProviderUnavailable, "{server} is still loading its model, or busy. Try again in a little while."),
}


def busy_answering(server: str) -> ContextBusy:
    return ContextBusy(
        f"{server} is answering with this model. Wait for the answer or cancel it, then try again.", reason="answering"
    )


def too_little(
    failure: UllageError, server: str, model: str, tokens: int, former: int, *, is_back: bool
) -> UllageError:
    """Why a model could not be given ``tokens``; ``is_back``: it is loaded with the ``former`` ones. What is no lack of
    memory is told as it is."""
    if not isinstance(failure, InsufficientMemory):
        return failure
    left = f"; it keeps {former:,} tokens" if is_back else f", nor again with {former:,} tokens: it is no longer loaded"
    return InsufficientMemory(
        f"{server} has too little memory to load {model} with {tokens:,} tokens{left}. Choose a smaller size."
    )


def refusal(server: str, status: int, payload: object, model: str | None = None) -> UllageError:
    """The error that a reply stands for: its HTTP status and its decoded body, of whatever shape."""
    text = _text_of(payload)[:LONGEST_TEXT_READ]
    overflow = window_exceeded(server, payload, text)
    if overflow is not None:
        return overflow
    if model is not None and (status == 404 or _NO_MODEL.search(text)):
        return ModelUnavailable(f"{server} has no model named {model}. Choose another one, or install it there first.")
    for pattern, kind, sentence in _MEANINGS:
        if pattern.search(text):
            return kind(sentence.format(server=server))
    unexplained = (ProviderError, f"{{server}} failed with status {status}. Its own log says why; then try again.")
    kind, sentence = _STATUSES.get(status, unexplained)
    return kind(sentence.format(server=server))


def window_exceeded(server: str, payload: object, text: str) -> WindowExceeded | None:
    """The overflow that a refusal tells of, with the figures where it has them."""
    match = next((found for pattern in _OVERFLOWS if (found := pattern.search(text))), None)
    if match is None:
        return None
    figures = match.groupdict()
    details = payload.get("error") if isinstance(payload, dict) else None
    details = details if isinstance(details, dict) else {}
    needed = _figure(details.get("n_prompt_tokens")) or _figure(figures.get("needed"))
    limit = _figure(details.get("n_ctx")) or _figure(figures.get("limit"))
    return WindowExceeded(
        f"{server} refused the prompt as longer than the model's window. Compress the context, or resize it.",
        needed,
        limit,
    )


def _text_of(payload: object) -> str:
    """Everything of a refusal that says what went wrong: message, type and code, nested or not."""
    if isinstance(payload, str):
        return payload
    if not isinstance(payload, dict):
        return ""
    parts = [payload.get(key) for key in ("message", "type", "code", "detail")]
    nested = payload.get("error")
    parts.append(_text_of(nested) if isinstance(nested, (str, dict)) and nested is not payload else None)
    return "\n".join(part for part in parts if isinstance(part, str))


def _figure(value: object) -> int | None:
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) < 16 else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
