"""The tree of settings: every default, its bounds, and what it is for."""

from __future__ import annotations

import fnmatch
from typing import Literal

from attrs import frozen

from ullage.settings.fields import branch, leaf

CacheType = Literal["f16", "q8_0", "q4_0", "q5_0", "q5_1", "q4_1", "bf16", "f32", "iq4_nl"]
Strategy = Literal["truncate", "summarize", "hybrid"]
ProviderChoice = Literal["auto", "embedded", "llamacpp", "ollama", "openai"]

MOST = 2**31 - 1


@frozen
class CompressionSettings:
    enabled: bool = leaf(True, "Compress a conversation in the background once the threshold is passed.")
    threshold: float = leaf(
        0.8,
        "The share of the usable window from which a conversation is compressed; must be above the target.",
        least=0.1,
        most=1,
    )
    target: float = leaf(
        0.5,
        "The share of the usable window that a compression comes down to; must be below the threshold.",
        least=0.05,
        most=0.95,
    )
    strategy: Strategy = leaf(
        "hybrid",
        "How room is made: truncate drops the oldest turns, summarize has the model sum them up, hybrid takes tool"
        " results out first and sums up only what is still too much.",
    )
    preserve_recent: int = leaf(
        4096,
        "Tokens of the newest messages that a compression leaves as they are, at most a quarter of the window; 0: the"
        " last turn only.",
        least=0,
        most=MOST,
    )
    summary_max_tokens: int = leaf(1024, "The most tokens that a summary may have.", least=64, most=2**20)


@frozen
class SnapshotSettings:
    enabled: bool = leaf(True, "Take snapshots by themselves, at the threshold and before anything is cleared.")
    max_count: int = leaf(
        5,
        "How many automatic snapshots each context keeps, the newest ones; those made by hand are not counted.",
        least=1,
        most=1000,
    )
    auto_create: bool = leaf(True, "Take a snapshot each time that the window passes the snapshot threshold.")
    auto_threshold: float = leaf(
        0.8, "The share of the usable window from which an automatic snapshot is taken.", least=0.1, most=1
    )
    max_age_days: int = leaf(
        0, "Automatic snapshots older than so many days are deleted; 0: none for its age.", least=0, most=36500
    )


@frozen
class ContextSettings:
    target_size: int = leaf(
        16384,
        "Tokens of the window to ask for where a request sets its size (Ollama, LM Studio, the embedded engine), from"
        " the next request on; 0: as many as fit.",
        least=0,
        most=MOST,
    )
    min_size: int = leaf(
        2048,
        "The fewest tokens that a window is made with, however little memory is free; at most the maximum, if one is"
        " set.",
        least=1,
        most=MOST,
    )
    max_size: int = leaf(
        0, "The most tokens that a window is made with; 0: as many as the model was made for.", least=0, most=MOST
    )
    auto_size: bool = leaf(True, "Let the size of a window that Ullage loaded follow the memory that is free.")
    vram_buffer: int = leaf(
        512, "Megabytes of memory that sizing leaves free for other programs; 0: none.", least=0, most=2**20
    )
    kv_quantization: CacheType = leaf(
        "q8_0",
        "The type of the KV cache: binding for an engine that Ullage starts, from its next start on, and taken as true"
        " of a server that does not tell its own.",
    )
    reserve_output: int = leaf(
        1024,
        "Tokens of the window kept for the answer, at most a quarter of it, from the next request on.",
        least=1,
        most=MOST,
    )
    compression: CompressionSettings = branch(
        CompressionSettings, "When and how old parts of a conversation make room."
    )
    snapshots: SnapshotSettings = branch(SnapshotSettings, "When a conversation is saved as a file, and for how long.")


@frozen
class PoolSettings:
    max_contexts: int = leaf(30, "How many contexts may be open at a time.", least=1, most=30)
    base_cpu: float = leaf(
        0.5, "Processor cores that every open context has for certain; at most the burst share.", least=0
    )
    base_memory_mb: int = leaf(
        2048,
        "Megabytes of memory that every open context has for certain; at most the burst share.",
        least=0,
        most=MOST,
    )
    burst_cpu: float = leaf(2.0, "Processor cores that one context may use while others leave them idle.", least=0)
    burst_memory_mb: int = leaf(
        8192, "Megabytes of memory that one context may use while others leave them free.", least=0, most=MOST
    )


