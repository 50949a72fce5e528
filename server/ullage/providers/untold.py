"""What some servers don't tell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ullage.providers.base import Footprint


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

    async def metadata(self, *_args: Any) -> Mapping[str, object] | None:
        return None

    async def footprint(self, *_args: Any) -> Footprint | None:
        return None
