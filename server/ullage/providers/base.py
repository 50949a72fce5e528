"""What every model server is asked for, and the values in which it answers.

Unknown is ``None``, never 0: an old server answers fewer fields than a new one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Literal, Protocol

from attrs import frozen

from ullage.conversation.messages import SentMessage, ToolCall, ToolDefinition

StopReason = Literal["stop", "length", "toolCalls"]
ToolChoice = Literal["auto", "none", "required"]


@frozen
class ModelInfo:
    """A model that a server offers. ``context_length`` is what the model was made for, ``allocated_context`` what the
    server has really given it (None: not loaded, or not told); both in tokens. ``size_bytes`` is the weights' size."""

    name: str
    loaded: bool
    context_length: int | None = None
    allocated_context: int | None = None
    size_bytes: int | None = None


@frozen
class ChatRequest:
    """One request for an answer.

    ``context_size`` is the allocated size, in tokens, that this server and model share; providers that carry the size
    in each request (Ollama's ``num_ctx``) send it, the others ignore it. ``max_tokens`` None leaves it to the server.
    """

    model: str
    messages: tuple[SentMessage, ...]
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    tools: tuple[ToolDefinition, ...] = ()
    tool_choice: ToolChoice | None = None
    context_size: int | None = None


@frozen
class Delta:
    """A piece of the answer: text, or reasoning, or one whole tool call (never half of one)."""

    text: str = ""
    reasoning: str = ""
    tool_call: ToolCall | None = None


@frozen
class Finished:
    """The end of a stream, with the server's own figures.

    ``prompt_tokens`` is the whole prompt, also what came out of the server's cache; ``reused_tokens`` is that cached
    part. ``prompt_is_whole`` is False where the server may leave cached tokens out of its count, so that the figure may
    neither calibrate anything nor be taken for a silent cut.
    """

    stop_reason: StopReason
    prompt_tokens: int | None = None
    reused_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_is_whole: bool = True


class Provider(Protocol):
    """One model server. Made cheaply, without a request; every method may raise ``ProviderUnavailable`` (nobody there)
    or ``ProviderError`` (nonsense, failure); ``chat`` also ``WindowExceeded`` and ``ModelUnavailable``."""

    @property
    def name(self) -> str:
        """The word in settings: embedded, llamacpp, ollama, openai."""

    @property
    def address(self) -> str:
        """Where it is, for a person: a URL without credentials, or the model file's name."""

    @property
    def sizes_by_request(self) -> bool:
        """Whether the server allocates what each request asks for, so that every request has to carry the size."""

    @property
    def renders_with_own_template(self) -> bool:
        """Whether prompts are rendered with the template in the model's file and no other."""

    def planned_window(self, model: str) -> int | None:
        """The tokens that the server is going to allocate as soon as it is needed, where that is ours to say."""

    async def probe(self) -> bool:
        """Whether a server of this very kind answers (the exact shape is checked): GETs, 2 s, no exception."""

    async def models(self) -> Sequence[ModelInfo]: ...

    async def window(self, model: str) -> int | None:
        """The tokens that the server has allocated for one conversation with this model, asked now. A server that
        allocates at the first request (Ollama) answers with what it would be given, or None."""

    def chat(self, request: ChatRequest) -> AsyncGenerator[Delta | Finished]:
        """Stream an answer; the last item is ``Finished``. Closing the iterator cancels the work on the server."""

    async def count_texts(self, model: str, texts: Sequence[str], *, parse_special: bool = False) -> list[int] | None:
        """Tokens of each text; None where the server has no tokenizer. ``parse_special`` reads special-token text as
        the tokens that it names, as a rendered template needs it; what a person wrote is counted without."""

    async def count_prompt(
        self, model: str, messages: Sequence[SentMessage], tools: Sequence[ToolDefinition]
    ) -> int | None:
        """Tokens of the whole prompt as the server's template renders it; None where the server can't tell."""

    async def chat_template(self, model: str) -> str | None:
        """The Jinja source of the model's template where the server tells it."""

    async def model_file(self, model: str) -> Path | None:
        """The model's GGUF file where it can be read on this machine."""

    async def close(self) -> None:
        """End connections, and the engine if this provider started it."""