@frozen
class TokenSettings:
    multipliers: dict[str, float] = leaf(
        {},
        "Your own factor on token counts, by a model's name or by a pattern such as llama*; a name goes before a"
        " pattern, and counts so corrected are shown as estimates.",
        least=0.1,
        most=10,
    )

    def multiplier(self, model: str | None) -> float:
        """The person's own correction for this model: an exact name first, then the first glob that matches."""
        if model is None:
            return 1.0
        if model in self.multipliers:
            return self.multipliers[model]
        return next((value for glob, value in self.multipliers.items() if fnmatch.fnmatchcase(model, glob)), 1.0)


@frozen
class Mode:
    """A named persona that a context can take on."""

    system_prompt: str | None = leaf(None, "What the model is told of its part; null: nothing.")
    model: str | None = leaf(None, "The model that a new context in this mode prefers; null: whichever there is.")


@frozen
class EmbeddedSettings:
    model: str | None = leaf(
        None, "A GGUF file for the embedded engine to run, from the next request on; null: the small model."
    )
    threads: int = leaf(
        0, "Processor threads of the embedded engine, from its next start on; 0: as many as suit.", least=0, most=1024
    )
    context_size: int = leaf(
        0,
        "Tokens of the embedded engine's window, before the target size and the minimum; 0: the target size.",
        least=0,
        most=MOST,
    )


@frozen
class LlamaCppSettings:
    url: str = leaf("http://127.0.0.1:8080", "Where a llama.cpp server listens.")


@frozen
class OllamaSettings:
    url: str = leaf("http://127.0.0.1:11434", "Where Ollama listens.")


@frozen
class OpenAiSettings:
    url: str | None = leaf(
        None,
        "Where an OpenAI-compatible server (LM Studio, vLLM) listens; null: looked for at their usual ports.",
    )
    api_key_env: str | None = leaf(
        None, "The name of the environment variable that holds the server's key, never the key; null: it wants none."
    )


@frozen
class ProviderSettings:
    default: ProviderChoice = leaf(
        "auto",
        "The model server to use, from the next request on; auto: the first that answers, else the embedded engine.",
    )
    embedded: EmbeddedSettings = branch(EmbeddedSettings, "The engine that Ullage brings along.")
    llamacpp: LlamaCppSettings = branch(LlamaCppSettings, "A llama.cpp server.")
    ollama: OllamaSettings = branch(OllamaSettings, "An Ollama server.")
    openai: OpenAiSettings = branch(OpenAiSettings, "A server that speaks the OpenAI protocol.")


@frozen
class GuardSettings:
    compress: bool = leaf(True, "Compress when the tokens in use take 80 % of the memory that the cache may have.")
    reduce: bool = leaf(True, "Make the window smaller, where its server can, at 90 % of that memory.")
    clear: bool = leaf(
        True, "Take a snapshot and then clear as far as needed at 95 % of that memory, with ways back offered."
    )
    notify: bool = leaf(True, "Ask what to do, by a message with the ways back, when the guard has stepped in.")


@frozen
class MemorySettings:
    poll_seconds: float = leaf(
        5.0, "Seconds between two looks at the memory while a context is open.", least=0.5, most=3600
    )
    low_watermark_mb: int = leaf(
        0,
        "Megabytes of free memory below which a warning is given, once for each time; 0: half of the buffer.",
        least=0,
        most=MOST,
    )
    guard: GuardSettings = branch(GuardSettings, "What may be done without asking when memory runs out.")


@frozen
class Settings:
    """The whole tree. Sizes are tokens unless the name says MB; fractions are of the usable window."""

    context: ContextSettings = branch(ContextSettings, "The window that a conversation has, and how it is kept.")
    pool: PoolSettings = branch(PoolSettings, "How many contexts share the machine.")
    tokens: TokenSettings = branch(TokenSettings, "How tokens are counted.")
    modes: dict[str, Mode] = leaf({}, "Personas that a context can take on, by their names.")
    providers: ProviderSettings = branch(ProviderSettings, "The model servers.")
    memory: MemorySettings = branch(MemorySettings, "How memory is watched, and what is done when it runs out.")
    storage_directory: str | None = leaf(
        None, "The folder that keeps conversations, from the next start on; null: the platform's data folder."
    )
