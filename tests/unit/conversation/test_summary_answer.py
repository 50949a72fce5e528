"""What a model's answer is read as, whatever it wrote."""

from __future__ import annotations

import json
import time

import pytest

from ullage.conversation.summary import ASKED_FOR, Sections
from ullage.conversation.summary_answer import LONGEST_ITEM, MOST_ITEMS, parse

GOOD = {
    "goal": "Write a parser.",
    "rules": ["No tabs.", "Use Python 3.11."],
    "decisions": ["The port is 8080."],
    "done": [],
    "open": ["Tests."],
    "next": "Write tests.",
}
READ = Sections(
    "Write a parser.", ("No tabs.", "Use Python 3.11."), ("The port is 8080.",), (), ("Tests.",), "Write tests."
)
JSON = json.dumps(GOOD)
MARKDOWN = """## Goal
Write a parser.

## Rules
- No tabs.
- Use Python 3.11.

## Decisions and facts
- The port is 8080.

## Done / open
- [ ] Tests.

## Next step
Write tests."""

READABLE = {
    "JSON": JSON,
    "JSON over many lines": json.dumps(GOOD, indent=2),
    "a code fence": f"```json\n{JSON}\n```",
    "chatter around it": f"Sure! Here is the summary:\n\n{JSON}\n\nLet me know if you need more.",
    "chatter with braces before it": f"I will use {{goal}} and {{rules}}.\n{JSON}",
    "reasoning before it": f'<think>The goal is {{"goal": "?", "next": "?"}}…</think>\n{JSON}',
    "keys in capitals": json.dumps({key.title(): value for key, value in GOOD.items()}),
    "null for an empty list": json.dumps(GOOD | {"done": None}),
    "a text for a list of one": json.dumps(GOOD | {"decisions": "The port is 8080."}),
    "a text with lines for a list": json.dumps(GOOD | {"rules": "- No tabs.\n- Use Python 3.11."}),
    "a list for a sentence": json.dumps(GOOD | {"next": ["Write tests."]}),
    "one more key": json.dumps(GOOD | {"files": ["a.py"], "confidence": 0.9}),
    "empty items": json.dumps(GOOD | {"done": ["", "None", "N/A.", "-", "(none)"]}),
    "items said twice": json.dumps(GOOD | {"rules": ["No tabs.", "Use Python 3.11.", "No tabs."]}),
    "bullets inside": json.dumps(GOOD | {"open": ["- [ ] Tests."]}),
    "an echo of the request": json.dumps(GOOD | {"done": [ASKED_FOR["done"], ASKED_FOR["rules"][:60]]}),
    "a stammer": json.dumps(GOOD | {"done": ["I will switch. " + "I. " * 20]}),
    "Markdown": MARKDOWN,
    "Markdown in a fence": f"```markdown\n{MARKDOWN}\n```",
    "Markdown with a list of files": MARKDOWN.replace("## Done", "## Files\n- Read: `a.py`\n\n## Done"),
    "bold headings": "**Goal:** Write a parser.\n**Rules**\n1. No tabs.\n2. Use Python 3.11.\n"
    "**Facts**: The port is 8080.\n**Open:**\n* Tests.\n**Next steps:**\nWrite tests.",
    "plain headings": "Goal: Write a parser.\nRules and constraints:\n- No tabs.\n- Use Python 3.11.\n"
    "Decisions:\n- The port is 8080.\nTo do:\n- Tests.\nNext step: Write tests.",
    "cut before it closes": JSON.removesuffix("}"),
}

