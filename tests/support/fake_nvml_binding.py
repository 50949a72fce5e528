"""The binding's functions over values, for what a library behind the real binding can't be made to do. Its errors are
the real binding's own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pynvml

NOT_FOUND, FUNCTION_NOT_FOUND, LOST, UNKNOWN = 6, 13, 15, 999


class FakeBinding:
    """``cards`` are free bytes by name, of 100 in total; None: lost. What stands in ``failing`` raises."""

    nvmlMemory_v2 = pynvml.nvmlMemory_v2  # noqa: N815  # the binding's own name

    def __init__(self, cards: dict[str, int | None], failing: dict[str, BaseException] | None = None) -> None:
        self.cards = cards
        self.failing = failing or {}
        self.started = 1

    def __getattr__(self, name: str) -> Any:
        if name.startswith("NVMLError"):
            return getattr(pynvml, name)
        return lambda *_arguments, **_options: self._answer(name, *_arguments, **_options)

    def _answer(self, name: str, handle: Any = None, **options: Any) -> Any:
        if name in self.failing:
            raise self.failing[name]
        if name in ("nvmlInit", "nvmlShutdown"):
            self.started += 1 if name == "nvmlInit" else -1
            return None
        if name == "nvmlDeviceGetCount":
            return len(self.cards)
        if name == "nvmlDeviceGetHandleByIndex":
            return list(self.cards)[handle]
        if name in ("nvmlDeviceGetName", "nvmlDeviceGetUUID"):
            return handle
        if name == "nvmlDeviceGetMemoryInfo":
            free = self.cards[handle]
            if free is None:
                raise pynvml.NVMLError(LOST)
            return SimpleNamespace(total=100, free=free, used=100 - free)
        raise pynvml.NVMLError(FUNCTION_NOT_FOUND)
