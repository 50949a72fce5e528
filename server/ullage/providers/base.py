"""What every model server is asked for, and the values in which it answers.

Unknown is ``None``, never 0: an old server answers fewer fields than a new one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from attrs import frozen

from ullage.conversation.messages import SentMessage, ToolCall, ToolDefinition
from ullage.settings import CacheType

StopReason = Literal["stop", "length", "toolCalls"]
ToolChoice = Literal["auto", "none", "required"]


@frozen
class ModelInfo:
    """A model that a server offers. ``context_length`` is what the model was made for, ``allocated_context`` what the
    server has really given it (None: not loaded, or not told); both in tokens. ``size_bytes`` is the weights' size,
    ``parameter_count`` a rounded figure, ``quantisation`` the name of the weights' type ("Q4_K_M")."""

    name: str
    loaded: bool
    context_length: int | None = None
    allocated_context: int | None = None
    size_bytes: int | None = None
    parameter_count: int | None = None
    quantisation: str | None = None


@frozen
class AnswerOptions:
    """What is asked of an answer; None leaves it to the server.

    ``thinking`` False has a model that can reason answer without it, where its template lets it; True asks for it,
    which some servers refuse of a model that can't. ``response_schema`` is a JSON schema that the answer's text has to
    follow.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    tools: tuple[ToolDefinition, ...] = ()
    tool_choice: ToolChoice | None = None
    thinking: bool | None = None
    response_schema: Mapping[str, Any] | None = None


@frozen
class ChatRequest:
    """One request for an answer.

    ``context_size`` is the allocated size, in tokens, that this server and model share; providers that carry the size
    in each request (Ollama's ``num_ctx``) send it, the others ignore it.
    """

    model: str
    messages: tuple[SentMessage, ...]
    options: AnswerOptions = AnswerOptions()
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


@frozen
class Footprint:
    """What a loaded model takes on its server, in bytes.

    ``cache_bytes`` is the KV cache with recurrent state. Every memory that computes has a compute buffer, of which
    ``compute_bytes`` is the largest. ``gpu_bytes`` and ``ram_bytes`` are sums of everything, what has no field here
    included, such as output buffers. Cache types are as the server calls them. ``cache_used`` is the fraction of the
    cache that requests hold now, 0 to 1. ``unified_cache``: all slots share one cache, so that each may use all of it.
    ``measured``: the engine itself told what it allocated.
    """

    weights_bytes: int | None = None
    cache_bytes: int | None = None
    compute_bytes: int | None = None
    gpu_bytes: int | None = None
    ram_bytes: int | None = None
    cache_type_k: str | None = None
    cache_type_v: str | None = None
    slots: int | None = None
    unified_cache: bool | None = None
    cache_used: float | None = None
    measured: bool = False


@frozen
class Resized:
    """``tokens`` is what a conversation has from now on; ``reloaded``: the model was loaded anew for that."""

    tokens: int
    reloaded: bool


class Provider(Protocol):
    """One model server. Made cheaply, without a request; every method may raise ``ProviderUnavailable`` (nobody there)
    or ``ProviderError`` (nonsense, failure), or ``InsufficientMemory`` where it makes the server load a model; ``chat``
    also ``WindowExceeded`` and ``ModelUnavailable``."""

    @property
    def name(self) -> str:
        """The word in settings: embedded, llamacpp, ollama, openai."""

    @property
    def address(self) -> str:
        """Where it is, for a person: a URL without credentials, or the model file's name."""

    @property
    def is_local(self) -> bool:
        """Whether the server runs on this machine, so that the memory that is read here is the one that it takes."""

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

    async def metadata(self, model: str) -> Mapping[str, object] | None:
        """What the server tells of the model's architecture, under the keys of GGUF headers; None where it tells
        nothing: then the header of ``model_file`` says more."""

    async def footprint(self, model: str) -> Footprint | None:
        """What the model takes as it is loaded now; None where it isn't loaded or nothing is told. Loads nothing."""

    async def resize(self, model: str, tokens: int, cache_type: CacheType | None = None) -> Resized:
        """Give every conversation with this model so many tokens. A resting model is not loaded for that where the size
        can be remembered. ``cache_type`` counts for the engine that we start; others have their own setting for it.

        A running answer is never cut: raises ``ContextBusy`` where one is known of, else the server lets it end first.
        Raises ``InsufficientMemory`` where the size does not fit, after going back to the size before, and
        ``NotSupported``, saying what a person can do, where the server can't be told."""

    async def unload(self, model: str) -> int | None:
        """Take the model out of memory; the next request loads it again. The bytes that this freed: 0 where it was not
        loaded, None where they are not known. Raises ``ContextBusy`` and ``NotSupported`` as ``resize`` does."""

    async def close(self) -> None:
        """End connections, and the engine if this provider started it."""