UNREADABLE = {
    "nothing": "",
    "blanks": " \n\t ",
    "a refusal": "I'm sorry, but I can't help with that.",
    "a refusal as JSON": json.dumps({"goal": "I'm sorry, but I cannot summarise this.", "rules": [], "next": ""}),
    "an answer to the conversation": "The capital of France is Paris.",
    "prose": "The person wanted a parser, and we wrote one. Next is testing.",
    "every section empty": json.dumps({key: [] for key in GOOD}),
    "every section without a word": json.dumps(dict.fromkeys(GOOD, "none")),
    "the request echoed": json.dumps(ASKED_FOR),
    "another shape": '{"summary": "They talked."}',
    "one section of six": '{"goal": "Write a parser."}',
    "numbers for texts": json.dumps(GOOD | {"goal": 7}),
    "objects for items": json.dumps(GOOD | {"rules": [{"rule": "No tabs."}]}),
    "mixed items": json.dumps(GOOD | {"rules": ["No tabs.", 7]}),
    "an object for a section": json.dumps(GOOD | {"done": {}}),
    "true for a section": json.dumps(GOOD | {"done": True}),
    "a list around it": "[1, 2, 3]",
    "a JSON text": '"goal and next"',
    "a number": "42",
    "null": "null",
    "an opening brace": "{",
    "braces alone": "{{{{}}}}",
    "a key without a value": '{"goal":',
    "single quotes": "{'goal': 'x', 'next': 'y'}",
    "a tool call": '{"name": "look", "arguments": {"path": "a.py"}}',
    "an unfinished thought": "<think>The person wants",
    "headings without a word": "## Goal\n\n## Rules\n\n## Next step\n",
    "one heading": "## Goal\nWrite a parser.",
    "words that are no headings": "Goal setting is hard\nOpen it\nNext door",
    "bare words": "Goal\nWrite a parser.\nNext\nWrite tests.",
    "a huge number": '{"goal": ' + "9" * 10_000 + ', "next": "x"}',
    "control characters": "\x00\x1b[31m\x07",
    "the same word for ever": "the " * 50_000,
    "deep lists": "[" * 100_000,
    "deep objects": '{"goal":' * 50_000,
    "an unclosed text": '{"goal": "' + "x" * 100_000,
    "backslashes": '{"goal": "' + "\\" * 100_000,
}


@pytest.mark.parametrize("answer", READABLE.values(), ids=READABLE)
def test_an_answer_in_the_asked_shape_is_read(answer: str) -> None:
    assert parse(answer) == READ


@pytest.mark.parametrize("answer", UNREADABLE.values(), ids=UNREADABLE)
def test_an_answer_of_another_shape_is_none(answer: str) -> None:
    assert parse(answer) is None


def test_json_that_was_cut_is_read_up_to_there() -> None:
    for end in range(len('{"goal": "Write a parser.", "rules": ["No tabs."'), len(JSON)):
        sections = parse(JSON[:end])
        assert sections is not None
        assert (sections.goal, sections.rules[0]) == ("Write a parser.", "No tabs.")
        assert set(sections.rules) <= set(READ.rules)
        assert set(sections.decisions) <= set(READ.decisions)


def test_half_a_fact_is_left_out() -> None:
    sections = parse('{"goal": "Serve.", "rules": [], "decisions": ["The host is a.", "The port is 80')
    assert sections == Sections(goal="Serve.", decisions=("The host is a.",))


def test_a_number_inside_a_sentence_is_no_list_number() -> None:
    sections = parse("Goal: Port 1. floor to version 3. soon\nNext: Go.")
    assert sections is not None
    assert sections.goal == "Port 1. floor to version 3. soon"


def test_lone_surrogates_and_control_characters_do_not_get_through() -> None:
    sections = parse('{"goal": "a\\ud800b\\u0000c\\nd", "next": "e\\u2028f"}')
    assert sections == Sections(goal="ab c d", next="e f")


def test_an_item_can_not_bring_a_heading_of_its_own() -> None:
    sections = parse(json.dumps(GOOD | {"goal": "## Files\n- Edited: `x`"}))
    assert sections is not None
    assert sections.goal == "Files Edited: `x`"


def test_items_are_bounded_in_number_and_length() -> None:
    sections = parse(json.dumps({"rules": [f"{n} " + "x" * 5000 for n in range(12)], "done": list("ab")}))
    assert sections is not None
    assert max(map(len, sections.rules)) == LONGEST_ITEM
    many = parse(json.dumps({"rules": [f"rule {n}" for n in range(1000)], "next": "x"}))
    assert many is not None
    assert len(many.rules) == MOST_ITEMS


@pytest.mark.parametrize(
    "hostile",
    [
        "{" * 10**6,
        '{"a":' * 10**6,
        " " * 10**6 + "{",
        '{"goal": "x",' + " " * 10**6,
        '{"goal": "x"' + ',"' * 10**5,
        "#" * 10**6,
        "* " * 10**6,
        "Goal " * 10**6,
        "Goal:\n" * 10**5 + "Next:\n" * 10**5,
        "</think>" * 10**5,
        ("a" * 40 + " ") * 10**5,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_hostile_answers_take_no_time(hostile: str) -> None:
    begun = time.process_time()
    parse(hostile)
    assert time.process_time() - begun < 1
