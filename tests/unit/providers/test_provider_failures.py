from __future__ import annotations

import pytest

from ullage.errors import InsufficientMemory, ModelUnavailable, ProviderError, ProviderUnavailable, WindowExceeded
from ullage.providers.failures import refusal


def _openai(message: str) -> dict[str, object]:
    return {"error": {"message": message, "type": "invalid_request_error"}}


@pytest.mark.parametrize(
    ("payload", "needed", "limit"),
    [
        ({"error": {"type": "exceed_context_size_error", "n_prompt_tokens": 931, "n_ctx": 512}}, 931, 512),
        (
            {"error": "request (351 tokens) exceeds the available context size (256 tokens), try increasing it"},
            351,
            256,
        ),
        ({"error": "input length exceeds the context length"}, None, None),
        ({"error": "the prompt is longer than the context length currently available to the model; …"}, None, None),
        (
            _openai("This model's maximum context length is 8192 tokens. However, you requested 8203 tokens (7691 …"),
            8203,
            8192,
        ),
        (
            _openai(
                "This model's maximum context length is 131072 tokens. However, you requested 128000 output tokens "
                "and your prompt contains at least 3073 input tokens, for a total of at least 131073 tokens."
            ),
            131073,
            131072,
        ),
        (
            _openai("This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 …"),
            5000,
            4096,
        ),
        (
            _openai("This model's maximum context length is 4096 tokens. However, your request has 5000 …"),
            5000,
            4096,
        ),
        ({"message": "The decoder prompt (length 5000) is longer than the maximum model length of 4096."}, 5000, 4096),
        (
            {
                "error": "Trying to keep the first 10136 tokens when context the overflows. However, the model is "
                "loaded with context length of only 7866 tokens, which is not enough."
            },
            10136,
            7866,
        ),
        ({"error": {"message": "Too long", "code": "context_length_exceeded"}}, None, None),
    ],
)
def test_every_servers_words_for_an_overflow_are_understood(
    payload: object, needed: int | None, limit: int | None
) -> None:
    error = refusal("A server", 400, payload)
    assert isinstance(error, WindowExceeded)
    assert (error.needed, error.limit) == (needed, limit)


@pytest.mark.parametrize(
    ("status", "payload", "kind"),
    [
        (404, {"error": "model 'x' not found"}, ModelUnavailable),
        (400, {"error": {"message": "The model `x` does not exist.", "code": "model_not_found"}}, ModelUnavailable),
        (500, {"error": "model requires more system memory (5.6 GiB) than is available (3.1 GiB)"}, InsufficientMemory),
        (500, {"error": "Model loading was stopped due to insufficient system resources."}, InsufficientMemory),
        (503, {"error": {"message": "Loading model"}}, ProviderUnavailable),
        (429, None, ProviderUnavailable),
        (401, None, ProviderError),
        (418, ["teapot"], ProviderError),
    ],
)
def test_other_refusals_get_the_error_that_they_mean(status: int, payload: object, kind: type[Exception]) -> None:
    assert type(refusal("A server", status, payload, "x")) is kind


def test_a_refusal_of_any_length_is_read_in_no_time() -> None:
    text = "model " * 1_000_000 + "maximum context length is 1 tokens" * 100_000
    assert type(refusal("A server", 500, {"error": text}, "x")) is ProviderError
