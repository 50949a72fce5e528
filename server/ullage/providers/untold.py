"""What some servers don't tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Untold:
    """Answers "not known" to every question that only some servers can answer; providers replace what theirs can."""

    async def count_texts(self, *_args: Any, **_options: Any) -> list[int] | None:
        return None

    async def count_prompt(self, *_args: Any) -> int | None:
        return None

    async def chat_template(self, *_args: Any) -> str | None:
        return None

    async def model_file(self, *_args: Any) -> Path | None:
        return None
