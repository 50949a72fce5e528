"""A summary's sections, as a schema, as Markdown, and what makes one acceptable."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ullage.conversation.summary import Sections, render, shortcoming, summary_schema
from ullage.conversation.summary_answer import parse
from ullage.conversation.touched_files import Files

WHOLE = Sections(
    goal="Move the shop to Postgres 17.",
    rules=("Never use tabs.", "Answer in German."),
    decisions=("The port is 5433.",),
    done=("Dumped the old data.",),
    open=("Load it.", "Switch over."),
    next="Load the dump into staging.",
)
FILES = Files(read=("a.py", "b c.py"), edited=("docs/plan.md",))


def largest_answer(schema: dict[str, Any]) -> str:
    """The longest JSON that a schema lets through."""
    if schema["type"] == "string":
        return json.dumps("x" * schema["maxLength"])
    if schema["type"] == "array":
        return "[" + ",".join([largest_answer(schema["items"])] * schema["maxItems"]) + "]"
    return "{" + ",".join(f'"{key}":{largest_answer(of)}' for key, of in schema["properties"].items()) + "}"


def test_rendering_has_fixed_headings_in_a_fixed_order() -> None:
    assert render(WHOLE, FILES) == (
        "## Goal\nMove the shop to Postgres 17.\n\n"
        "## Rules\n- Never use tabs.\n- Answer in German.\n\n"
        "## Decisions and facts\n- The port is 5433.\n\n"
        "## Files\n- Read: `a.py`, `b c.py`\n- Edited: `docs/plan.md`\n\n"
        "## Done / open\n- [x] Dumped the old data.\n- [ ] Load it.\n- [ ] Switch over.\n\n"
        "## Next step\nLoad the dump into staging."
    )


def test_empty_sections_are_left_out() -> None:
    assert render(Sections(rules=("Be brief.",)), Files()) == "## Rules\n- Be brief."


def test_what_was_rendered_is_read_as_the_same_sections() -> None:
    assert parse(render(WHOLE, FILES)) == WHOLE


@pytest.mark.parametrize("tokens", [128, 256, 512, 1024, 4096])
def test_the_largest_answer_under_the_schema_is_about_as_large_as_its_room(tokens: int) -> None:
    longest = len(largest_answer(summary_schema(tokens)))
    assert longest <= 4.6 * max(tokens, 160)


def test_the_schema_asks_for_every_section_and_nothing_else() -> None:
    schema = summary_schema(1024)
    assert schema["required"] == ["goal", "rules", "decisions", "done", "open", "next"]
    assert schema["additionalProperties"] is False


def test_the_largest_answer_under_the_schema_is_read() -> None:
    assert parse(largest_answer(summary_schema(1024))) is not None


def test_a_summary_has_to_be_smaller_than_what_it_replaces() -> None:
    assert shortcoming(100, 100, window_after=500, target=1000) == "not smaller"
    assert shortcoming(99, 100, window_after=500, target=1000) is None


def test_a_summary_has_to_bring_the_window_to_the_target() -> None:
    assert shortcoming(50, 100, window_after=1001, target=1000) == "over target"
    assert shortcoming(50, 100, window_after=1000, target=1000) is None
    assert shortcoming(50, 100, window_after=10**6, target=None) is None
