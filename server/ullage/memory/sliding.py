"""Which layers look only at a window of the latest tokens, by architecture.

Source: the hyperparameters that llama.cpp sets when it loads each architecture. Several are in no key of the file. An
architecture that is not listed here slides only where its file marks each layer, as llama.cpp would ignore the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from attrs import frozen

from ullage.memory.metadata import Metadata, missing

MAX_WINDOW = 2**31 - 1
MAX_PERIOD = 1024


@frozen
class Pattern:
    """Of every ``period`` layers one is full: the last one, or the first where ``full_first``.

    ``window`` is what the engine takes where the file has no key, ``fixed_window`` what it takes whatever the file
    says, and ``needs_window`` that it refuses a file without one. ``blocks``: only models with so many layers slide.
    """

    period: int = 1
    full_first: bool = False
    window: int = 0
    fixed_window: int = 0
    needs_window: bool = False
    blocks: int | None = None


@frozen
class SlidingLayers:
    """``window`` is in tokens, 0 where no layer slides; ``layers`` says of each layer whether it does."""

    window: int
    layers: tuple[bool, ...]


PATTERNS: Mapping[str, Pattern] = {
    "afmoe": Pattern(4),
    "cohere2": Pattern(4, needs_window=True),
    "exaone-moe": Pattern(4),
    "exaone4": Pattern(4, window=4096, blocks=64),
    "gemma2": Pattern(2, window=4096),
    "gemma3": Pattern(6),
    "gemma3n": Pattern(5, needs_window=True),
    "gpt-oss": Pattern(2, needs_window=True),
    "llama4": Pattern(4, window=8192, fixed_window=8192),
    "mellum": Pattern(4),
    "muse-glimmer": Pattern(4),
    "olmo2": Pattern(4),
    "plamo3": Pattern(8),
    "smallthinker": Pattern(4, full_first=True, fixed_window=4096),
}

MARKED_IN_FILE = frozenset({"cohere2moe", "gemma4", "mimo2", "step35"})
"""Every layer is marked in the file, or nothing can be said."""

NEVER = frozenset({"phi3"})
"""Files carry a window that the engine disables."""


def sliding_layers(metadata: Metadata, blocks: int, lengths: tuple[int, ...]) -> SlidingLayers:
    """``lengths`` are those that a list in the file may have. Raises ``InvalidArgument`` with the key that is wrong."""
    pattern = PATTERNS.get(metadata.architecture)
    marked = metadata.flags("attention.sliding_window_pattern", lengths)
    if marked is None and metadata.architecture in MARKED_IN_FILE:
        raise missing(metadata.key("attention.sliding_window_pattern"))
    window = _window(metadata, pattern)
    if not window or metadata.architecture in NEVER or (pattern is not None and pattern.blocks not in (None, blocks)):
        return SlidingLayers(0, (False,) * blocks)
    if marked is not None:
        return SlidingLayers(window, marked[:blocks] + (False,) * (blocks - len(marked)))
    if pattern is None:
        return SlidingLayers(0, (False,) * blocks)
    period = metadata.whole("attention.sliding_window_pattern", 0, MAX_PERIOD)
    return SlidingLayers(window, alternating(blocks, pattern.period if period is None else period, pattern.full_first))


def _window(metadata: Metadata, pattern: Pattern | None) -> int:
    """Tokens; 0: none."""
    window = metadata.whole("attention.sliding_window", 0, MAX_WINDOW)
    needed = metadata.architecture in MARKED_IN_FILE or (pattern is not None and pattern.needs_window)
    if needed and window is None:
        raise missing(metadata.key("attention.sliding_window"))
    if pattern is None:
        return window or 0
    window = pattern.window if window is None else window
    return pattern.fixed_window if window and pattern.fixed_window else window


@lru_cache(64)
def alternating(blocks: int, period: int, full_first: bool) -> tuple[bool, ...]:
    """A period of 0 slides everywhere, one of 1 nowhere."""
    if period == 0:
        return (True,) * blocks
    full = 0 if full_first else period - 1
    return tuple(layer % period != full for layer in range(blocks))
