"""Everything that can go wrong in a way a person should hear about.

::

    UllageError
    ├── UnknownContext          no context has this id
    ├── UnknownSnapshot         no snapshot has this id
    ├── UnknownMessage          no message has this id in the context
    ├── CorruptSnapshot         a snapshot file fails its checksum
    ├── ContextBusy             answering already, or written by another process
    ├── TooManyContexts         the pool is full
    ├── ContextOverflow         what must stay does not fit the window
    ├── CannotReduce            nothing is left that may be taken out
    ├── InsufficientMemory      the size asked for does not fit the memory
    ├── ModelUnavailable        the server has no such model
    ├── ProviderUnavailable     no model server answers
    ├── ProviderError           a model server answered nonsense, or failed
    │   └── WindowExceeded      it refused the prompt as longer than its window
    ├── StoreFull               the disk took no more
    ├── StoreDamaged            the database could not be read
    ├── NotSupported            a server or a form that can't do this
    ├── NothingToUndo           no change of the window is left to take back
    └── InvalidArgument         a parameter whose value makes no sense; `path` names it

``kind`` is the word that clients see in ``data.kind``. A message is a sentence for a person: it says what to do next
and never holds a traceback, a path outside the workspace, or text of the conversation.
"""

from __future__ import annotations

from typing import ClassVar


class UllageError(Exception):
    """The root. ``data`` travels to the client beside ``kind``; keep it free of conversation text and foreign paths."""

    kind: ClassVar[str] = "internal"

    def __init__(self, message: str, **data: object) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class UnknownContext(UllageError):
    kind = "unknownContext"


class UnknownSnapshot(UllageError):
    kind = "unknownSnapshot"


class UnknownMessage(UllageError):
    kind = "unknownMessage"


class CorruptSnapshot(UllageError):
    kind = "corruptSnapshot"


class ContextBusy(UllageError):
    """``reason`` is "answering", or "elsewhere" with ``holder``."""

    kind = "contextBusy"


class TooManyContexts(UllageError):
    kind = "tooManyContexts"


class ContextOverflow(UllageError):
    """``needed`` and ``limit`` are tokens."""

    kind = "contextOverflow"


class CannotReduce(UllageError):
    kind = "cannotReduce"


class InsufficientMemory(UllageError):
    kind = "insufficientMemory"


class ModelUnavailable(UllageError):
    kind = "modelUnavailable"


class ProviderUnavailable(UllageError):
    kind = "providerUnavailable"


class ProviderError(UllageError):
    kind = "providerError"


class WindowExceeded(ProviderError):
    """The model server's own refusal; figures are tokens, None where the server did not tell."""

    def __init__(self, message: str, needed: int | None, limit: int | None) -> None:
        super().__init__(message, needed=needed, limit=limit)
        self.needed = needed
        self.limit = limit


class StoreFull(UllageError):
    kind = "storeFull"


class StoreDamaged(UllageError):
    kind = "storeDamaged"


class NotSupported(UllageError):
    kind = "notSupported"


class NothingToUndo(UllageError):
    kind = "nothingToUndo"


class InvalidArgument(UllageError):
    """Answered as JSON-RPC's own "invalid params"; ``path`` names the parameter as the client wrote it."""

    kind = "invalidArgument"

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message, path=path)
        self.path = path
