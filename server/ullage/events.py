"""What happened, as values, and the means to hear of it inside the process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

from attrs import Factory, define, field, frozen

from ullage.whereabouts import whereabouts

logger = logging.getLogger(__name__)

EventKind = Literal[
    "trimmed",
    "compressed",
    "cleared",
    "restored",
    "undone",
    "snapshotCreated",
    "preOverflow",
    "resized",
    "guardActed",
    "truncatedByServer",
    "switched",
    "modelChanged",
    "modelUnloaded",
    "priorityChanged",
    "storeDamaged",
    "recovered",
]


@frozen
class Event:
    """Something that a client may want to tell its person. ``at`` is in milliseconds since the epoch."""

    kind: EventKind
    context_id: str | None
    at: int
    detail: dict[str, object] = field(factory=dict)


@frozen
class StatusStale:
    """What a status bar shows for this context may have changed; None: of every context."""

    context_id: str | None


Signal = Event | StatusStale
Listener = Callable[[Signal], None]


@define
class EventBus:
    """Publish and subscribe on one thread. A listener that fails is logged and does not keep others from hearing."""

    _listeners: list[Listener] = Factory(list)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Return the function that ends the subscription."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def publish(self, signal: Signal) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(signal)
            except Exception as error:  # whatever it is, the others are to hear
                name, place = type(signal).__name__, whereabouts(error)
                logger.error("A listener failed on %s: %s", name, place)  # noqa: TRY400  # its text may quote somebody
